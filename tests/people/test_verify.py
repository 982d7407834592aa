"""``taperctl verify``, of volumes that our taper has written."""

from __future__ import annotations

import errno
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.threads import blockingCallFromThread

from devices.errors import DriveFailed
from devices.file import FileDevice
from protocols.tapelist import Tapelist
from taper.people import inspecting, verify
from taper.people.catalogue import make_catalogue
from taper.people.exits import Exit
from taper.people.inspecting import Inspection
from taper.people.running import Work
from tests.people.nights import PART, Dump, Nights
from tests.plane.dumping import crc_of
from tests.tapeserver.process import TapeServerProcess

FIRST, SECOND = "20260107000000", "20260108210000"


async def two_nights(tmp_path: Path, **settings: Any) -> Nights:
    """C01 with a dump of three parts and one of a single part; C02 with one."""
    nights = Nights(tmp_path).make()
    nights.configure(**settings)
    await nights.hold(FIRST, Dump("/home", 2 * PART + 5), Dump("/srv", 100))
    await nights.hold(SECOND, Dump("/home", 10, level=1))
    return nights


def squeezed(lines: list[str]) -> list[str]:
    return [" ".join(line.split()) for line in lines]


def file_of(nights: Nights, number: int, slot: int = 1) -> Path:
    (path,) = (nights.root / f"vtapes/slot{slot}").glob(f"{number:05d}.*")
    return path


def flip(path: Path, place: int, bit: int = 1) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= bit
    path.write_bytes(data)


@ensureDeferred
async def test_all_is_well(tmp_path: Path) -> None:
    nights = await two_nights(tmp_path)
    before = nights.snapshot()
    assert squeezed(await nights.lines("verify", "--all")) == [
        "volume files read verdict",
        "C01 4 128.1 KiB good",
        "C02 1 10 B good",
        "3 dumps: as it was written: lengths and checksum",
    ]
    assert nights.snapshot() == before
    assert nights.said == []


@ensureDeferred
async def test_as_json(tmp_path: Path) -> None:
    nights = await two_nights(tmp_path)
    record = await nights.record("verify", "C01")
    assert record == {
        "schema": "taper/verify/1",
        "config": "C",
        "volumes": [
            {"label": "C01", "absent": None, "files": 4, "read": 2 * PART + 105, "findings": 0}
        ],
        "dumps": [
            {
                "host": "localhost",
                "disk": disk,
                "datestamp": FIRST,
                "level": "0",
                "storage": "C",
                "verdict": "good",
                "read": size,
            }
            for disk, size in (("/home", 2 * PART + 5), ("/srv", 100))
        ],
        "findings": [],
        "unlisted": [],
    }


async def findings(nights: Nights, *words: str) -> list[dict[str, Any]]:
    record = await nights.record("verify", *(words or ("--all",)), exit=Exit.FOUND)
    return record["findings"]  # type: ignore[no-any-return]


@ensureDeferred
async def test_a_flipped_bit_in_a_dump_of_one_part(tmp_path: Path) -> None:
    nights = await two_nights(tmp_path)
    flip(file_of(nights, 4), 32768 + 50)
    (found,) = await findings(nights)
    place = [found[name] for name in ("kind", "volume", "file", "part", "block", "byte")]
    assert place == ["checksum", "C01", 4, 1, 0, 50]
    assert re.match("its checksum is [0-9a-f]{8}:100, the log says [0-9a-f]{8}:100", found["text"])
    lines = squeezed(await nights.lines("verify", "C01", exit=Exit.FOUND))
    assert lines[1] == "C01 4 128.1 KiB damaged"
    assert lines[2].startswith("volume C01, file 4")
    assert lines[-2:] == ["1 dump: damaged", "localhost:/srv level 0 of 2026-01-07"]


@pytest.mark.parametrize(
    ("number", "change", "kind", "text"),
    [
        (2, lambda data: data[:-1], "length", f"it has {PART - 1} bytes, {PART} expected"),
        (2, lambda data: data[:32768], "length", f"it has 0 bytes, {PART} expected"),
        (2, lambda data: data + b"x", "length", f"it has {PART + 1} bytes, {PART} expected"),
        (2, lambda data: data + bytes(32768), "length", f"it has {PART + 32768} bytes"),
        (2, lambda data: b"", "missing", "the file is not on the volume"),
        (2, lambda data: data[:20000], "length", f"it has 0 bytes, {PART} expected"),
        (2, lambda data: b"x" + data[1:], "header", "its header cannot be read: Invalid amanda"),
        (2, lambda data: data.replace(b"lev 0", b"lev 1", 1), "header", "header on 'C01' file 2"),
        (
            2,
            lambda data: data.replace(b"program tar", b"program tor", 1),
            "header",
            "its header differs from those of other parts in program",
        ),
    ],
)
@ensureDeferred
async def test_what_is_wrong_with_a_part(
    tmp_path: Path, number: int, change: Any, kind: str, text: str
) -> None:
    nights = await two_nights(tmp_path)
    path = file_of(nights, number)
    path.write_bytes(change(path.read_bytes()))
    found = await findings(nights)
    assert [(one["kind"], one["volume"], one["file"], one["part"]) for one in found] == [
        (kind, "C01", 2, 2)
    ]
    assert found[0]["text"].startswith(text)


@ensureDeferred
async def test_a_checksum_in_a_header(tmp_path: Path) -> None:
    """It is compared with the log."""
    nights = await two_nights(tmp_path)
    path = file_of(nights, 4)
    data = path.read_bytes()
    (crc,) = re.findall(rb"SERVER-CRC=([0-9a-f]{8}):100", data)
    path.write_bytes(data.replace(crc, b"12345678", 1))
    (found,) = await findings(nights)
    assert found["kind"] == "header"
    assert found["text"].startswith("its header has the server checksum 12345678:100, the log ")


@ensureDeferred
async def test_a_label_that_is_damaged(tmp_path: Path) -> None:
    """The volume is there; all its dumps are in doubt."""
    nights = await two_nights(tmp_path)
    flip(file_of(nights, 0), 0)
    record = await nights.record("verify", "--all", exit=Exit.FOUND)
    assert [(one["kind"], one["volume"]) for one in record["findings"]] == [("label", "C01")]
    assert [one["verdict"] for one in record["dumps"]] == ["damaged", "damaged", "good"]


@ensureDeferred
async def test_volumes_that_are_not_at_hand(tmp_path: Path) -> None:
    nights = await two_nights(tmp_path)
    (tmp_path / "vtapes/slot1").rename(tmp_path / "away")
    lines = squeezed(await nights.lines("verify", "--all", exit=Exit.ABSENT))
    assert lines[1].startswith("C01 volume 'C01' is not at hand: ")
    assert lines[2] == "C02 1 10 B good"


@ensureDeferred
async def test_a_dump_on_two_volumes(tmp_path: Path) -> None:
    """It is compared when both were read; with one alone, lengths are all that can be said."""
    nights = Nights(tmp_path).make()
    nights.configure(device='device-property "MAX_VOLUME_USAGE" "400k"', runtapes=4)
    await nights.hold(FIRST, Dump("/home", 4 * PART + 5))
    labels = [one["label"] for one in (await nights.record("volumes"))["volumes"] if one["label"]]
    assert len(labels) > 1
    (dump,) = (await nights.record("verify", "--all"))["dumps"]
    assert (dump["verdict"], dump["read"]) == ("good", 4 * PART + 5)
    (dump,) = (await nights.record("verify", labels[0]))["dumps"]
    assert dump["verdict"] == "incomplete"
    flip(file_of(nights, 1, 2), 32768)
    (found,) = await findings(nights)
    assert (found["kind"], found["volume"], found["file"]) == ("checksum", "C02", 1)
    assert (found["block"], found["byte"]) == (0, 0)
    flip(file_of(nights, 1, 1), 32768)
    (found,) = await findings(nights)
    assert (found["kind"], found["file"], found["block"]) == ("checksum", None, None)
    assert found["volumes"][:2] == ["C01", "C02"]
    lines = squeezed(await nights.lines("verify", "--all", exit=Exit.FOUND))
    assert lines[1].endswith(" in doubt: it has parts of a damaged dump")
    assert "'C01' file 1, " in found["text"]
    assert "'C02' file 1" in found["text"]


@ensureDeferred
async def test_a_sample(tmp_path: Path) -> None:
    """Whole dumps, of which one at least is read."""
    nights = await two_nights(tmp_path)
    dumps = (await nights.record("verify", "--sample", "0.001%"))["dumps"]
    assert len([dump for dump in dumps if dump["verdict"] == "good"]) == 1
    dumps = (await nights.record("verify", "--sample", "100"))["dumps"]
    assert [dump["verdict"] for dump in dumps] == ["good"] * 3


@ensureDeferred
async def test_volumes_behind_a_mover(tmp_path: Path) -> None:
    """What reads them sends them to us; all commands work on them as on those at hand."""
    nights = await two_nights(tmp_path)
    tree = f"[library robot]\ndisk = {tmp_path}/vtapes\ndrives = d0\n"
    with TapeServerProcess(tree, "data-peers = 127.0.0.0/8") as server:
        where = f"127.0.0.1:{server.port}"
        nights.configure(
            storage='tpchanger "robot"',
            more=f"""define changer robot {{
  tpchanger "chg-ndmp:{where}@robot"
  property "tape-device" "0=ndmp:{where}@d0"
  changerfile "{tmp_path}/state/robot"
}}""",
        )
        record = await nights.record("verify", "--all")
        assert [dump["verdict"] for dump in record["dumps"]] == ["good"] * 3
        assert (await nights.lines("show", "C01"))[0] == "Volume C01, labelled 2026-01-07, 4 files"
        assert (await nights.record("volumes"))["volumes"][0]["places"][0]["slot"] == "1"
        flip(file_of(nights, 4), 32768 + 50)
        (found,) = await findings(nights)
        assert (found["kind"], found["file"], found["byte"]) == ("checksum", 4, 50)
        made = str(tmp_path / "made")
        record = await nights.record("verify", "--rebuild-catalogue", made, exit=Exit.FOUND)
        assert [dump["proof"] for dump in record["dumps"]] == ["checksum", "lacking", "checksum"]
        # whose last blocks the server fills with zeros
        await nights.hold("20260109210000", Dump("/padded", PART + 7), Dump("/exact", PART))
        record = await nights.record("verify", "C03")
        assert [dump["verdict"] for dump in record["dumps"]] == ["good"] * 2
        again = str(tmp_path / "again")
        record = await nights.record("verify", "--rebuild-catalogue", again, exit=Exit.FOUND)
        assert [dump["proof"] for dump in record["dumps"][-2:]] == ["checksum"] * 2


@ensureDeferred
async def test_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The slot is given back, and nothing is said."""
    nights = await two_nights(tmp_path)
    begun: list[Work] = []
    run, read = Work.run, Inspection.run

    async def keep(work: Work) -> int:
        begun.append(work)
        return await run(work)

    def leave_first(inspection: Inspection, *args: Any) -> None:
        blockingCallFromThread(reactor, begun[0].leave)  # type: ignore[arg-type]
        read(inspection, *args)

    monkeypatch.setattr(Work, "run", keep)
    monkeypatch.setattr(Inspection, "run", leave_first)
    assert await nights.run("verify", "--all") == (Exit.INTERRUPTED, "")
    assert "'drives' => {}" in (tmp_path / "vtapes/state").read_text()


@ensureDeferred
async def test_what_makes_no_sense(tmp_path: Path) -> None:
    nights = await two_nights(tmp_path)
    for words in ((), ("C01", "--all"), ("--sample", "0"), ("--sample", "101%"), ("--sample", "x")):
        assert await nights.run("verify", *words) == (Exit.USAGE, "")
    assert nights.said[0] == "name the volumes to verify, or say --all or --sample PERCENT"
    assert nights.said[-1] == "--sample x: a number over 0 up to 100 expected"


@ensureDeferred
async def test_a_tapelist_that_lies(tmp_path: Path) -> None:
    """Nothing is good of which nobody has looked at anything; and nothing is passed over because
    its storage has another name now."""
    nights = await two_nights(tmp_path)
    tapelist = tmp_path / "tapelist"
    whole = tapelist.read_text()
    tapelist.write_text(whole.replace("STORAGE:C", "STORAGE:old"))
    assert len((await nights.record("verify", "--all"))["volumes"]) == 2
    tapelist.write_text("".join(line + "\n" for line in whole.splitlines() if " C01 " in line))
    assert "In a changer, and not in the tapelist: C02" in await nights.lines("verify", "--all")
    tapelist.write_text("")
    for words in (("--all",), ("--sample", "100%")):
        said = await nights.lines("verify", *words, exit=Exit.FOUND)
        assert "Nothing was verified" in "\n".join(said)


@pytest.mark.parametrize("how", ["again", "on"])
@ensureDeferred
async def test_a_run_that_goes_on_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """What it has written since the logs were read is not damage."""
    nights = await two_nights(tmp_path)
    usual, first = verify.read_catalogue, []

    def read_older(config: Any) -> Any:
        """As it was when verifying began, and as it is later on."""
        found = usual(config)
        if first:
            return found
        first.append(found)
        if how == "again":
            entry = evolve(found.tapelist.lookup("C02"), datestamp="20260105000000")
            others = [one for one in found.tapelist.entries if one.label != "C02"]
            return make_catalogue(Tapelist.of([*others, entry]), [])
        copies = [copy.dump for copy in found.copies if copy.dump.name.disk != "/srv"]
        return make_catalogue(found.tapelist, copies)

    monkeypatch.setattr(verify, "read_catalogue", read_older)
    if how == "again":
        record = await nights.record("verify", "C02", exit=Exit.ABSENT)
        (volume,) = record["volumes"]
        assert volume["absent"] == "a run has written it again since verifying began"
    else:
        record = await nights.record("verify", "C01")
    assert record["findings"] == []


@ensureDeferred
async def test_a_log_that_has_lost_a_part(tmp_path: Path) -> None:
    """A dump that cannot be restored is not good, though all that is left of it is."""
    nights = await two_nights(tmp_path)
    log = nights.log(FIRST)
    lines = log.read_text().splitlines(keepends=True)
    (done,) = (line for line in lines if line.startswith("DONE") and " /home " in line)
    log.write_text("".join(lines).replace(done, done.replace(f" {FIRST} 3 0 ", f" {FIRST} 4 0 ")))
    (found,) = await findings(nights)
    assert (found["kind"], found["volume"], found["disk"]) == ("missing", "C01", "/home")
    assert found["text"] == "it is done, and the log does not tell of part 4"


@ensureDeferred
async def test_two_volumes_with_one_label(tmp_path: Path) -> None:
    """One of them alone is read, and whoever restores gets any of them."""
    nights = await two_nights(tmp_path)
    shutil.copytree(tmp_path / "vtapes/slot1", tmp_path / "vtapes/slot3", dirs_exist_ok=True)
    (found,) = await findings(nights)
    assert (found["kind"], found["volume"], found["file"]) == ("label", "C01", None)
    assert found["text"] == "several volumes have this label: slots 1, 3 of vtapes"
    file_of(nights, 0, 2).rename(tmp_path / "vtapes/slot2/00000.C01")
    found = await findings(nights, "C01")
    assert [one["text"] for one in found] == [
        "several volumes have this label: slots 1, 2, 3 of vtapes"
    ]


@ensureDeferred
async def test_labels_of_two_volumes_that_were_exchanged(tmp_path: Path) -> None:
    """It is the label that counts, and not the name by which the changer goes."""
    nights = await two_nights(tmp_path)
    one, two = file_of(nights, 0, 1), file_of(nights, 0, 2)
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)
    found = await findings(nights)
    assert [(one["kind"], one["volume"], one["text"]) for one in found] == [
        ("label", "C01", "its label says 'C02' (slot 1)"),
        ("label", "C02", "its label says 'C01' (slot 2)"),
    ]


@ensureDeferred
async def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    """Those behind it are read all the same."""
    nights = await two_nights(tmp_path)
    path = file_of(nights, 2)
    open_file = os.open

    def refuse(name: Any, *args: Any, **named: Any) -> int:
        if os.fsencode(name).endswith(os.fsencode(path.name)):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return open_file(name, *args, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "open", refuse)
        found = await findings(nights)
    assert [(one["kind"], one["file"], one["part"]) for one in found] == [("header", 2, 2)]
    assert found[0]["text"].startswith("its header cannot be read: Couldn't open file ")


@ensureDeferred
async def test_a_drive_that_breaks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is said of what is on the volume behind that."""
    nights = await two_nights(tmp_path)
    monkeypatch.setattr(inspecting, "_MOST_FAILURES", 2)

    def fail(device: FileDevice, number: int) -> None:
        raise DriveFailed("the drive is on fire")

    monkeypatch.setattr(FileDevice, "seek_file", fail)
    found = await findings(nights, "C01")
    assert [(one["kind"], one["file"]) for one in found] == [
        ("header", 1),
        ("header", 2),
        ("unreadable", 3),
        ("unreadable", 4),
    ]
    text = "it was not looked at, as the device does not go on: the drive is on fire"
    assert found[-1]["text"] == text


@ensureDeferred
async def test_a_file_far_behind_whose_header_cannot_be_read(tmp_path: Path) -> None:
    """It is that file that is named, and not the place where the next one was looked for."""
    nights = await two_nights(tmp_path)
    (tmp_path / "vtapes/slot1/00077.a._b.0").write_bytes(b"rubbish" * 9000)
    (found,) = await findings(nights, "C01")
    assert (found["kind"], found["file"]) == ("header", 77)


def disguise(data: bytes, bit: int) -> bytes:
    """The last four bytes of data that give it the checksum that it has if one bit is flipped."""

    def changed_by(number: int) -> int:
        other = bytearray(data)
        other[number // 8] ^= 1 << number % 8
        return crc_of(bytes(other)).value ^ crc_of(data).value

    # which of the last 32 bits change the checksum in this way: 32 equations
    rows: dict[int, tuple[int, int]] = {}
    for place in range(32):
        value, used = changed_by(8 * len(data) - 32 + place), 1 << place
        while value and (known := rows.get(value.bit_length())):
            value, used = value ^ known[0], used ^ known[1]
        rows[value.bit_length()] = value, used
    value, flipped = changed_by(bit), 0
    while value:
        known = rows[value.bit_length()]
        value, flipped = value ^ known[0], flipped ^ known[1]
    return (int.from_bytes(data[-4:], "little") ^ flipped).to_bytes(4, "little")


@ensureDeferred
async def test_damage_that_looks_like_one_flipped_bit_elsewhere(tmp_path: Path) -> None:
    """In a large dump that is no rare case, so the parts where it can be are named all the same."""
    nights = await two_nights(tmp_path)
    data = Dump("/home", 2 * PART + 5).data(FIRST)
    path = file_of(nights, 3)
    path.write_bytes(path.read_bytes()[:-4] + disguise(data, 8 * 100_000 + 5))
    (found,) = await findings(nights)
    assert (found["kind"], found["file"], found["byte"]) == ("checksum", 2, 100_000 - PART)
    assert found["text"].endswith(
        "; one flipped bit here explains it, as would more damage in one of its 3 parts: "
        "'C01' file 1, 'C01' file 2, 'C01' file 3"
    )


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        (b"SERVER-CRC", b"PARTIAL=YES\nSERVER-CRC", "says that the dump is not whole, the log"),
        (b"part 1/-1", b"part 1/17", "its header tells of 17 parts, the log of 1"),
    ],
)
@ensureDeferred
async def test_what_a_header_says_of_the_whole_dump(
    tmp_path: Path, old: bytes, new: bytes, text: str
) -> None:
    nights = await two_nights(tmp_path)
    path = file_of(nights, 4)
    header, data = path.read_bytes()[:32768], path.read_bytes()[32768:]
    path.write_bytes(header.replace(old, new, 1)[:32768] + data)
    (found,) = await findings(nights)
    assert (found["kind"], found["file"]) == ("header", 4)
    assert text in found["text"]
