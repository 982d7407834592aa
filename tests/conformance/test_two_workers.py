"""What a worker answers in each of its states while another waits for a volume.

Whatever the answer is, the worker that waits then gets its volume and writes its dump.
"""

from collections.abc import Callable

import pytest
from _pytest.mark import ParameterSet

from tests.conformance.harness import STAMP, Options, World
from tests.conformance.harness_files import Dump, dump_header
from tests.conformance.harness_talk import HANDLE, WORKER, Conversation
from tests.conformance.harness_text import crc, payload

W1 = "worker0-1"
H1 = "01-00002"
H3 = "01-00003"
B = Dump("/b")
SMALL = payload(65_536)
BAD = 'BAD-COMMAND "command not appropriate in state <*>"'


def waiting(world: World, slots: int = 6) -> Conversation:
    """One worker that waits for permission."""
    world.configure(Options(slots=slots))
    talk = world.start()
    talk.start_taper()
    talk.file_write(world.holding(SMALL))
    talk.expect(f"REQUEST-NEW-TAPE {WORKER} {HANDLE}")
    return talk


def reserved(world: World) -> Conversation:
    """Idle, a volume reserved."""
    talk = waiting(world)
    talk.start_taper(W1)
    return talk


def started(world: World) -> Conversation:
    """Idle, a dump on its volume."""
    talk = reserved(world)
    talk.file_write(world.holding(SMALL, B), handle=H1, worker=W1, dump=B)
    talk.grant("PROTO01", H1, W1)
    talk.ready(H1, W1)
    talk.part("PROTO01", 1, 65_536, handle=H1, worker=W1)
    talk.done(crc(SMALL), handle=H1, worker=W1)
    return talk


def closed(world: World) -> Conversation:
    """Idle, no volume."""
    talk = started(world)
    talk.send(f"CLOSE-VOLUME {W1}")
    talk.expect(f"CLOSED-VOLUME {W1}")
    return talk


def asking(world: World) -> Conversation:
    """Waiting for permission as well."""
    talk = reserved(world)
    talk.file_write(world.holding(SMALL, B), handle=H1, worker=W1, dump=B)
    talk.expect(f"REQUEST-NEW-TAPE {W1} {H1}")
    return talk


def writing(world: World) -> Conversation:
    """On a volume, waiting for data."""
    talk = reserved(world)
    dumper = talk.port_write(handle=H1, worker=W1, dump=B)
    dumper.header(dump_header(B))
    talk.grant("PROTO01", H1, W1)
    talk.ready(H1, W1)
    return talk


def broken(world: World) -> Conversation:
    """No volume was found for it."""
    talk = waiting(world, slots=1)
    talk.send(f"START-TAPER taper0 {W1} PROTO {STAMP}")
    talk.expect(f"TAPE-ERROR {W1} <*>")
    return talk


STATES: dict[str, Callable[[World], Conversation]] = {
    "reserved": reserved,
    "started": started,
    "closed": closed,
    "asking": asking,
    "writing": writing,
    "error": broken,
}
TAKE = f"TAKE-SCRIBE-FROM {WORKER} {HANDLE} {W1}"
CLOSE = f"CLOSE-VOLUME {W1}"
SCAN = f"START-SCAN {W1} {H1}"
TAPE = f"NEW-TAPE {W1} {H1}"
WRITE = f"FILE-WRITE {W1} {H3} "
DUMPED = (f"PARTDONE {W1} <*>", f"DONE {W1} <*>")
Conversation = list[tuple[str, tuple[str, ...]]]
UNHEARD = "stock does not answer a NEW-TAPE that comes while it writes"
NEW: Conversation = [(TAPE, (BAD,))]
REFUSED: Conversation = [(CLOSE, (BAD,)), (WRITE, (BAD,))]
SCANNED: Conversation = [(SCAN, ())]
TALKS: list[tuple[str, Conversation, str]] = [
    ("reserved", [*NEW, *SCANNED, (TAKE, (f"REQUEST-NEW-TAPE {WORKER} {HANDLE}",))], ""),
    (
        "reserved",
        [(CLOSE, (f"CLOSED-VOLUME {W1}",)), (WRITE, (f"REQUEST-NEW-TAPE {W1} {H3}",))],
        "",
    ),
    ("started", [*NEW, (TAKE, (f"READY {WORKER} {HANDLE}",))], ""),
    ("started", [*SCANNED, (TAKE, (f"READY {WORKER} {HANDLE}",))], ""),
    ("started", [*SCANNED, (WRITE, (f"READY {W1} {H3}", *DUMPED))], ""),
    ("closed", [(TAKE, (f"REQUEST-NEW-TAPE {WORKER} {HANDLE}",))], ""),
    (
        "closed",
        [
            *NEW,
            (CLOSE, (f"CLOSED-VOLUME {W1}",)),
            *SCANNED,
            (WRITE, (f"REQUEST-NEW-TAPE {W1} {H3}",)),
        ],
        "",
    ),
    ("asking", [(TAKE, (BAD,))], ""),
    (
        "asking",
        [
            *REFUSED,
            *SCANNED,
            (TAPE, (f"NEW-TAPE {W1} {H1} PROTO01", f"READY {W1} {H1}", *DUMPED)),
        ],
        "",
    ),
    ("writing", [*REFUSED, *SCANNED, (TAKE, (BAD,))], ""),
    ("writing", NEW, UNHEARD),
    ("error", [*REFUSED, *NEW, *SCANNED, (TAKE, (BAD,))], ""),
]


def cases() -> list[ParameterSet]:
    """The talks, each by its state and commands."""
    found = []
    for state, talk, why in TALKS:
        marks = [pytest.mark.known_stock_failure(why)] if why else []
        name = " ".join([state, *(command.split()[0] for command, _ in talk)])
        found.append(pytest.param(state, talk, marks=marks, id=name))
    return found


@pytest.mark.parametrize(("state", "commands"), cases())
def test_commands_for_the_other_worker(world: World, state: str, commands: Conversation) -> None:
    """They are answered by the rules, and the one that waits is not disturbed."""
    talk = STATES[state](world)
    for command, answer in commands:
        if command == WRITE:
            talk.file_write(world.holding(SMALL, B), handle=H3, worker=W1, dump=B)
        else:
            talk.send(command)
        if answer == (BAD,):
            talk.send("XYZZY")  # so that silence is noticed at once
            answer = (BAD, 'BAD-COMMAND "unknown command<*>"')
        talk.expect(*answer)
        if not answer:
            talk.expect_silence(0.2)  # two scans at once would be stock's end
    if answer != (f"READY {WORKER} {HANDLE}",):
        talk.send(f"START-SCAN {WORKER} {HANDLE}", f"NEW-TAPE {WORKER} {HANDLE}")
        talk.expect(f"NEW-TAPE {WORKER} {HANDLE} <*>")
        talk.ready()
    talk.expect(f"PARTDONE {WORKER} {HANDLE} <*>")
    talk.done(crc(SMALL))
    world.check_dump(HANDLE, SMALL)
    talk.still_there()
