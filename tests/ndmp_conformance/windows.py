"""Windows [ndmp-server 4.3]."""

from __future__ import annotations

from protocols.ndmp import messages as m
from protocols.ndmp.codes import INFINITY, ErrorCode, MoverState, Mtio
from tests.ndmp_conformance.mover_steps import (
    ABORT,
    ARGS,
    CONTINUE,
    EOW,
    MOVER,
    READ,
    STOP,
    WRITE,
    connect_to_nobody,
    finishes,
    gets,
    halted,
    has_moved,
    listen,
    listening,
    paused,
    record_size,
    sends,
    state,
    to_tape,
    wants,
    window,
)
from tests.ndmp_conformance.scenario import ALL_VERSIONS, V4, Scenario, Step, case
from tests.ndmp_conformance.scene import RECORD, Scene, ask, tries
from tests.ndmp_conformance.talk import Wrong
from tests.ndmp_conformance.tape_steps import FILEMARK, REWIND, bytes_of, mtio
from tests.ndmp_conformance.ways import (
    ABORTED,
    ACTIVE,
    AT_WINDOW_END,
    CLOSED,
    HALTED,
    IDLE,
    SEEK,
    THREE,
    ZERO_WINDOW,
    from_tape,
)


def bad_windows(*errors: ErrorCode) -> tuple[Step, ...]:
    """Windows that no mover can have, at R = 1024."""
    most = INFINITY - INFINITY % RECORD
    return (
        window(0, INFINITY - 1, *errors),
        window(most, RECORD * 2, *errors),
    )


def pauses_at_once_or_takes_all(scene: Scene) -> None:
    """As the window was accepted or refused."""
    for _ in tries(scene):
        ask(m.MoverGetState())(scene)
        told = scene.told["MOVER_GET_STATE"]
        if told.state == MoverState.PAUSED:
            paused(EOW, 0)(scene)
            return
        if told.bytes_moved == RECORD:
            return
    raise Wrong("neither a pause nor a record")


WINDOWS = (
    case(
        "W1",
        "none at all",
        *to_tape(bytes_of(5 * RECORD)),
        FILEMARK,
        REWIND,
        mtio(Mtio.FSR, 9, resid=4),
        versions=ALL_VERSIONS,
    ),
    case(
        "W2",
        "all of them",
        record_size(),
        *(
            window(*pair)
            for pair in (
                (0, RECORD),
                (0, INFINITY),
                (RECORD, INFINITY),
                (RECORD, INFINITY - RECORD),
                (RECORD, RECORD),
            )
        ),
        versions=V4,
    ),
    case(
        "W3",
        "beyond the end of numbers",
        record_size(),
        window(INFINITY - RECORD + 1, 2 * RECORD, ARGS),
        window(INFINITY, 2, ARGS),
        versions=V4,
    ),
    case(
        "W4",
        "uneven, in a pause",
        *AT_WINDOW_END,
        window(1, RECORD, ARGS),
        window(0, RECORD + 1, ARGS),
        window(RECORD, RECORD),
        ask(CONTINUE),
        paused(EOW, 2 * RECORD),
    ),
    case(
        "W5",
        "uneven before it listens: told when it is to",
        *MOVER,
        window(0, RECORD + 1),
        listen(READ, ErrorCode.PRECONDITION),
        connect_to_nobody(ErrorCode.PRECONDITION),
        state(IDLE),
        window(0, RECORD),
        listen(READ),
    ),
    case(
        "W6",
        "from tape the length may be uneven",
        *from_tape(
            window(0, RECORD + 100),
            *listening(WRITE),
            wants(0, RECORD + 100),
            gets(THREE[: RECORD + 100]),
            wants(RECORD + 100, 1),
            paused(SEEK, RECORD + 100),
        ),
    ),
    case(
        "W7",
        "from tape the offset may not",
        *from_tape(window(100, RECORD), listen(WRITE, ErrorCode.PRECONDITION)),
    ),
    case(
        "W8",
        "running offsets",
        *MOVER,
        window(0, 2 * RECORD),
        *listening(READ),
        sends(bytes_of(7 * RECORD)),
        paused(EOW, 2 * RECORD),
        window(2 * RECORD, RECORD),
        ask(CONTINUE),
        paused(EOW, 3 * RECORD),
        window(3 * RECORD, INFINITY - 3 * RECORD),
        ask(CONTINUE),
        finishes,
        halted(CLOSED),
        FILEMARK,
        REWIND,
        mtio(Mtio.FSR, 99, resid=92),
        versions=ALL_VERSIONS,
    ),
    case(
        "W9",
        "each from nothing",
        *MOVER,
        window(0, 2 * RECORD),
        *listening(READ),
        sends(bytes_of(5 * RECORD)),
        paused(EOW),
        window(0, 2 * RECORD),
        ask(CONTINUE),
        paused(EOW),
        window(0, INFINITY),
        ask(CONTINUE),
        finishes,
        halted(CLOSED),
        FILEMARK,
        REWIND,
        mtio(Mtio.FSR, 99, resid=94),
    ),
    case(
        "W10",
        "an exact fit is no pause",
        *MOVER,
        window(0, 2 * RECORD),
        *listening(READ),
        sends(bytes_of(2 * RECORD)),
        has_moved(2 * RECORD),
        state(ACTIVE),
        finishes,
        halted(CLOSED),
        versions=ALL_VERSIONS,
    ),
    case(
        "W11",
        "what is left over pauses, too",
        *MOVER,
        window(0, RECORD),
        *listening(READ),
        sends(bytes_of(RECORD + 1)),
        finishes,
        paused(EOW, RECORD),
        window(RECORD, RECORD),
        ask(CONTINUE),
        halted(CLOSED),
        state(HALTED, halt_reason=CLOSED),
        FILEMARK,
        REWIND,
        mtio(Mtio.FSR, 9, resid=7),
        versions=ALL_VERSIONS,
    ),
    case(
        "W12",
        "another record size forgets the window",
        record_size(),
        window(RECORD, RECORD),
        record_size(2048),
        state(IDLE, window_offset=0, window_length=(0, INFINITY), record_size=2048),
        versions=V4,
    ),
    case(
        "W13",
        "a window of nothing pauses before the first byte, where there is one",
        *MOVER,
        window(0, 0, *ZERO_WINDOW),
        *(*listening(READ), sends(b"x" * RECORD), pauses_at_once_or_takes_all),
        versions=V4,
    ),
    case(
        "W14",
        "impossible ends",
        *MOVER,
        listen(READ),
        ask(ABORT),
        halted(ABORTED),
        ask(STOP),
        *AT_WINDOW_END[1:],
        *bad_windows(ARGS),
        versions=V4,
    ),
)

SCENARIOS: tuple[Scenario, ...] = WINDOWS
