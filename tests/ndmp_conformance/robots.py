"""SCSI devices: the robot [ndmp-server 5, 7.1]."""

from __future__ import annotations

from typing import Any

from protocols.ndmp import messages as m
from protocols.ndmp.codes import ErrorCode
from tests.ndmp_conformance.mover_steps import ARGS
from tests.ndmp_conformance.scenario import ALL_VERSIONS, Scenario, Step, case, denied, not_open
from tests.ndmp_conformance.scene import Scene, ask
from tests.ndmp_conformance.session_steps import other
from tests.ndmp_conformance.talk import Wrong

OPENED, BUSY = ErrorCode.DEVICE_OPENED, ErrorCode.DEVICE_BUSY
SHUT, STATE = m.ScsiClose(), m.ScsiGetState()
OPEN = ask(m.ScsiOpen("changer"))
INQUIRY = bytes.fromhex("120000006000")
PAGES = {1: "arm", 2: "slot", 3: "port", 4: "drive"}


def command(cdb: str, **fields: Any) -> Step:
    """SCSI_EXECUTE_CDB."""
    flags = 1 if "datain" in fields else 0
    said = m.ScsiExecuteCdb(flags, 60000, 65536, bytes.fromhex(cdb))
    return ask(said, **{"status": 0, **fields})


def is_changer(data: bytes) -> bool:
    return len(data) >= 36 and data[0] & 0x1F == 8


def status_cdb(kind: int = 0, first: int = 0, count: int = 0xFFFF, size: int = 60000) -> str:
    """READ ELEMENT STATUS, with barcodes."""
    head = bytes((0xB8, 0x10 | kind)) + first.to_bytes(2, "big") + count.to_bytes(2, "big")
    return (head + b"\0" + size.to_bytes(3, "big") + bytes(2)).hex()


def elements(data: bytes) -> dict[str, dict[int, tuple[bool, str]]]:
    """Elements by kind: address to full or not, and barcode."""
    found: dict[str, dict[int, tuple[bool, str]]] = {}
    end, here = 8 + int.from_bytes(data[5:8], "big"), 8
    while here < end:
        kind, tagged = PAGES[data[here]], data[here + 1] & 0x80
        size = int.from_bytes(data[here + 2 : here + 4], "big")
        page_end = here + 8 + int.from_bytes(data[here + 5 : here + 8], "big")
        here += 8
        while here < page_end:
            one = data[here : here + size]
            tag = one[12:44].decode("ascii").strip() if tagged else ""
            found.setdefault(kind, {})[int.from_bytes(one[:2], "big")] = bool(one[2] & 1), tag
            here += size
    return found


def looks(scene: Scene, kind: int = 0) -> dict[str, dict[int, tuple[bool, str]]]:
    """What is where."""
    command(status_cdb(kind), datain=bool)(scene)
    return elements(scene.told["SCSI_EXECUTE_CDB"].datain)


def whole_inventory(scene: Scene) -> None:
    """There are slots and drives; counts of the header and of what follows agree."""
    found = looks(scene)
    data = scene.told["SCSI_EXECUTE_CDB"].datain
    if not (found.get("slot") and found.get("drive")):
        raise Wrong(f"no slots or no drives: {found}")
    count = int.from_bytes(data[2:4], "big")
    if count != sum(len(places) for places in found.values()):
        raise Wrong(f"{count} elements are told, and {found} follow")
    if not any(full and tag for full, tag in found["slot"].values()):
        raise Wrong(f"no barcode in {found['slot']}")


def one_kind(scene: Scene) -> None:
    """Only slots, only drives, and some of them."""
    every = looks(scene)
    for number in (2, 4):
        found = looks(scene, number)
        if found != {PAGES[number]: every[PAGES[number]]}:
            raise Wrong(f"{found} of {every}")
    second = sorted(every["slot"])[1]
    command(status_cdb(2, second, 1), datain=bool)(scene)
    found = elements(scene.told["SCSI_EXECUTE_CDB"].datain)
    if found != {"slot": {second: every["slot"][second]}}:
        raise Wrong(f"{found}, wanted slot {second} only")


def short_buffer(scene: Scene) -> None:
    """The head says how long all is, the rest is cut."""
    command(status_cdb(), datain=bool)(scene)
    whole = scene.told["SCSI_EXECUTE_CDB"].datain
    command(status_cdb(size=8), datain=whole[:8])(scene)


def assigned(scene: Scene) -> None:
    """MODE SENSE tells the same addresses as the status."""
    command("1a001d00ff00", datain=bool)(scene)
    data = scene.told["SCSI_EXECUTE_CDB"].datain
    page = data[4 + data[3] :]
    if page[0] & 0x3F != 0x1D:
        raise Wrong(f"page {page.hex()}, wanted 1d")
    found = looks(scene)
    for at, kind in ((2, "arm"), (6, "slot"), (10, "port"), (14, "drive")):
        first, count = (int.from_bytes(page[at + n : at + n + 2], "big") for n in (0, 2))
        places = found.get(kind, {})
        if count != len(places) or (places and first != min(places)):
            raise Wrong(f"{kind}: {count} from {first} on, but {places}")


def move_cdb(source: int, target: int) -> str:
    """MOVE MEDIUM."""
    return (b"\xa5\0\0\0" + source.to_bytes(2, "big") + target.to_bytes(2, "big") + bytes(4)).hex()


def moves(scene: Scene, source: int, target: int, sense: str = "") -> None:
    """MOVE MEDIUM, done or refused for this reason."""
    command(move_cdb(source, target), status=2 if sense else 0)(scene)
    found = bytes(scene.told["SCSI_EXECUTE_CDB"].ext_sense)
    told = found[1:4] if found[:1] == b"\x72" else found[2:3] + found[12:14]
    if sense and told.hex() != sense:
        raise Wrong(f"move from {source} to {target}: sense {told.hex()}, wanted {sense}")


def places(scene: Scene) -> tuple[int, int, int, int]:
    """A full slot, an empty one if there is any (or 0), and two drives, which are empty."""
    found = looks(scene)
    full = next(address for address, (there, _) in found["slot"].items() if there)
    free = next((address for address, (there, _) in found["slot"].items() if not there), 0)
    drives = [address for address, (there, _) in found["drive"].items() if not there]
    return full, free, drives[0], drives[1]


def there_and_back(scene: Scene) -> None:
    """A volume goes into a drive and home; the drive tells whence it came, and its barcode."""
    full, _, drive, second = places(scene)
    before = looks(scene)
    moves(scene, full, drive)
    after = looks(scene)
    if after["slot"][full][0] or after["drive"][drive] != before["slot"][full]:
        raise Wrong(f"after the move: {after}")
    source = _source_of(scene, drive)
    if source != full:
        raise Wrong(f"the volume in drive {drive} came from {source}, not from {full}")
    moves(scene, drive, second)
    moves(scene, second, full)
    if looks(scene) != before:
        raise Wrong(f"back again: {looks(scene)}, before {before}")


def _source_of(scene: Scene, drive: int) -> int | None:
    command(status_cdb(4, drive, 1), datain=bool)(scene)
    one = scene.told["SCSI_EXECUTE_CDB"].datain[16:]
    return int.from_bytes(one[10:12], "big") if one[9] & 0x80 else None


def bad_moves(scene: Scene) -> None:
    """From nowhere, to nowhere, out of nothing, onto something."""
    full, free, drive, second = places(scene)
    moves(scene, 9999, drive, "052101")
    moves(scene, full, 9999, "052101")
    moves(scene, drive, second, "053b0e")
    if free:
        moves(scene, free, drive, "053b0e")
    moves(scene, full, drive)
    other_full = next(a for a, (there, _) in looks(scene)["slot"].items() if there)
    moves(scene, other_full, drive, "053b0d")
    moves(scene, drive, full)


def used_drive(scene: Scene) -> None:
    """A drive that a session has open gives nothing away."""
    full, _, drive, second = places(scene)
    moves(scene, full, drive)
    other(ask(m.TapeOpen(scene.target.devices["first"], 2)))(scene)
    moves(scene, drive, second, "055302")
    other(ask(m.TapeClose()))(scene)
    moves(scene, drive, full)


SUITE = (
    not_open("IS1", SHUT),
    denied("IS2", SHUT),
    case("IS3", "open and close", OPEN, ask(SHUT), versions=ALL_VERSIONS, needs="changer"),
    not_open("IS4", m.ScsiExecuteCdb(1, 0, 36, INQUIRY)),
    denied("IS5", m.ScsiExecuteCdb(1, 0, 36, INQUIRY)),
    case(
        "IS6",
        "INQUIRY, no limit of time",
        OPEN,
        ask(m.ScsiExecuteCdb(1, 0, 36, INQUIRY), status=0, datain=is_changer),
        needs="changer",
    ),
    case(
        "IS7",
        "flags and a command that do not exist",
        OPEN,
        ask(m.ScsiExecuteCdb(2**32 - 1, 0, 36, b"\xff" * 6), ARGS),
        needs="changer",
    ),
    not_open("IS8", STATE),
    denied("IS9", STATE),
    case("IS10", "where it is", OPEN, ask(STATE), versions=ALL_VERSIONS, needs="changer"),
    case(
        "IS11",
        "open twice",
        OPEN,
        ask(m.ScsiOpen("changer"), OPENED),
        versions=ALL_VERSIONS,
        needs="changer",
    ),
    denied("IS12", m.ScsiOpen("changer")),
    case("IS13", "open", OPEN, versions=ALL_VERSIONS, needs="changer"),
    case(
        "IS14",
        "no such device",
        ask(m.ScsiOpen("bogus"), ErrorCode.NO_DEVICE),
        versions=ALL_VERSIONS,
    ),
    not_open("IS15", m.ScsiResetDevice()),
    denied("IS16", m.ScsiResetDevice()),
    case("IS17", "reset", OPEN, ask(m.ScsiResetDevice()), versions=ALL_VERSIONS, needs="changer"),
)

OWN = (
    case(
        "R1",
        "one session has the robot",
        OPEN,
        other(ask(m.ScsiOpen("changer"), BUSY)),
        ask(SHUT),
        other(OPEN, ask(SHUT)),
        needs="changer",
    ),
    case(
        "R2",
        "ready, and what it is",
        OPEN,
        command("000000000000"),
        command("120000002400", datain=lambda data: is_changer(data) and len(data) == 36),
        command("070000000000"),
        command("030000001200"),
        needs="changer",
    ),
    case("R3", "inventory", OPEN, whole_inventory, versions=ALL_VERSIONS, needs="changer"),
    case("R4", "elements of one kind", OPEN, one_kind, needs="changer"),
    case("R5", "a buffer that is too small", OPEN, short_buffer, needs="changer"),
    case("R6", "addresses by MODE SENSE", OPEN, assigned, needs="changer"),
    case("R7", "a move, and back", OPEN, there_and_back, versions=ALL_VERSIONS, needs="changer"),
    case("R8", "moves that cannot be", OPEN, bad_moves, needs="changer"),
    case("R9", "out of a drive that is in use", OPEN, used_drive, needs="changer first"),
    case(
        "R10",
        "commands that it has not",
        OPEN,
        command("ff0000000000", status=2),
        command("b50000000000000000000000", status=2),
        needs="changer",
    ),
    case(
        "R11",
        "no command, and one that is too long",
        OPEN,
        ask(m.ScsiExecuteCdb(0, 0, 0, b""), ARGS),
        ask(m.ScsiExecuteCdb(0, 0, 0, bytes(17)), ARGS),
        needs="changer",
    ),
)

SCENARIOS: tuple[Scenario, ...] = (*SUITE, *OWN)
