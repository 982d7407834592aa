"""Every command at every moment, and every failure at every place, of whole conversations."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest

from devices.errors import ChangerError, ChangerReason, DriveFailed, VolumeFailed
from protocols.tapelist import TapelistError
from taper.core.errors import SourceFault
from tests.core.checking import check_dump, check_permissions
from tests.core.conversing import (
    HANDLE,
    START,
    WORKER,
    Conversation,
    content,
    file_write,
    port_write,
    split_by,
)
from tests.core.stocked import Tape
from tests.core.surroundings import Dumped

BLOCK = 1000
DATA = content(9500)


def tape(**options: object) -> Tape:
    return Tape(10 * BLOCK, block_size=BLOCK, warning=1, **options)  # type: ignore[arg-type]


def spanning_file(*, behind: bool = False) -> Conversation:
    """A holding file over two volumes without LEOM: a part fails and is written again."""
    tapes = [tape(leom=False, behind=behind) for _ in range(4)]
    talk = Conversation(*tapes, dumps={"HF": Dumped(DATA, pieces=(700,))})
    talk.inbox.extend([START, file_write(split=split_by(4 * BLOCK))])
    return talk


def spanning_port(*, behind: bool = False) -> Conversation:
    """A dump over TCP onto two volumes with LEOM."""
    tapes = [tape(behind=behind) for _ in range(4)]
    talk = Conversation(*tapes, dumpers=[Dumped(DATA, pieces=(700,))])
    talk.inbox.extend([START, port_write(split=split_by(4 * BLOCK))])
    return talk


CONVERSATIONS: dict[str, tuple[Callable[[], Conversation], str]] = {
    "file": (spanning_file, "/home"),
    "port": (spanning_port, "/var"),
    "file, stored behind": (lambda: spanning_file(behind=True), "/home"),
    "port, stored behind": (lambda: spanning_port(behind=True), "/var"),
}


def converse(talk: Conversation, disturb: Callable[[], None], moment: int) -> None:
    """Let the whole conversation happen, and ``disturb`` it before one of its steps."""
    steps = 0
    while True:
        if steps == moment:
            disturb()
        steps += 1
        if talk.inbox and talk.inbox[0].startswith(("FILE", "PORT")) and not talk.quits:
            # a driver waits for TAPER-OK
            if any(line.startswith("TAPER-OK") for line in talk.driver.lines):
                talk.step()
            elif not talk.moments.step():
                return
        elif not talk.step():
            if not talk.driver.lines or not talk.driver.lines[-1].startswith("DUMPER-STATUS"):
                return
            talk.tell(f"DONE {WORKER} {HANDLE} 10 11111111:1 22222222:2 00000000:0")
        assert steps < 1000, talk.moments.done


def length(make: Callable[[], Conversation]) -> int:
    """Steps of the undisturbed conversation."""
    talk = make()
    steps: list[int] = []
    original = talk.step

    def counted() -> bool:
        steps.append(1)
        return original()

    talk.step = counted  # type: ignore[method-assign]
    converse(talk, lambda: None, -1)
    return len(steps) + 10


@pytest.mark.parametrize("kind", CONVERSATIONS)
def test_undisturbed_they_are_done(kind: str) -> None:
    """Over two volumes, every byte is stored and the driver is told DONE."""
    make, disk = CONVERSATIONS[kind]
    talk = make()
    converse(talk, lambda: None, -1)
    assert check_dump(talk, HANDLE, DATA, disk) == "DONE"
    check_permissions(talk)
    assert talk.words().count("NEW-TAPE") == 2
    talk.quit()
    talk.check_sound()


@pytest.mark.parametrize("kind", CONVERSATIONS)
def test_quit_at_any_moment_ends_cleanly(kind: str) -> None:
    """QUIT at any moment: the dump's end is told and logged, all is given back."""
    make, disk = CONVERSATIONS[kind]
    ends = set()
    for moment in range(length(make)):
        talk = make()
        converse(talk, lambda talk=talk: talk.tell("QUIT"), moment)  # type: ignore[misc]
        if not talk.quits:
            talk.say("QUIT")
        talk.check_released()
        talk.check_sound()
        check_permissions(talk)
        if talk.origins.made:
            ends.add(check_dump(talk, HANDLE, DATA, disk))
        _check_volumes_finished(talk)
    assert ends == {"FAILED", "PARTIAL", "DONE"}


def _check_volumes_finished(talk: Conversation) -> None:
    """Each labelled volume is told of in the trace log when it is let go."""
    started = [line.split()[7] for line in talk.logged("START")]
    ended = [line.split()[3] for line in talk.logged("INFO taper tape")]
    assert started == ended


def test_the_dumpers_failure_at_any_moment_ends_the_dump() -> None:
    """FAILED at any moment after PORT-WRITE: a proper reply, and the next dump goes well."""
    for moment in range(length(spanning_port)):
        talk = spanning_port()
        talk.origins.dumpers.append(Dumped(DATA, pieces=(700,)))
        talk.origins.dumpers.append(Dumped(DATA, pieces=(700,)))
        failed: list[bool] = []

        def disturb(talk: Conversation = talk, failed: list[bool] = failed) -> None:
            if talk.origins.made:
                failed.append(True)
                talk.tell(f"FAILED {WORKER} {HANDLE}")

        converse(talk, disturb, moment)
        word = check_dump(talk, HANDLE, DATA, "/var")
        check_permissions(talk)
        if failed and moment < 14:
            assert word == "FAILED"
        talk.say(port_write("00-00002").replace("/var", "/opt"))
        talk.say(f"DONE {WORKER} 00-00002 10 11111111:1 22222222:2 00000000:0")
        check_dump(talk, "00-00002", DATA, "/opt")
        talk.quit()
        talk.check_sound()


FAULTS: dict[str, Callable[[], Exception]] = {
    "changer": lambda: ChangerError("the robot sulks"),
    "load": lambda: ChangerError("the robot sulks", ChangerReason.UNKNOWN),
    "released": lambda: ChangerError("the door is shut", ChangerReason.UNKNOWN),
    "set_label": lambda: ChangerError("no state file", ChangerReason.UNKNOWN),
    "set_meta_label": lambda: ChangerError("no state file", ChangerReason.UNKNOWN),
    "get_meta_label": lambda: ChangerError("no state file", ChangerReason.UNKNOWN),
    "set_device_error": lambda: ChangerError("no state file", ChangerReason.UNKNOWN),
    "storing": lambda: VolumeFailed("it does not store"),
    "start": lambda: DriveFailed("it does not start"),
    "finish": lambda: DriveFailed("it does not finish"),
    "erase": lambda: DriveFailed("it does not erase"),
    "tapelist read": lambda: TapelistError("tapelist: line 3 is not well formed"),
    "tapelist update": lambda: TapelistError("tapelist: line 3 is not well formed"),
    "history": lambda: OSError(errno.EACCES, "Permission denied"),
    "header": lambda: SourceFault("while opening holding file 'HF': No such file"),
    "data": lambda: SourceFault("Error accepting incoming connection: Connection timed out"),
    "status create": lambda: OSError(errno.ENOSPC, "No space left on device"),
    "status remove": lambda: OSError(errno.EACCES, "Permission denied"),
}


def fault_for(name: str) -> Exception | None:
    if name.startswith("log "):
        return OSError(errno.ENOSPC, "No space left on device")
    make = FAULTS.get(name)
    return make() if make is not None else None


@pytest.mark.parametrize("kind", CONVERSATIONS)
def test_any_single_failure_is_survived(kind: str) -> None:
    """One failure anywhere: the driver is answered, nothing leaks, and the next dump goes well."""
    make, disk = CONVERSATIONS[kind]
    plain = make()
    converse(plain, lambda: None, -1)
    plain.quit()
    for number, name in enumerate(plain.moments.done):
        fault = fault_for(name)
        if fault is None:
            continue
        talk = make()
        # a release that fails has given the slot back all the same
        key = "release" if name == "released" else name
        talk.moments.fail(key, *[None] * plain.moments.done[:number].count(name), fault)
        _check_survived(talk, disk, name)


def _check_survived(talk: Conversation, disk: str, name: str) -> None:
    converse(talk, lambda: None, -1)
    where = (name, talk.moments.done)
    answers = [line for line in talk.driver.lines if line.startswith(("TAPER-OK", "TAPE-ERROR"))]
    assert len(answers) == 1, where
    if answers[0].startswith("TAPER-OK"):
        word = check_dump(talk, HANDLE, DATA, disk, whole_log=not name.startswith("log"))
        if name == "status create":
            assert word == "DONE", "a status file is no reason to lose a dump"
        check_permissions(talk)
        _check_next_dump(talk)
    if name == "status remove":
        talk.status.there.clear()
    talk.quit()


def _check_next_dump(talk: Conversation) -> None:
    """The worker is free, and its volumes are in order: a started one is in the trace log."""
    talk.origins.dumps["NEXT"] = Dumped(DATA)
    talk.say(file_write("NEXT", "00-00009", split_by(4 * BLOCK)).replace("/home", "/next"))
    check_dump(talk, "00-00009", DATA, "/next")
