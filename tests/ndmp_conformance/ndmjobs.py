"""What ndmjob's own client tests [ndmp 5.6]: all of it, as its Debian build cannot say it all."""

from __future__ import annotations

from collections.abc import Iterator

from protocols.ndmp import messages as m
from protocols.ndmp.codes import (
    UNKNOWN,
    AddressType,
    ErrorCode,
    HaltReason,
    MoverMode,
    MoverState,
    Mtio,
    TapeMode,
)
from tests.ndmp_conformance.mover_steps import (
    ABORT,
    ARGS,
    CLOSE,
    CONTINUE,
    ILLEGAL,
    READ,
    STOP,
    WRITE,
    halted,
    listen,
    record_size,
    state,
    window,
)
from tests.ndmp_conformance.scenario import ALL_VERSIONS, Scenario, Step, case
from tests.ndmp_conformance.scene import OK, Asked, all_of, ask, before4, since4, until4
from tests.ndmp_conformance.tape_steps import (
    END,
    FILEMARK,
    REWIND,
    TAPE,
    at,
    bytes_of,
    mtio,
    read,
    reads_nothing,
    tape_open,
    write,
)

SHUT, STATE = m.TapeClose(), m.TapeGetState()
CLOSED, OPENED = ErrorCode.DEV_NOT_OPEN, ErrorCode.DEVICE_OPENED
PERMISSION, EOF = ErrorCode.PERMISSION, ErrorCode.EOF
RDONLY, RDWR = TapeMode.READ, TapeMode.RDWR
IDLE, LISTEN = MoverState.IDLE, MoverState.LISTEN
NO_WINDOW = window(0, 0, OK, ARGS)
"""An empty window: its tests want it, the draft does not [ndmp-server 8.1]."""
WINDOW_AT_ONCE = window(0, 0, OK, ARGS, before4(ARGS, ErrorCode.PRECONDITION))
"""Nor does the draft want any without a record size."""


def rewritten(size: int) -> tuple[Step, ...]:
    """A record is written, and found again."""
    return (
        *(REWIND, write(1024, seed=size), FILEMARK, ask(SHUT)),
        *(*TAPE, read(size, 1024, seed=size), reads_nothing(EOF)),
        since4(mtio(Mtio.FSF), reads_nothing(ErrorCode.EOM)),
        until4(reads_nothing(EOF)),
    )


SHORT = (
    case(
        "NT1",
        "T-OC",
        ask(SHUT, CLOSED),
        tape_open(RDWR, "bogus", ErrorCode.NO_DEVICE),
        ask(m.TapeOpen("drive", 123), ARGS),
        *(tape_open(RDONLY), ask(SHUT)),
        *(tape_open(RDWR), tape_open(RDWR, "drive", OPENED), ask(SHUT)),
        versions=ALL_VERSIONS,
    ),
    case(
        "NT2",
        "T-BGS",
        ask(STATE, CLOSED),
        tape_open(),
        ask(STATE),
        ask(SHUT),
        versions=ALL_VERSIONS,
    ),
    case(
        "NT3",
        "T-BW",
        write(1024, CLOSED),
        *(tape_open(RDONLY), write(1024, PERMISSION), ask(SHUT)),
        *(tape_open(RDWR), ask(m.TapeWrite(data=b""), OK, ARGS)),
        *(write(1024), FILEMARK, REWIND, ask(SHUT)),
        versions=ALL_VERSIONS,
    ),
    case(
        "NT4",
        "T-BR",
        *(*TAPE, write(1024), FILEMARK, ask(SHUT)),
        *(reads_nothing(CLOSED), tape_open(RDONLY), REWIND),
        *(reads_nothing(before4((OK, ARGS), OK), count=0), reads_nothing(ARGS, count=2**31)),
        *(read(1024), reads_nothing(EOF), REWIND),
        *(read(2048, 1024), REWIND),
        *(read(512), reads_nothing(EOF), ask(SHUT)),
        versions=ALL_VERSIONS,
    ),
    case(
        "NT5",
        "T-BWR",
        *TAPE,
        *(mtio(Mtio.BSR, 100, resid=100), mtio(Mtio.BSF, 100, resid=100)),
        *(FILEMARK, mtio(Mtio.BSF, 100, resid=99), mtio(Mtio.FSF, 100, resid=99)),
        *(reads_nothing(END), reads_nothing(END), REWIND),
        # it wants no filemark of a motion here, the draft does [ndmp-server 8.12]
        *(write(512), mtio(Mtio.BSR, 100, resid=(99, 100)), REWIND),
        *(mtio(Mtio.FSR, 100, resid=99), mtio(Mtio.FSR, 100, resid=100)),
        *rewritten(1024),
        *rewritten(65536),
        versions=ALL_VERSIONS,
    ),
)

FILES = (
    *((1, 512), (100, 1024), (1, 512), (100, 139), (1, 512)),
    *((99, 10240), (1, 512), (3, 32768), (1, 512)),
)
"""Records of each file and their size."""


def known(file_num: int, blockno: int) -> dict[str, tuple[int, int]]:
    """Where it stands, or it says that it does not know."""
    return {"file_num": (file_num, UNKNOWN), "blockno": (blockno, UNKNOWN)}


def data_of(file: int, record: int, size: int) -> bytes:
    return bytes_of(size, file * 101 + record)


def writing() -> Iterator[Asked]:
    """All files, and where it stands after each record and filemark."""
    for file, (records, size) in enumerate(FILES):
        for record in range(records):
            yield m.TapeWrite(data=data_of(file, record, size)), OK, {"count": size}
            yield STATE, OK, known(file, record + 1)
        yield m.TapeMtio(op=Mtio.EOF, count=1), OK, {"resid": 0}
        yield STATE, OK, known(file + 1, 0)


def reading() -> Iterator[Asked]:
    """All of it again."""
    for file, (records, size) in enumerate(FILES):
        for record in range(records):
            yield m.TapeRead(count=size), OK, {"data": data_of(file, record, size)}
            yield STATE, OK, known(file, record + 1)
        yield m.TapeRead(count=size), EOF, {}
        yield STATE, OK, {"file_num": before4(file + 1, file), "blockno": before4(0, UNKNOWN)}
        yield m.TapeMtio(op=Mtio.FSF, count=before4(0, 1)), OK, {"resid": 0}
        yield STATE, OK, {"file_num": file + 1, "blockno": 0}


def moving(file: int, records: int, size: int) -> tuple[Step, ...]:
    """To a file, over all of its records, and to the middle of them."""
    half, many = records // 2, 1000000
    back = (since4(at(file, records), mtio(Mtio.BSR, many, resid=many - records), at(file, 0)),)
    start = (REWIND, mtio(Mtio.FSF, file))
    steps = (*start, mtio(Mtio.FSR, many, resid=many - records), *back, until4(at(file + 1, 0)))
    middle = ask(m.TapeRead(count=size), data=data_of(file, half, size))
    steps += (*start, mtio(Mtio.FSR, 0), mtio(Mtio.FSR, half), middle)
    if half:
        before = ask(m.TapeRead(count=size), data=data_of(file, half - 1, size))
        steps += (mtio(Mtio.BSR, 2), before)
    return steps


LONG = case(
    "NT6",
    "T-WRITE, T-READ, T-MTIO",
    *(*TAPE, all_of(*writing())),
    *(ask(SHUT), tape_open(RDONLY), REWIND, all_of(*reading())),
    *(step for file, (records, size) in enumerate(FILES) for step in moving(file, records, size)),
    versions=ALL_VERSIONS,
)

# the mover


def series(mode: MoverMode) -> tuple[Step, ...]:
    """The full listen series."""
    return (
        state(IDLE),
        listen(mode),
        state(LISTEN),
        listen(mode, ILLEGAL),
        *(ask(CONTINUE, ILLEGAL), ask(STOP, ILLEGAL)),
        window(0, 0, before4((OK, ARGS), (ILLEGAL, ARGS))),
        record_size(10240, ILLEGAL),
        *(ask(ABORT), halted(HaltReason.ABORTED)),
        *(ask(STOP), state(IDLE)),
    )


READY = (state(IDLE), record_size(10240), NO_WINDOW)
MOVERS = (
    case(
        "NM1",
        "M-IDLE",
        state(IDLE),
        *(ask(request, ILLEGAL) for request in (CONTINUE, ABORT, STOP, CLOSE)),
        WINDOW_AT_ONCE,
        record_size(10240),
        versions=ALL_VERSIONS,
    ),
    case("NM2", "M-LISTEN", *READY, versions=ALL_VERSIONS),
    case(
        "NM3",
        "M-LISTEN, bogus arguments",
        ask(m.MoverListen(123, AddressType.LOCAL), ARGS),
        ask(m.MoverListen(READ, 123), ARGS),
        versions=ALL_VERSIONS,
    ),
    case(
        "NM4",
        "M-LISTEN, not open",
        *READY,
        *(step for mode in (READ, WRITE) for step in (state(IDLE), listen(mode, CLOSED))),
        versions=ALL_VERSIONS,
    ),
    case(
        "NM5",
        "M-LISTEN, tape read only",
        *(*READY, tape_open(RDONLY)),
        *(state(IDLE), listen(READ, PERMISSION), state(IDLE)),
        *(*series(WRITE), ask(SHUT)),
        versions=ALL_VERSIONS,
    ),
    case(
        "NM6",
        "M-LISTEN, tape to be written",
        *(*READY, tape_open(RDWR)),
        *(*series(READ), *series(WRITE), ask(SHUT)),
        versions=ALL_VERSIONS,
    ),
)

SCENARIOS: tuple[Scenario, ...] = (*SHORT, LONG, *MOVERS)
