"""How a program of ours ends that cannot go on: a sentence on stderr, a failing status, and never
a traceback for a person to puzzle over."""

from __future__ import annotations

import atexit
import os
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import TracebackType

from protocols.errorcode import NOT_OPEN, Coded, coded

STDIN, STDOUT, STDERR = 0, 1, 2
_NAMES = {STDIN: "input", STDOUT: "output", STDERR: "error output"}


def write_stderr(data: bytes) -> None:
    """Write on the descriptor of stderr, whatever ``sys.stderr`` is by now.

    :raise OSError: it takes none
    """
    os.write(STDERR, data)


def say(program: str, text: str, write: Callable[[bytes], object] = write_stderr) -> int:
    """Say something on an error output.

    :param write: on that of whoever is to be told
    :return: 1, the exit status of a failure
    """
    data = f"{program}: {text}\n".encode("utf-8", "surrogateescape")
    try:
        write(data)
    except OSError:
        return 1  # nobody is there to be told; the status tells it
    return 1


def tell(
    program: str,
    text: str,
    code: int | BaseException,
    write: Callable[[bytes], object] = write_stderr,
) -> int:
    """Say what is wrong, as :func:`say` does, with its code.

    :param code: or the error whose code it is
    """
    return say(program, coded(text, code), write)


def reason(fault: OSError) -> str:
    """A system's error as part of a sentence: the file, if there is one, and the system's words."""
    text = fault.strerror or str(fault) or type(fault).__name__
    return text if fault.filename is None else f"{os.fsdecode(fault.filename)}: {text}"


class CannotStart(Coded):
    """The program cannot start; the text says what is wrong, where, and what to do."""

    taper_code = 8000


def instead_of_tracebacks(program: str) -> None:
    """Let what ends this process be told as :func:`guarded` does, where the frame is not ours."""

    def told(kind: type[BaseException], fault: BaseException, trace: TracebackType | None) -> None:
        if isinstance(fault, Exception):
            tell(program, sentence(fault), fault)
        else:
            sys.__excepthook__(kind, fault, trace)

    sys.excepthook = told


def fail_at_exit() -> None:
    """Let the process end with a failing status where a frame that is not ours would end it well:
    twistd does so whenever the reactor stops."""
    atexit.register(_exit_failing)


def _exit_failing() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(1)


def sentence(fault: Exception) -> str:
    """What a person is told of what ended a program."""
    if isinstance(fault, CannotStart):
        return str(fault)
    if isinstance(fault, OSError):
        return reason(fault)
    if isinstance(fault, MemoryError):
        return "there is not enough memory"
    frames = traceback.extract_tb(fault.__traceback__)
    place = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
    return f"internal error: {type(fault).__name__}: {fault}{place}"


def whole(fault: Exception) -> str:
    """All that is known of what ended a program, for a debug log: the traceback, and the sentence
    with its code."""
    return "".join((*traceback.format_exception(fault), coded(sentence(fault), fault)))


def guarded(
    program: str,
    run: Callable[[], int],
    keep: Callable[[str], None] | None = None,
    fail: Callable[[str], int] | None = None,
) -> int:
    """Run a program to its end, whatever comes.

    :param run: gives the exit status
    :param keep: is given the whole traceback of what nobody foresaw
    :param fail: says why it ends, which it is given with its code, and gives the exit status of a
        failure (default: :func:`say`)
    :return: the exit status
    """
    fail = fail or partial(say, program)
    closed = _closed_descriptor()
    if closed is not None:
        # the first file that is opened would be taken for it
        text = f"standard {_NAMES[closed]} (descriptor {closed}) must be open"
        return fail(coded(text, NOT_OPEN))
    try:
        status = run()
    except SystemExit as end:  # of a parser of command lines, which has said why
        status = end.code if isinstance(end.code, int) else 0
    except Exception as fault:
        if keep is not None:
            keep(whole(fault))
        status = fail(coded(sentence(fault), fault))
    failed = _flush(fail)
    return status if failed is None else failed


def _closed_descriptor() -> int | None:
    for descriptor in _NAMES:
        try:
            os.fstat(descriptor)
        except OSError:
            return descriptor
    return None


def _flush(fail: Callable[[str], int]) -> int | None:
    """Let what was printed leave; else the interpreter would try once more, and complain.

    :return: the exit status of a failure; None: all has left
    """
    failed = None
    for stream, descriptor in ((sys.stdout, STDOUT), (sys.stderr, STDERR)):
        try:
            stream.flush()
        except OSError as fault:
            text = f"cannot write to standard {_NAMES[descriptor]}: {reason(fault)}"
            failed = fail(coded(text, fault))
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, descriptor)
            os.close(nowhere)
    return failed
