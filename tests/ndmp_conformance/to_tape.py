"""Streams to tape [ndmp-server 4.6, 7.3]."""

from __future__ import annotations

import socket

from protocols.ndmp import messages as m
from protocols.ndmp.codes import INFINITY, ErrorCode, HaltReason, Mtio, TapeMode
from tests.ndmp_conformance.mover_steps import (
    ABORT,
    CONTINUE,
    EOW,
    EVERYTHING,
    ILLEGAL,
    MOVER,
    ONLY_EOW,
    READ,
    STOP,
    connecting,
    finishes,
    halted,
    hangs_up,
    has_moved,
    listen,
    listening,
    paused,
    record_size,
    resets,
    sends,
    state,
    to_tape,
    window,
)
from tests.ndmp_conformance.scenario import ALL_VERSIONS, SINCE_3, V4, Scenario, case
from tests.ndmp_conformance.scene import RECORD, Scene, ask, before4
from tests.ndmp_conformance.talk import Wrong
from tests.ndmp_conformance.tape_steps import (
    FILEMARK,
    REWIND,
    TAPE,
    at,
    bytes_of,
    files,
    mtio,
    read,
    reads_nothing,
    tape_open,
    write,
)
from tests.ndmp_conformance.ways import (
    ACTIVE,
    AT_WINDOW_END,
    BROKEN,
    CLOSED,
    EOM,
    HALTED,
    IDLE,
    IN_ACTIVE,
    IN_HALTED,
    LARGE,
    MIB,
    NOT_OPEN,
    PAUSED,
    PERMISSION,
    STATE,
)

R512 = (*TAPE, record_size(512))
L1 = (*R512, window(0, 1024), *listening(READ), sends(bytes_of(1600)), paused(EOW, 1024))
L3 = (
    *L1,
    window(1024, INFINITY - 1024),
    ask(CONTINUE),
    finishes,
    halted(CLOSED),
    state(HALTED, halt_reason=CLOSED, bytes_moved=2048),
)


def is_closed_to_others(scene: Scene) -> None:
    """Nobody else gets a data connection where the mover listened."""
    address = scene.told["MOVER_LISTEN"].address.addresses[0]
    try:
        with socket.create_connection((address.host, address.port), scene.patience) as link:
            link.settimeout(scene.patience)
            if link.recv(1):
                raise Wrong("a second peer was let in")
    except ConnectionError:
        return


def writes_until_early(scene: Scene) -> None:
    """Send until the mover pauses at the early warning."""
    piece, sent = bytes(32768), 0
    scene.link.settimeout(0.02)
    try:
        while True:
            try:
                sent += scene.link.send(piece[sent % 32768 :])
            except TimeoutError:
                ask(STATE)(scene)
                if scene.told["MOVER_GET_STATE"].state == PAUSED:
                    break
            if sent > 64 * MIB:
                raise Wrong("no early warning in 64 MiB")
    finally:
        scene.link.settimeout(scene.patience)
    scene.told["sent"] = sent


def sends_until_it_ends(scene: Scene) -> None:
    """Send until the mover takes no more."""
    try:
        for _ in range(64 * MIB // LARGE):
            scene.link.sendall(bytes(LARGE))
    except ConnectionError:
        return
    raise Wrong("no end in 64 MiB")


def keeps_what_met_it(scene: Scene) -> None:
    """The record that met the early warning is not on the tape, and was not counted."""
    paused(EOM)(scene)
    ask(STATE)(scene)
    moved = scene.told["MOVER_GET_STATE"].bytes_moved
    at(0, moved // 32768)(scene)
    scene.told["moved"] = moved


def goes_on_elsewhere(scene: Scene) -> None:
    """All that was sent is on this tape, but for what is on the other one."""
    moved, sent = scene.told["moved"], scene.told["sent"]
    window(moved, INFINITY - moved)(scene)
    ask(CONTINUE)(scene)
    finishes(scene)
    halted(CLOSED)(scene)
    at(0, -(-(sent - moved) // 32768))(scene)


EARLY = (
    tape_open(TapeMode.RDWR, "small"),
    REWIND,
    record_size(32768),
    *listening(READ),
    writes_until_early,
    keeps_what_met_it,
)

TO_TAPE = (
    case(
        "L1",
        "the end of a window",
        *(*R512, window(0, 1024), *listening(READ), sends(bytes_of(1600))),
        paused(ONLY_EOW, 1024),
        versions=ALL_VERSIONS,
    ),
    case(
        "L2",
        "on without another one",
        *L1,
        ask(CONTINUE, ErrorCode.PRECONDITION),
        state(PAUSED, pause_reason=EOW),
    ),
    case(
        "L3",
        "to the end, which is padded",
        *L3,
        FILEMARK,
        REWIND,
        *(read(512), mtio(Mtio.FSR, 9, resid=6)),
        versions=ALL_VERSIONS,
    ),
    case(
        "L4",
        "the tape is closed in a pause",
        *L1,
        ask(m.TapeClose()),
        window(1024, 1024),
        ask(CONTINUE, NOT_OPEN),
    ),
    case(
        "L6",
        "HALTED",
        *IN_HALTED,
        listen(READ, ILLEGAL),
        window(0, RECORD, ILLEGAL),
        record_size(RECORD, ILLEGAL),
        ask(ABORT, ILLEGAL),
        versions=V4,
    ),
    case(
        "L7",
        "written in mid-tape",
        *files([512], [512], [512]),
        REWIND,
        mtio(Mtio.FSF),
        write(512),
        mtio(Mtio.FSF, 9, resid=9),
        versions=ALL_VERSIONS,
    ),
    case(
        "P1",
        "a stream, to the byte",
        *to_tape(bytes_of(10 * RECORD + 100)),
        FILEMARK,
        REWIND,
        *(
            ask(m.TapeRead(RECORD), data=bytes_of(11 * RECORD)[n * RECORD : (n + 1) * RECORD])
            for n in range(10)
        ),
        ask(m.TapeRead(RECORD), data=bytes_of(10 * RECORD + 100)[-100:] + bytes(RECORD - 100)),
        reads_nothing(ErrorCode.EOF),
        versions=ALL_VERSIONS,
    ),
    case("P2", "a stream of nothing", *to_tape(b""), at(0, 0), versions=ALL_VERSIONS),
    case(
        "P3",
        "a stream to us that we have called",
        *MOVER,
        connecting(READ),
        sends(bytes_of(3 * RECORD)),
        finishes,
        halted(CLOSED),
        ask(STOP),
        FILEMARK,
        REWIND,
        mtio(Mtio.FSR, 9, resid=6),
        versions=SINCE_3,
    ),
    case(
        "P4",
        "the first address is dead",
        *MOVER,
        connecting(READ, dead=1),
        sends(b"x"),
        finishes,
        halted(CLOSED),
    ),
    case(
        "P5",
        "a sender that dies",
        *MOVER,
        *listening(READ),
        sends(bytes_of(RECORD)),
        has_moved(RECORD),
        resets,
        halted((BROKEN, HaltReason.INTERNAL_ERROR)),
        versions=ALL_VERSIONS,
    ),
    case(
        "P6",
        "two streams one behind another",
        *to_tape(bytes_of(RECORD)),
        FILEMARK,
        record_size(),
        *to_tape(bytes_of(2 * RECORD), opened=False),
        FILEMARK,
        REWIND,
        mtio(Mtio.FSR, 9, resid=8),
        mtio(Mtio.FSF),
        mtio(Mtio.FSR, 9, resid=7),
        versions=V4,
    ),
    case(
        "P7",
        "record size and window outlive the stop",
        *to_tape(bytes_of(RECORD)),
        state(IDLE, record_size=RECORD),
        versions=ALL_VERSIONS,
    ),
    case(
        "P8",
        "bytes are counted",
        *MOVER,
        *listening(READ),
        sends(bytes_of(3 * RECORD)),
        has_moved(3 * RECORD),
        state(ACTIVE, record_num=3, record_size=RECORD, mode=READ),
        at(0, before4((0, 3), 3)),
        versions=V4,
    ),
    case(
        "P9",
        "a tape that is only read when it goes on",
        *AT_WINDOW_END,
        FILEMARK,
        ask(m.TapeClose()),
        tape_open(TapeMode.READ),
        window(RECORD, RECORD),
        ask(CONTINUE, PERMISSION),
        state(PAUSED, pause_reason=EOW),
    ),
    case("P10", "a second peer is not let in", *IN_ACTIVE, is_closed_to_others),
    case(
        "P11",
        "early warning, and on another tape",
        *EARLY,
        FILEMARK,
        ask(m.TapeClose()),
        *TAPE,
        goes_on_elsewhere,
        versions=V4,
        needs="small",
    ),
    case(
        "P12",
        "early warning, and on to the end",
        *EARLY,
        EVERYTHING,
        ask(CONTINUE),
        sends_until_it_ends,
        halted(HaltReason.MEDIA_ERROR),
        ask(STOP),
        hangs_up,
        FILEMARK,
        versions=V4,
        needs="small",
    ),
)

SCENARIOS: tuple[Scenario, ...] = TO_TAPE
