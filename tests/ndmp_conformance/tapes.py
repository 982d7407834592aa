"""Drives: what is open, and where it stands [ndmp-server 3.1, 3.2, 3.3, 7.1]."""

from __future__ import annotations

from protocols.ndmp import messages as m
from protocols.ndmp.codes import UNKNOWN, ErrorCode, MoverState, Mtio, TapeFlags, TapeMask, TapeMode
from tests.ndmp_conformance.mover_steps import ARGS, MOVER, READ, calls, comes_to, listen
from tests.ndmp_conformance.scenario import (
    ALL_VERSIONS,
    SINCE_3,
    Scenario,
    Step,
    case,
    denied,
    not_open,
)
from tests.ndmp_conformance.scene import OK, RECORD, Scene, ask, before4, check_fields
from tests.ndmp_conformance.tape_steps import (
    FILEMARK,
    REWIND,
    TAPE,
    at,
    files,
    mtio,
    read,
    reads_nothing,
    tape_open,
    unknown_or,
    write,
)

CLOSED, OPENED = ErrorCode.DEV_NOT_OPEN, ErrorCode.DEVICE_OPENED
EMPTY, PROTECTED = ErrorCode.NO_TAPE_LOADED, ErrorCode.WRITE_PROTECT
PERMISSION, BUSY = ErrorCode.PERMISSION, ErrorCode.DEVICE_BUSY
EOF, EOM = ErrorCode.EOF, ErrorCode.EOM
RDONLY, RDWR, RAW = TapeMode.READ, TapeMode.RDWR, TapeMode.RAW
SHUT, STATE = m.TapeClose(), m.TapeGetState()
INQUIRY = m.TapeExecuteCdb(1, 60000, 96, bytes.fromhex("120000006000"))


def cdb(*errors: ErrorCode) -> Step:
    """TAPE_EXECUTE_CDB, which a server need not have."""
    return ask(INQUIRY, *(errors or (OK,)), ErrorCode.NOT_SUPPORTED)


SUITE = (
    not_open("IT1", SHUT),
    denied("IT2", SHUT),
    case("IT3", "open and close", tape_open(), ask(SHUT), versions=ALL_VERSIONS),
    case("IT4", "a command to no drive", cdb(CLOSED)),
    denied("IT5", INQUIRY),
    case("IT6", "INQUIRY to the drive", tape_open(), cdb()),
    not_open("IT7", STATE),
    case("IT8", "where it stands", tape_open(), ask(STATE), versions=ALL_VERSIONS),
    not_open("IT9", m.TapeMtio(op=Mtio.REW, count=1)),
    case("IT10", "no motion", tape_open(), ask(m.TapeMtio(op=10, count=1), ARGS)),
    denied("IT11", m.TapeMtio(op=Mtio.REW, count=1)),
    case("IT12", "ready?", tape_open(), mtio(Mtio.TUR, 0, OK, ErrorCode.NOT_SUPPORTED)),
    case(
        "IT13", "open twice", tape_open(), tape_open(RDWR, "drive", OPENED), versions=ALL_VERSIONS
    ),
    denied("IT14", m.TapeOpen(device="drive", mode=RDWR)),
    case(
        "IT15",
        "no such drive",
        tape_open(RDWR, "bogus", ErrorCode.NO_DEVICE),
        versions=ALL_VERSIONS,
    ),
    case("IT16", "open to write", tape_open(RDWR), versions=ALL_VERSIONS),
    case(
        "IT17",
        "an empty drive",
        tape_open(RDONLY, "empty", EMPTY),
        tape_open(RDWR, "empty", EMPTY),
        versions=ALL_VERSIONS,
        needs="empty",
    ),
    case(
        "IT18",
        "a protected tape",
        tape_open(RDWR, "protected", PROTECTED),
        versions=ALL_VERSIONS,
        needs="protected",
    ),
    not_open("IT19", m.TapeRead(count=10)),
    denied("IT20", m.TapeRead(count=10)),
    case(
        "IT21", "a record of ten bytes", *TAPE, write(10), REWIND, read(10), versions=ALL_VERSIONS
    ),
    not_open("IT22", m.TapeWrite(data=b"x" * 10)),
    denied("IT23", m.TapeWrite(data=b"x" * 10)),
    case("IT24", "another one", *TAPE, write(10, seed=9), REWIND, read(10, seed=9)),
)


def known_position(scene: Scene) -> None:
    """What the server says that it does not know is all ones."""
    ask(STATE)(scene)
    told = scene.told["TAPE_GET_STATE"]
    fields = (
        (TapeMask.TOTAL_SPACE, "total_space", 2**64 - 1),
        (TapeMask.SPACE_REMAIN, "space_remain", 2**64 - 1),
        (TapeMask.FILE_NUM, "file_num", UNKNOWN),
        (TapeMask.BLOCKNO, "blockno", UNKNOWN),
    )
    check_fields(scene, told, {name: ones for bit, name, ones in fields if told.unsupported & bit})


NO_TAPE = (
    ask(m.TapeRead(count=RECORD), EMPTY),
    ask(m.TapeWrite(data=b"x"), EMPTY),
    mtio(Mtio.REW, 1, EMPTY),
    mtio(Mtio.TUR, 1, EMPTY, ErrorCode.NOT_SUPPORTED),
    ask(STATE, flags=lambda flags: not flags & TapeFlags.ERROR),
)
NOT_WRITTEN = (
    write(RECORD, PERMISSION),
    mtio(Mtio.EOF, 1, PERMISSION),
    ask(m.TapeWrite(data=b""), PERMISSION),
)
NOT_TO_BE_WRITTEN = (write(RECORD, PROTECTED), mtio(Mtio.EOF, 1, PROTECTED))
WORKING = (
    write(RECORD, BUSY),
    ask(m.TapeRead(count=RECORD), BUSY),
    mtio(Mtio.REW, 1, BUSY),
    mtio(Mtio.EOF, 1, BUSY),
    ask(SHUT, BUSY),
    tape_open(RDWR, "drive", OPENED),
    ask(STATE),
    ask(m.TapeWrite(data=b"")),
    ask(m.TapeRead(count=0)),
)
"""What is refused while the mover has the tape, and what is not."""

OWN = (
    # 3.1, 3.2: what is open, and how
    case(
        "T1a",
        "read only: nothing is written",
        tape_open(RDONLY),
        *NOT_WRITTEN,
        versions=ALL_VERSIONS,
    ),
    case("T1b", "the mover listens", *MOVER, listen(READ), *WORKING),
    case(
        "T1c", "the mover works", *MOVER, listen(READ), calls, comes_to(MoverState.ACTIVE), *WORKING
    ),
    case(
        "T1d",
        "nobody reads what is too long",
        *TAPE,
        reads_nothing(ARGS, count=2**31),
        versions=ALL_VERSIONS,
    ),
    case(
        "T1e",
        "nobody writes nothing to no drive",
        ask(m.TapeWrite(data=b""), CLOSED),
        ask(m.TapeRead(count=0), CLOSED),
        versions=ALL_VERSIONS,
    ),
    case(
        "T1f",
        "first the mode, then the mover",
        tape_open(RDONLY),
        ask(m.MoverSetRecordSize(RECORD)),
        listen(1),
        write(RECORD, PERMISSION),
    ),
    case(
        "T2a",
        "no mode",
        tape_open(TapeMode.READ, "drive"),
        ask(SHUT),
        ask(m.TapeOpen("drive", 123), ARGS),
        ask(m.TapeOpen("bogus", 123), ARGS),
        versions=ALL_VERSIONS,
    ),
    case("T2b", "raw, an empty drive", tape_open(RAW, "empty"), *NO_TAPE, ask(SHUT), needs="empty"),
    case(
        "T2c",
        "raw, a protected tape",
        tape_open(RAW, "protected"),
        *NOT_TO_BE_WRITTEN,
        needs="protected",
    ),
    case(
        "T2d",
        "a protected tape is read, and says what it is",
        tape_open(RDONLY, "protected"),
        REWIND,
        ask(STATE, flags=lambda flags: flags & TapeFlags.WRITE_PROTECTED),
        *NOT_WRITTEN,
        versions=SINCE_3,
        needs="protected",
    ),
    case(
        "T2e",
        "the tape and the robot exclude each other",
        tape_open(),
        ask(m.ScsiOpen("changer"), OPENED),
        ask(SHUT),
        ask(m.ScsiOpen("changer")),
        tape_open(RDWR, "drive", OPENED),
        versions=ALL_VERSIONS,
        needs="changer",
    ),
    case(
        "T2f",
        "where it stood",
        *TAPE,
        write(),
        FILEMARK,
        write(),
        FILEMARK,
        mtio(Mtio.BSF, 2),
        mtio(Mtio.FSF),
        ask(SHUT),
        tape_open(RDONLY),
        read(),
        versions=ALL_VERSIONS,
    ),
    # 3.3: where it stands
    case(
        "T3a",
        "positions",
        *TAPE,
        at(0, 0),
        write(),
        at(0, 1),
        write(),
        at(0, 2),
        FILEMARK,
        at(1, 0),
        write(),
        at(1, 1),
        REWIND,
        at(0, 0),
        mtio(Mtio.FSF),
        at(1, 0),
        versions=ALL_VERSIONS,
    ),
    case(
        "T3b",
        "before a filemark, backwards",
        *files([RECORD] * 3),
        mtio(Mtio.BSF),
        at(0, unknown_or(3)),
        mtio(Mtio.FSF),
        at(1, 0),
        versions=ALL_VERSIONS,
    ),
    case("T3c", "what is not known", *TAPE, known_position, versions=SINCE_3),
    case(
        "T3d",
        "a filemark that a read has met",
        *files([RECORD]),
        REWIND,
        read(seed=RECORD),
        reads_nothing(EOF),
        ask(STATE, file_num=before4(1, 0), blockno=before4(0, UNKNOWN)),
        versions=ALL_VERSIONS,
    ),
)

SCENARIOS: tuple[Scenario, ...] = (*SUITE, *OWN)
