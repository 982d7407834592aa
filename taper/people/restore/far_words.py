"""What another host is told by ssh, and what it answers. Pure.

The login shell there is given one line, which begins a POSIX shell with a script of ours; what the
script works with are its arguments. So nothing but the quoting depends on the login shell.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from attrs import frozen

from taper.last_words import CannotStart

OPTIONS = (
    *("-T", "-a", "-x"),
    *(
        word
        for option in (
            "BatchMode=yes",
            "ClearAllForwardings=yes",
            "ConnectTimeout=30",
            # a connection of somebody else's keeps other bounds; a new one would outlive us
            "ControlMaster=no",
            "ControlPath=none",
            "LogLevel=INFO",
            "PermitLocalCommand=no",
            "RemoteCommand=none",
            "ServerAliveCountMax=4",
            "ServerAliveInterval=15",
        )
        for word in ("-o", option)
    ),
)
"""Of ssh: it asks nobody, and what does not answer ends within a minute or two. Of an option that
is given twice ssh takes the first, so people may say otherwise."""

MOST_BYTES = 100_000
"""Of a command: a word may have 128 KiB on Linux, and the login shell is given all as one."""

_MARK = "taper-far"
_ENVIRONMENT = ("LC_ALL=C", "PATH=/usr/local/bin:/usr/bin:/bin")
_SPECIAL = re.compile(r"([\\'!])")

# Neither has a quote, backslash, exclamation mark or line end, on which shells differ.
_PREPARE = (
    f"echo >&2; echo {_MARK} >&2; umask 077; LC_ALL=C; export LC_ALL; d=$1; shift; "
    'if mkdir -p "$d" && [ -d "$d" ]; then '
    'if [ -r "$d" ] && [ -w "$d" ] && [ -x "$d" ]; then s=empty; '
    'for f in "$d"/* "$d"/.*; do case "${f##*/}" in .|..) ;; *) '
    'if [ -e "$f" ] || [ -L "$f" ]; then s=full; break; fi;; esac; done; '
    "else s=closed; fi; else s=missing; fi; "
    't=none; for c in "$@"; do case "$("$c" --version 2>/dev/null)" in '
    '*"GNU tar"*) t=$c; break;; esac; done; '
    f'echo; echo "{_MARK} ready $(id -u) $s $t"'
)
_UNPACK = (
    f'echo >&2; echo {_MARK} >&2; if [ -x "$1" ]; then echo; echo "{_MARK} begin"; umask 022; '
    f'env -i {" ".join(_ENVIRONMENT)} "$@" >/dev/null; s=$?; '
    # it has said that all is well, so all has to be there
    f'if [ "$s" -eq 0 ]; then cat >/dev/null; fi; echo "{_MARK} end $s"; '
    f'else echo; echo "{_MARK} absent"; fi'
)


class TooManyWords(CannotStart):
    """A command is too long for another host."""

    taper_code = 1001


def quoted(word: str) -> str:
    """One word for a POSIX shell, and for csh and fish as well, as far as they have a way to say
    it."""
    pieces = _SPECIAL.split(word)
    words = (f"\\{piece}" if number % 2 else f"'{piece}'" for number, piece in enumerate(pieces))
    return "".join(words)


def preparing(directory: str, tars: Sequence[str]) -> str:
    """The command that sees to a directory, and looks for GNU tar.

    :raise TooManyWords: it is too long
    """
    return _command(_PREPARE, (directory, *tars))


def unpacking(command: Sequence[str]) -> str:
    """The command that runs a program there, as we would here, and tells how it ended.

    Where it ended well, what it has not read is read to the end, so that all has arrived.

    :raise TooManyWords: it is too long
    """
    return _command(_UNPACK, command)


def _command(script: str, words: Sequence[str]) -> str:
    text = " ".join(map(quoted, ("/bin/sh", "-c", script, "sh", *words)))
    size = len(text.encode("utf-8", "surrogateescape"))
    if size > MOST_BYTES:
        raise TooManyWords(
            f"the command for the other host has {size} bytes, more than {MOST_BYTES}: name fewer "
            "or shorter paths"
        )
    return f"exec {text}"


_STATES = ("empty", "full", "closed", "missing")


@frozen
class Ready:
    """What the other host tells of its directory.

    :ivar state: ``empty``, ``full``, ``closed`` (not for us to write) or ``missing`` (and cannot be
        made).
    :ivar tar: path of GNU tar; None: there is none.
    """

    uid: int
    state: str
    tar: str | None


def read_ready(said: bytes) -> Ready | None:
    """The answer to :func:`preparing`; None: there is none."""
    for words in _answers(said):
        if words[0] != "ready" or len(words) != 4:
            continue
        if _is_number(words[1]) and words[2] in _STATES:
            return Ready(int(words[1]), words[2], None if words[3] == "none" else words[3])
    return None


@frozen
class Progress:
    """How far an unpacking has come.

    :ivar begun: the program runs, or has run.
    :ivar absent: it is not there.
    :ivar status: with which it ended; None: nobody knows that it has.
    """

    begun: bool = False
    absent: bool = False
    status: int | None = None


def read_progress(said: bytes) -> Progress:
    """The answers to :func:`unpacking`, as far as they have come."""
    begun, status = False, None
    for words in _answers(said):
        if words == ["absent"]:
            return Progress(absent=True)
        begun = begun or words == ["begin"]
        if begun and words[0] == "end" and len(words) == 2 and _is_number(words[1]):
            status = int(words[1])
    return Progress(begun=begun, status=status)


def _answers(said: bytes) -> list[list[str]]:
    """Whole lines of ours, among what a login shell may say."""
    lines = said.decode("utf-8", "surrogateescape").split("\n")[:-1]
    words = [line.split() for line in lines]
    return [line[1:] for line in words if len(line) > 1 and line[0] == _MARK]


def _is_number(word: str) -> bool:
    return word.isascii() and word.isdigit() and len(word) < 11


def own(said: bytes) -> bytes:
    """Of an error output, what was said since a command of ours began: neither a banner nor what a
    login shell has said before; all, if none has begun."""
    return said.rpartition(f"\n{_MARK}\n".encode())[2]


_SHOWN_LINES, _SHOWN_LETTERS = 3, 300


def brief(said: bytes) -> str:
    """The last lines of an error output, as part of a sentence; empty: nothing was said."""
    lines = said.decode("utf-8", "surrogateescape").splitlines()
    last = [line.strip()[:_SHOWN_LETTERS] for line in lines if line.strip()][-_SHOWN_LINES:]
    return "; ".join(last)
