"""The mover: states and what each refuses [ndmp-server 4.1, 4.5, 7.1]."""

from __future__ import annotations

from protocols.ndmp import messages as m
from protocols.ndmp.codes import INFINITY, ErrorCode, HaltReason, MoverMode, TapeMode
from tests.ndmp_conformance.mover_steps import (
    ABORT,
    ARGS,
    CLOSE,
    CONTINUE,
    EOW,
    EVERYTHING,
    ILLEGAL,
    MOVER,
    ONLY_EOW,
    READ,
    STOP,
    WRITE,
    calls,
    comes_to,
    connect_to_nobody,
    connecting,
    finishes,
    gets,
    halted,
    hangs_up,
    is_hung_up,
    listen,
    listening,
    paused,
    record_size,
    resets,
    sends,
    state,
    to_tape,
    wants,
    window,
)
from tests.ndmp_conformance.scenario import (
    ALL_VERSIONS,
    SINCE_3,
    Scenario,
    Step,
    case,
    denied,
    illegal,
)
from tests.ndmp_conformance.scene import OK, RECORD, Scene, ask, before4, logged
from tests.ndmp_conformance.talk import Wrong
from tests.ndmp_conformance.tape_steps import bytes_of, tape_open
from tests.ndmp_conformance.ways import (
    ABORTED,
    ACTIVE,
    AT_WINDOW_END,
    BROKEN,
    CLOSED,
    HALTED,
    IDLE,
    IN_ACTIVE,
    IN_HALTED,
    IN_LISTEN,
    LISTEN,
    NOT_OPEN,
    NOWHERE,
    PAUSED,
    PERMISSION,
    PRECONDITION,
    SENDING,
    STATE,
    THREE,
    TO_NOBODY,
    ZERO_WINDOW,
    from_tape,
)

SUITE = (
    illegal("IM1", ABORT),
    denied("IM2", ABORT),
    case(
        "IM3",
        "given up while it listens",
        *IN_LISTEN,
        ask(ABORT),
        halted(ABORTED),
        versions=ALL_VERSIONS,
    ),
    case(
        "IM4",
        "closed in a pause",
        *AT_WINDOW_END,
        ask(CLOSE),
        halted(CLOSED),
        versions=ALL_VERSIONS,
    ),
    denied("IM5", CLOSE),
    illegal("IM6", CLOSE),
    case(
        "IM7",
        "to a dead port",
        *MOVER,
        connect_to_nobody(ErrorCode.CONNECT),
        state(IDLE),
        versions=SINCE_3,
    ),
    case(
        "IM8",
        "to somebody, no tape is open",
        record_size(),
        connect_to_nobody(NOT_OPEN),
        versions=SINCE_3,
    ),
    case(
        "IM9",
        "to a data agent that does not listen",
        *MOVER,
        ask(TO_NOBODY, ILLEGAL),
        versions=SINCE_3,
    ),
    denied("IM10", TO_NOBODY),
    case("IM11", "to us", *MOVER, connecting(READ), state(ACTIVE), versions=SINCE_3),
    case(
        "IM12",
        "to us, onto a tape that is only read",
        tape_open(TapeMode.READ),
        record_size(),
        connect_to_nobody(PERMISSION),
        versions=SINCE_3,
    ),
    case(
        "IM13",
        "on with a new window",
        *AT_WINDOW_END,
        window(RECORD, RECORD),
        ask(CONTINUE),
        paused(EOW, 2 * RECORD),
        versions=ALL_VERSIONS,
    ),
    illegal("IM14", CONTINUE),
    denied("IM15", CONTINUE),
    case("IM16", "on without a new window", *AT_WINDOW_END, ask(CONTINUE, ErrorCode.PRECONDITION)),
    denied("IM17", STATE),
    case("IM18", "the state", state(IDLE, bytes_moved=0), versions=ALL_VERSIONS),
    case(
        "IM19",
        "to listen, no tape is open",
        record_size(),
        listen(READ, NOT_OPEN),
        listen(WRITE, NOT_OPEN),
        versions=ALL_VERSIONS,
    ),
    case(
        "IM20",
        "no mode, no kind of address",
        *MOVER,
        listen(MoverMode(2), ARGS),
        ask(m.MoverListen(3), ARGS),
        listen(READ, ARGS, kind=4),
        versions=ALL_VERSIONS,
    ),
    case("IM21", "to listen twice", *IN_LISTEN, listen(READ, ILLEGAL), versions=ALL_VERSIONS),
    denied("IM22", m.MoverListen(READ)),
    case("IM23", "to listen", *IN_LISTEN, state(LISTEN), versions=ALL_VERSIONS),
    case(
        "IM24",
        "a tape that is only read",
        tape_open(TapeMode.READ),
        record_size(),
        listen(READ, PERMISSION),
        listen(WRITE),
        versions=ALL_VERSIONS,
    ),
    case("IM25", "nothing is wanted", *from_tape(EVERYTHING, *listening(WRITE), wants(0, 0, ARGS))),
    case(
        "IM26",
        "something is wanted of nobody",
        wants(0, RECORD, ILLEGAL),
        *IN_ACTIVE,
        wants(0, RECORD, ILLEGAL),
        versions=ALL_VERSIONS,
    ),
    denied("IM27", m.MoverRead(0, 1)),
    case(
        "IM28",
        "a piece of the stream",
        *from_tape(EVERYTHING, *listening(WRITE), wants(0, 2 * RECORD)),
        gets(THREE[: 2 * RECORD]),
        state(ACTIVE, bytes_left_to_read=0),
        versions=ALL_VERSIONS,
    ),
    case(
        "IM29",
        "two pieces at once",
        *SENDING,
        wants(0, RECORD, before4(ILLEGAL, ErrorCode.READ_IN_PROGRESS)),
        versions=ALL_VERSIONS,
    ),
    case("IM30", "records of nothing", record_size(0, ARGS), versions=ALL_VERSIONS),
    case(
        "IM31",
        "records while it listens",
        *IN_LISTEN,
        record_size(RECORD, ILLEGAL),
        versions=ALL_VERSIONS,
    ),
    denied("IM32", m.MoverSetRecordSize(1)),
    case(
        "IM33",
        "records of many sizes",
        record_size(1),
        record_size(8192),
        record_size(2**32 - 2, OK, ARGS),
        record_size(2**32 - 1, OK, ARGS),
        record_size(8192),
        versions=ALL_VERSIONS,
    ),
    case("IM34", "a window of nothing", record_size(), window(0, 0, *ZERO_WINDOW)),
    case(
        "IM35",
        "a window while it works",
        *IN_ACTIVE,
        window(0, RECORD, ILLEGAL),
        versions=ALL_VERSIONS,
    ),
    denied("IM36", m.MoverSetWindow(0, 0)),
    case(
        "IM37",
        "windows of many sizes",
        record_size(8192),
        *(window(0, n) for n in (1, 8192, 2**32 - 2, 2**32 - 1)),
    ),
    case("IM38", "a window without a record size", window(0, 8192, PRECONDITION), versions=SINCE_3),
    illegal("IM39", STOP),
    denied("IM40", STOP),
    case(
        "IM41", "listen, give up, stop", *IN_HALTED, ask(STOP), state(IDLE), versions=ALL_VERSIONS
    ),
)

# posts of 7.1 that a tape server has

POSTS = (
    case(
        "IP8",
        "a log as an error",
        *IN_ACTIVE,
        resets,
        halted((BROKEN, HaltReason.INTERNAL_ERROR)),
        logged(""),
    ),
    case("IP9", "a stream that ends well", *to_tape(b"x" * RECORD), versions=ALL_VERSIONS),
    case("IP10", "the greeting", state(IDLE), versions=ALL_VERSIONS),
    case("IP13", "halted: aborted", *IN_ACTIVE, ask(ABORT), halted(ABORTED), versions=ALL_VERSIONS),
    case(
        "IP14",
        "halted: connection closed",
        *IN_ACTIVE,
        finishes,
        halted(CLOSED),
        versions=ALL_VERSIONS,
    ),
    case(
        "IP15",
        "paused: end of window",
        *(*MOVER, window(0, RECORD), *listening(READ), sends(bytes_of(3 * RECORD))),
        paused(ONLY_EOW, RECORD),
        versions=ALL_VERSIONS,
    ),
)


def all_but(*good: str) -> tuple[Step, ...]:
    """Every request of the mover that is wrong in a state is refused."""
    every = {
        "size": record_size(RECORD, ILLEGAL),
        "window": window(0, RECORD, ILLEGAL),
        "listen": listen(READ, ILLEGAL),
        "connect": connect_to_nobody(ILLEGAL),
        "read": wants(0, RECORD, ILLEGAL),
        "continue": ask(CONTINUE, ILLEGAL),
        "close": ask(CLOSE, ILLEGAL),
        "abort": ask(ABORT, ILLEGAL),
        "stop": ask(STOP, ILLEGAL),
    }
    assert set(good) <= set(every)
    return tuple(step for name, step in every.items() if name not in good)


MATRIX = (
    case(
        "M-IDLE",
        "what IDLE refuses",
        *MOVER,
        *all_but("size", "window", "listen", "connect"),
        state(IDLE),
        versions=SINCE_3,
    ),
    case("M-LISTEN", "what LISTEN refuses", *IN_LISTEN, *all_but("abort"), state(LISTEN)),
    case("M-ACTIVE", "what ACTIVE refuses", *IN_ACTIVE, *all_but("abort"), state(ACTIVE)),
    case(
        "M-PAUSED",
        "what PAUSED refuses",
        *AT_WINDOW_END,
        *all_but("abort", "window", "close", "continue"),
        state(PAUSED, pause_reason=EOW),
    ),
    case(
        "M-HALTED",
        "what HALTED refuses",
        *IN_HALTED,
        *all_but("stop"),
        state(HALTED, halt_reason=ABORTED),
        versions=SINCE_3,
    ),
    case(
        "M-ABORT",
        "given up in a pause, and while it works",
        *AT_WINDOW_END,
        ask(ABORT),
        halted(ABORTED),
        ask(STOP),
        hangs_up,
        window(0, INFINITY),
        *listening(READ),
        comes_to(ACTIVE),
        ask(ABORT),
        halted(ABORTED),
        is_hung_up,
        versions=ALL_VERSIONS,
    ),
)

# addresses and states


def tells_addresses(scene: Scene) -> None:
    """Where it listens, and then who is there."""
    ask(STATE)(scene)
    told, reply = scene.told["MOVER_GET_STATE"], scene.told["MOVER_LISTEN"]
    if told.data_connection_addr != reply.address:
        raise Wrong(f"it listens at {reply.address}, and tells {told.data_connection_addr}")
    calls(scene)
    comes_to(ACTIVE)(scene)
    own = scene.link.getsockname()[:2]
    (there,) = scene.told["MOVER_GET_STATE"].data_connection_addr.addresses
    if (there.host, there.port) != own:
        raise Wrong(f"it tells {there} as its peer, who is {own}")


FIELDS = (
    case(
        "A1",
        "nothing, before anything",
        state(
            IDLE,
            mode=MoverMode.NOACTION,
            record_size=0,
            bytes_moved=0,
            window_offset=0,
            window_length=(0, INFINITY),
            data_connection_addr=NOWHERE,
        ),
    ),
    case("A2", "addresses", *MOVER, listen(READ), tells_addresses),
    case(
        "A3",
        "positions from tape",
        *from_tape(
            EVERYTHING,
            *listening(WRITE),
            wants(RECORD, 2 * RECORD),
            gets(THREE[RECORD:]),
            state(ACTIVE, seek_position=(RECORD, 3 * RECORD), bytes_left_to_read=0, mode=WRITE),
        ),
    ),
)

SCENARIOS: tuple[Scenario, ...] = (*SUITE, *POSTS, *MATRIX, *FIELDS)
