"""Streams from tape [ndmp-server 4.6, 7.3]."""

from __future__ import annotations

from protocols.ndmp import messages as m
from protocols.ndmp.codes import INFINITY, Mtio, TapeMode
from tests.ndmp_conformance.mover_steps import (
    ABORT,
    ARGS,
    CLOSE,
    CONTINUE,
    EVERYTHING,
    ILLEGAL,
    WRITE,
    gets,
    halted,
    hangs_up,
    is_hung_up,
    listening,
    paused,
    record_size,
    resets,
    wants,
    window,
)
from tests.ndmp_conformance.scenario import ALL_VERSIONS, V4, Scenario, case
from tests.ndmp_conformance.scene import RECORD, ask
from tests.ndmp_conformance.tape_steps import REWIND, bytes_of, files, mtio, tape_open
from tests.ndmp_conformance.ways import (
    ABORTED,
    AT_THE_END,
    BROKEN,
    CLOSED,
    EOF,
    SEEK,
    SENDING,
    THREE,
    from_tape,
    on_tape,
)

NEXT = (window(3 * RECORD, INFINITY - 3 * RECORD), ask(CONTINUE))

FROM_TAPE = (
    case(
        "L5",
        "a filemark, and on without passing it",
        *from_tape(
            EVERYTHING, *listening(WRITE), wants(0, INFINITY), gets(THREE), paused(EOF, 3 * RECORD)
        ),
        *NEXT,
        paused(EOF),
        ask(CLOSE),
        halted(CLOSED),
        is_hung_up,
        versions=V4,
    ),
    case(
        "F1",
        "two files",
        *files([RECORD] * 3, [RECORD]),
        REWIND,
        record_size(),
        EVERYTHING,
        *listening(WRITE),
        wants(0, INFINITY),
        gets(THREE),
        paused(EOF, 3 * RECORD),
        mtio(Mtio.FSF, 1),
        *NEXT,
        gets(bytes_of(RECORD, 1 + RECORD)),
        paused(EOF, 4 * RECORD),
    ),
    case(
        "F2",
        "behind everything",
        *from_tape(mtio(Mtio.FSF), EVERYTHING, *listening(WRITE), wants(0, INFINITY)),
        paused(AT_THE_END, 0),
        versions=V4,
    ),
    case(
        "F3",
        "beyond the window",
        *from_tape(
            window(0, RECORD),
            *listening(WRITE),
            wants(0, 2 * RECORD),
            gets(THREE[:RECORD]),
            paused(SEEK, RECORD),
        ),
        mtio(Mtio.FSR, 1),
        window(2 * RECORD, RECORD),
        versions=V4,
    ),
    case(
        "F4",
        "before the window",
        *from_tape(
            mtio(Mtio.FSR),
            window(RECORD, 2 * RECORD),
            *listening(WRITE),
            wants(RECORD, RECORD),
            gets(THREE[RECORD : 2 * RECORD]),
            wants(0, RECORD),
            paused(SEEK, 0),
        ),
        versions=V4,
    ),
    case(
        "F5",
        "pieces that end anywhere",
        *from_tape(
            EVERYTHING,
            *listening(WRITE),
            wants(0, RECORD + 10),
            gets(THREE[: RECORD + 10]),
            wants(RECORD + 10, 20),
            gets(THREE[RECORD + 10 : RECORD + 30]),
            wants(RECORD + 30, 2 * RECORD - 30),
            gets(THREE[RECORD + 30 :]),
        ),
        versions=V4,
    ),
    case(
        "F6",
        "pieces backwards",
        *from_tape(
            EVERYTHING,
            *listening(WRITE),
            wants(2 * RECORD, RECORD),
            gets(THREE[2 * RECORD :]),
            wants(0, RECORD),
            gets(THREE[:RECORD]),
            wants(RECORD, RECORD),
            gets(THREE[RECORD : 2 * RECORD]),
        ),
        versions=ALL_VERSIONS,
    ),
    case(
        "F7",
        "records that are short",
        *from_tape(
            EVERYTHING,
            *listening(WRITE),
            wants(0, INFINITY),
            gets(on_tape(100, RECORD, 333)),
            paused(EOF),
            sizes=(100, RECORD, 333),
        ),
        versions=V4,
    ),
    case(
        "F8",
        "a reader that goes away",
        *from_tape(EVERYTHING, *listening(WRITE), hangs_up, halted((CLOSED, BROKEN))),
        versions=ALL_VERSIONS,
    ),
    case(
        "F9",
        "a reader that dies in the middle",
        *SENDING,
        resets,
        halted((CLOSED, BROKEN)),
        versions=ALL_VERSIONS,
    ),
    case(
        "F10",
        "the window binds to where the tape stands",
        *from_tape(
            mtio(Mtio.FSR),
            window(50 * RECORD, INFINITY),
            *listening(WRITE),
            wants(50 * RECORD, RECORD),
            gets(THREE[RECORD : 2 * RECORD]),
        ),
        versions=ALL_VERSIONS,
    ),
    case(
        "F11",
        "what is given up stops sending",
        *SENDING,
        ask(ABORT),
        halted(ABORTED),
        versions=ALL_VERSIONS,
    ),
    case(
        "F12",
        "closed only in a pause",
        *SENDING,
        ask(CLOSE, ILLEGAL),
        ask(ABORT),
        halted(ABORTED),
        versions=V4,
    ),
    case(
        "F13",
        "on with a tape that is only read",
        *from_tape(
            window(0, RECORD),
            *listening(WRITE),
            wants(0, 2 * RECORD),
            gets(THREE[:RECORD]),
            paused(SEEK, RECORD),
            ask(m.TapeClose()),
            tape_open(TapeMode.READ),
            REWIND,
            mtio(Mtio.FSR),
            window(RECORD, 2 * RECORD),
            ask(CONTINUE),
            gets(THREE[RECORD : 2 * RECORD]),
        ),
        versions=V4,
    ),
    case(
        "F14",
        "beyond the end of numbers",
        *from_tape(EVERYTHING, *listening(WRITE), wants(INFINITY, 2, ARGS)),
        versions=V4,
    ),
)

SCENARIOS: tuple[Scenario, ...] = FROM_TAPE
