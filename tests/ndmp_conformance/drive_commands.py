"""SCSI commands to a drive [ndmp-server 3.7]."""

from __future__ import annotations

from protocols.ndmp import messages as m
from tests.ndmp_conformance.mover_steps import ARGS, MOVER, READ, listen
from tests.ndmp_conformance.scenario import Scenario, Step, case
from tests.ndmp_conformance.scene import RECORD, ask
from tests.ndmp_conformance.tape_steps import (
    FILEMARK,
    TAPE,
    at,
    files,
    read,
    reads_nothing,
    tape_open,
    write,
)
from tests.ndmp_conformance.tapes import BUSY, EMPTY, EOF, INQUIRY, RAW

SENSE_BAD_COMMAND = bytes.fromhex("7205200000000000")


def command(cdb: str, **fields: object) -> Step:
    """TAPE_EXECUTE_CDB of a server that has it."""
    flags = 1 if "datain" in fields else 0
    return ask(m.TapeExecuteCdb(flags, 60000, 252, bytes.fromhex(cdb)), **fields)


def is_tape(data: bytes) -> bool:
    """INQUIRY data of a sequential device."""
    return len(data) >= 36 and data[0] == 1


COMMANDS = (
    case(
        "C1",
        "what it is",
        tape_open(),
        command("120000006000", status=0, datain=is_tape),
        needs="cdb",
    ),
    case(
        "C2",
        "cut to what is asked for",
        tape_open(),
        command("120000000500", status=0, datain=lambda data: len(data) == 5),
        ask(
            m.TapeExecuteCdb(1, 0, 3, bytes.fromhex("120000006000")),
            datain=lambda data: len(data) == 3,
        ),
        needs="cdb",
    ),
    case(
        "C3",
        "ready, and no sense",
        tape_open(),
        command("000000000000", status=0),
        command("030000001200", status=0, datain=lambda data: len(data) >= 8),
        needs="cdb",
    ),
    case(
        "C4",
        "sizes of blocks",
        tape_open(),
        command("050000000000", status=0, datain=lambda data: len(data) == 6),
        needs="cdb",
    ),
    case(
        "C5", "rewind", *files([RECORD]), command("010000000000", status=0), at(0, 0), needs="cdb"
    ),
    case(
        "C6",
        "rewind after a write writes a filemark",
        *TAPE,
        write(),
        command("010000000000", status=0),
        read(),
        reads_nothing(EOF),
        needs="cdb",
    ),
    case(
        "C7",
        "unknown commands are the drive's to refuse",
        tape_open(),
        command("ff0000000000", status=2, ext_sense=SENSE_BAD_COMMAND),
        command("920000000000", status=2),
        needs="cdb",
    ),
    case(
        "C8",
        "no command, and one that is too long",
        tape_open(),
        ask(m.TapeExecuteCdb(0, 0, 0, b""), ARGS),
        ask(m.TapeExecuteCdb(0, 0, 0, bytes(17)), ARGS),
        ask(m.TapeExecuteCdb(2**32 - 1, 0, 0, bytes(6)), ARGS),
        needs="cdb",
    ),
    case(
        "C9",
        "unloaded and loaded",
        *TAPE,
        write(),
        FILEMARK,
        command("1b0000000000", status=0),
        reads_nothing(EMPTY),
        command("000000000000", status=2),
        command("1b0000000100", status=0),
        at(0, 0),
        read(),
        needs="cdb reloads",
    ),
    case("C10", "not while the mover works", *MOVER, listen(READ), ask(INQUIRY, BUSY), needs="cdb"),
    case(
        "C11",
        "an empty drive",
        tape_open(RAW, "empty"),
        command("000000000000", status=2),
        command("120000006000", status=0, datain=is_tape),
        needs="cdb empty",
    ),
)

SCENARIOS: tuple[Scenario, ...] = COMMANDS
