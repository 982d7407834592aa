"""Records, filemarks and motion [ndmp-server 3.4, 3.5, 3.6]."""

from __future__ import annotations

from protocols.ndmp import messages as m
from protocols.ndmp.codes import UNKNOWN, ErrorCode, Mtio
from tests.ndmp_conformance.scenario import ALL_VERSIONS, Scenario, Step, case
from tests.ndmp_conformance.scene import RECORD, Scene, ask, before4, check_fields
from tests.ndmp_conformance.talk import Wrong, name_of
from tests.ndmp_conformance.tape_steps import (
    END,
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
from tests.ndmp_conformance.tapes import EOF, EOM, NO_TAPE, RDWR, SHUT, STATE


def until_early(size: int = 32768) -> Step:
    """Write records until the early warning; the one that meets it is not written."""

    def step(scene: Scene) -> None:
        data = bytes_of(size)
        for number in range(4096):
            got = scene.talk.request(m.TapeWrite(data=data))
            if got.error == EOM:
                scene.note(f"early warning at record {number}")
                scene.told["early"] = number
                check_fields(scene, got.body, {"count": (0,)})
                ask(STATE, blockno=number)(scene)
                return
            if got.error:
                raise Wrong(f"TAPE_WRITE of record {number}: {name_of(got.error)}")
        raise Wrong(f"no early warning in 4096 records of {size} bytes")

    return step


def until_full(size: int = 32768) -> Step:
    """Write records until the tape takes no more, and it says so each time."""

    def step(scene: Scene) -> None:
        for _ in range(4096):
            got = scene.talk.request(m.TapeWrite(data=bytes_of(size)))
            if got.error:
                check_fields(scene, got.body, {"error": (ErrorCode.IO,)})
                break
        else:
            raise Wrong("the tape has no end")
        ask(m.TapeWrite(data=bytes_of(size)), ErrorCode.IO)(scene)

    return step


RECORDS = (
    # 3.4: the filemark behind what was written
    *(
        case(
            f"T4-{op.name}",
            f"a filemark before {op.name}",
            *TAPE,
            write(),
            mtio(op, 1, resid=rest),
            REWIND,
            read(),
            reads_nothing(EOF),
            versions=ALL_VERSIONS,
        )
        for op, rest in ((Mtio.REW, 0), (Mtio.FSF, 1), (Mtio.BSF, 0), (Mtio.FSR, 1), (Mtio.BSR, 1))
    ),
    case(
        "T4a",
        "a filemark when it is closed",
        *TAPE,
        write(),
        ask(SHUT),
        *TAPE,
        read(),
        reads_nothing(EOF),
        versions=ALL_VERSIONS,
    ),
    case(
        "T4b",
        "one only",
        *TAPE,
        write(),
        FILEMARK,
        ask(SHUT),
        *TAPE,
        mtio(Mtio.FSF, 5, resid=4),
        versions=ALL_VERSIONS,
    ),
    case(
        "T4c",
        "no filemark is one that was not asked for",
        *TAPE,
        write(),
        mtio(Mtio.EOF, 0),
        ask(SHUT),
        *TAPE,
        mtio(Mtio.FSF, 5, resid=4),
        versions=ALL_VERSIONS,
    ),
    # 3.5: motion
    case(
        "T5a",
        "none at all",
        *files([RECORD] * 2, [RECORD]),
        REWIND,
        mtio(Mtio.FSR),
        *(mtio(op, 0) for op in (Mtio.FSF, Mtio.BSF, Mtio.FSR, Mtio.BSR)),
        at(0, 1),
        versions=ALL_VERSIONS,
    ),
    case(
        "T5b",
        "files forward, beyond all",
        *files([RECORD], [RECORD] * 2),
        REWIND,
        mtio(Mtio.FSF, 2),
        at(2, 0),
        REWIND,
        mtio(Mtio.FSF, 9, resid=7),
        reads_nothing(END),
        versions=ALL_VERSIONS,
    ),
    case(
        "T5c",
        "files backward, beyond all",
        *files([RECORD], [RECORD]),
        mtio(Mtio.BSF, 9, resid=7),
        at(0, 0),
        versions=ALL_VERSIONS,
    ),
    case(
        "T5d",
        "to the start of a file",
        *files([RECORD], [RECORD] * 2, [RECORD]),
        mtio(Mtio.BSF, 3),
        mtio(Mtio.FSF),
        at(1, 0),
        read(seed=1 + RECORD),
        versions=ALL_VERSIONS,
    ),
    case(
        "T5e",
        "records forward, up to a filemark",
        *files([RECORD] * 3, [RECORD]),
        REWIND,
        mtio(Mtio.FSR, 5, resid=2),
        mtio(Mtio.FSR, 5, resid=before4(4, 5)),
        versions=ALL_VERSIONS,
    ),
    case(
        "T5f",
        "records backward, down to a filemark",
        *files([RECORD], [RECORD] * 3),
        mtio(Mtio.BSF),
        mtio(Mtio.BSR, 5, resid=2),
        at(before4(0, 1), before4((1, UNKNOWN), 0)),
        versions=ALL_VERSIONS,
    ),
    case(
        "T5g", "directly behind a filemark", *files([RECORD]), mtio(Mtio.BSR, 1, resid=1), at(1, 0)
    ),
    case(
        "T5h",
        "rewind, whatever the count",
        *files([RECORD]),
        mtio(Mtio.REW, 7),
        at(0, 0),
        mtio(Mtio.REW, 0),
        versions=ALL_VERSIONS,
    ),
    case(
        "T5i",
        "several filemarks, in mid-tape",
        *files([RECORD], [RECORD], [RECORD]),
        REWIND,
        mtio(Mtio.FSF),
        mtio(Mtio.EOF, 3),
        at(4, 0),
        reads_nothing(END),
        mtio(Mtio.BSF, 9, resid=5),
        versions=ALL_VERSIONS,
    ),
    case(
        "T5j",
        "filemarks at the beginning",
        *TAPE,
        mtio(Mtio.EOF, 3),
        at(3, 0),
        versions=ALL_VERSIONS,
    ),
    case(
        "T5k",
        "unloaded, then loaded again",
        *TAPE,
        write(),
        mtio(Mtio.OFF),
        *NO_TAPE[:3],
        ask(SHUT),
        tape_open(),
        REWIND,
        read(),
        needs="reloads",
    ),
    # 3.6: records
    case(
        "T6a",
        "a record is asked for with more and with less",
        *files([RECORD, 2 * RECORD]),
        REWIND,
        read(4 * RECORD, RECORD, seed=RECORD),
        read(100, 100, seed=2 * RECORD),
        reads_nothing(EOF),
        versions=ALL_VERSIONS,
    ),
    case(
        "T6b",
        "a filemark, again and again",
        *files([RECORD], [RECORD]),
        REWIND,
        read(seed=RECORD),
        reads_nothing(EOF),
        reads_nothing(EOF),
        reads_nothing(EOF),
    ),
    case(
        "T6c",
        "a filemark is crossed",
        *files([RECORD], [RECORD]),
        REWIND,
        read(seed=RECORD),
        reads_nothing(EOF),
        read(seed=1 + RECORD),
        versions=(3, 2),
    ),
    case(
        "T6d",
        "behind everything",
        *files([RECORD]),
        reads_nothing(END),
        reads_nothing(END),
        versions=ALL_VERSIONS,
    ),
    case(
        "T6e",
        "nothing is read, nothing is written",
        *files([RECORD]),
        REWIND,
        ask(m.TapeRead(count=0), data=b""),
        ask(m.TapeWrite(data=b""), count=0),
        at(0, 0),
        read(seed=RECORD),
        versions=ALL_VERSIONS,
    ),
    case(
        "T6f",
        "what is written cuts off the rest",
        *files([RECORD], [RECORD] * 3, [RECORD]),
        REWIND,
        mtio(Mtio.FSF),
        write(100),
        mtio(Mtio.FSF, 9, resid=9),
        reads_nothing(END),
        mtio(Mtio.BSF, 2),
        mtio(Mtio.FSF),
        read(100),
        reads_nothing(EOF),
        versions=ALL_VERSIONS,
    ),
    case(
        "T6g",
        "every size of record",
        *TAPE,
        *(write(size) for size in (1, 3, 511, 65536, 7)),
        REWIND,
        *(read(65536, size) for size in (1, 3, 511)),
        read(65536),
        read(65536, 7),
        versions=ALL_VERSIONS,
    ),
    case(
        "T6h",
        "early warning, once",
        tape_open(RDWR, "small"),
        REWIND,
        until_early(),
        *(write(1024), write(1024), FILEMARK, ask(SHUT)),
        versions=ALL_VERSIONS,
        needs="small",
    ),
    case(
        "T6i",
        "the end",
        tape_open(RDWR, "small"),
        REWIND,
        until_early(),
        until_full(),
        FILEMARK,
        REWIND,
        write(),
        versions=ALL_VERSIONS,
        needs="small",
    ),
)

SCENARIOS: tuple[Scenario, ...] = RECORDS
