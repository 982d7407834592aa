"""``taperctl restore``, over volumes that our taper has written."""

from __future__ import annotations

import contextlib
import errno
import gzip
import io
import os
import shutil
import socket
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
from attrs import define, evolve, field
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from devices.interfaces import AccessMode, LoadRequest
from protocols.errorcode import WRONG_WORDS
from protocols.header import Header, HeaderType, build_header
from taper.gnutar import find_tar
from taper.installation import installation
from taper.people.exits import Exit
from taper.people.restore import session, step
from taper.people.restore.dialogue import Dialogue
from taper.people.running import Work
from taper.people.screen import Screen, Style
from taper.people.site import Site
from tests.people.nights import PART, Dump, Nights
from tests.plane.dumping import crc_of
from tests.tapeserver.process import TapeServerProcess

pytestmark = pytest.mark.skipif(find_tar() is None, reason="there is no tar")

FULL, LATER = "20260107000000", "20260108000000"
SIZE = 40_000
"""Bytes of a file: several are in a part, and some in two."""


@define
class Archive(Dump):
    """A dump that is an archive of small files; the size is how many."""

    first: int = 0
    root: str = "./"
    more: dict[str, bytes] = field(factory=dict)

    def files(self) -> dict[str, bytes]:
        numbers = range(self.first, self.first + self.size)
        return {f"dir/f{number}": b"%04d" % number * (SIZE // 4) for number in numbers} | self.more

    def data(self, stamp: str) -> bytes:
        target = io.BytesIO()
        with tarfile.open(fileobj=target, mode="w", format=tarfile.GNU_FORMAT) as tar:
            for name, data in self.files().items():
                info = tarfile.TarInfo(f"{self.root}{name}")
                info.size = len(data)
                info.uid, info.gid = os.getuid(), os.getgid()
                tar.addfile(info, io.BytesIO(data))
        return target.getvalue()


HOME = Archive("/home", 8)
AGAIN = Archive("/home", 2, level=1, first=6, more={"late": b"late", "dir/f6": b"new"})


def found(place: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(place)): path.read_bytes()
        for path in place.rglob("*")
        if path.is_file()
    }


async def two_nights(tmp_path: Path) -> Nights:
    """C01 with a full dump of six parts, C02 with the next."""
    nights = Nights(tmp_path).make()
    await nights.hold(FULL, HOME)
    await nights.hold(LATER, AGAIN)
    return nights


def part(nights: Nights, slot: int, number: int) -> Path:
    (path,) = (nights.root / f"vtapes/slot{slot}").glob(f"{number:05}.*")
    return path


def behead(path: Path, junk: bytes = b"\0") -> None:
    """Damage the header of a part, and nothing else."""
    path.write_bytes(junk * 32768 + path.read_bytes()[32768:])


@ensureDeferred
async def test_two_levels(tmp_path: Path) -> None:
    nights = await two_nights(tmp_path)
    target = tmp_path / "back"
    before = nights.snapshot()
    plan = await nights.lines("restore", "LOCALHOST", "/home", "--to", str(target), "--dry-run")
    assert plan == [
        f"localhost /home is restored to {target}:",
        "level  dump of          size  parts  from",
        "0      2026-01-07  330.0 KiB      6  C01",
        "1      2026-01-08   50.0 KiB      1  C02",
        "Volumes, in the order of reading:",
        "volume  storage  parts  where",
        "C01     C            6  slot 1",
        "C02     C            1  slot 2",
    ]
    assert nights.snapshot() == before
    said = await nights.lines("restore", "localhost", "/home", "--to", str(target))
    assert said[: len(plan)] == plan
    assert found(target) == HOME.files() | AGAIN.files()
    assert said[-1] == "Restored. All checksums are as they were when it was dumped."


@ensureDeferred
async def test_a_date_and_a_path(tmp_path: Path) -> None:
    """What the later dump has not is taken from the full one; none is asked for what none has."""
    nights = await two_nights(tmp_path)
    words = ("restore", "localhost", "/home", "--to")
    await nights.lines(
        *(*words[:-1], "2026-01-07", "--to", str(tmp_path / "one"), "--path", "dir/f6")
    )
    assert found(tmp_path / "one") == {"dir/f6": HOME.files()["dir/f6"]}
    await nights.lines(*words, str(tmp_path / "two"), "--path", "/late", "--path", "dir/f1/")
    assert found(tmp_path / "two") == {"late": b"late", "dir/f1": HOME.files()["dir/f1"]}
    target = str(tmp_path / "three")
    record = await nights.record(*words, target, "--path", "no", exit=Exit.FOUND)
    assert record["not_found"] == ["no"]


def index(nights: Nights, stamp: str, level: int, names: str) -> None:
    """Write an index of /home."""
    place = nights.root / "index/localhost/_home"
    place.mkdir(parents=True, exist_ok=True)
    (place / f"{stamp}_{level}.gz").write_bytes(gzip.compress(names.encode()) if names else b"")


@ensureDeferred
async def test_an_index_that_lies(tmp_path: Path) -> None:
    """One that is empty is none; what another one has not is not told for certain."""
    nights = await two_nights(tmp_path)
    nights.configure(more=f'indexdir "{tmp_path}/index"')
    words = ("restore", "localhost", "/home", "--path", "dir/f6", "--to")
    index(nights, LATER, 1, "")
    await nights.lines(*words, str(tmp_path / "one"))
    assert found(tmp_path / "one") == {"dir/f6": b"new"}
    for stamp, level in ((FULL, 0), (LATER, 1)):
        index(nights, stamp, level, "/\n/../../etc/passwd\n/-x\n")
    said = await nights.lines(*words, str(tmp_path / "two"), exit=Exit.FOUND)
    assert said[-3:] == [
        "In none of these dumps: dir/f6",
        "Some were not read, by their indexes; with --no-index all of them are.",
        "NOT ALL was restored; what is wrong stands above.",
    ]
    await nights.lines(*words, str(tmp_path / "three"), "--no-index")
    assert found(tmp_path / "three") == {"dir/f6": b"new"}


@ensureDeferred
async def test_a_path_of_an_archive_without_dots(tmp_path: Path) -> None:
    """Members may be named either way."""
    nights = Nights(tmp_path).make()
    nights.hold_back(FULL, Archive("/home", 3, root=""))
    words = ("restore", "localhost", "/home", "--to", str(tmp_path / "back"), "--path", "dir/f1")
    await nights.lines(*words)
    assert found(tmp_path / "back") == {"dir/f1": HOME.files()["dir/f1"]}


@ensureDeferred
async def test_held_and_on_volumes(tmp_path: Path) -> None:
    """The holding disk is read without a volume; one that is not whole is not restored."""
    nights = await two_nights(tmp_path)
    nights.hold_back("20260109000000", Archive("/home", 1, level=2, more={"held": b"x"}))
    nights.hold_back("20260110000000", Archive("/home", 1, level=3), partial=True)
    words = ("restore", "localhost", "/home", "--to", str(tmp_path / "back"))
    said = await nights.lines(*words, exit=Exit.FOUND)
    assert any(line.endswith("the holding disk") for line in said)
    assert found(tmp_path / "back")["held"] == b"x"


@ensureDeferred
async def test_another_copy(tmp_path: Path) -> None:
    """Where one is damaged, the other is pointed to."""
    nights = await two_nights(tmp_path)
    os.truncate(nights.hold_back(FULL, HOME), 200_000)
    words = ("restore", "localhost", "/home", "2026-01-07", "--to")
    said = await nights.lines(*words, str(tmp_path / "one"), exit=Exit.FOUND)
    assert "Level 0: there is another copy; take it with --storage C" in said
    await nights.lines(*words, str(tmp_path / "two"), "--storage", "C")
    assert found(tmp_path / "two") == HOME.files()
    status, _ = await nights.run(*words, str(tmp_path / "three"), "--storage", "D")
    assert (status, nights.said[-1]) == (
        Exit.FAILED,
        "there is no complete dump of it; without --storage, there is one on C, HOLDING",
    )


@ensureDeferred
async def test_what_cannot_be_done(tmp_path: Path) -> None:
    """Each with a sentence, and nothing is touched."""
    nights = await two_nights(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("precious")
    for words, text in (
        (("localhost", "/hom", "--to", "x"), "there are dumps of localhost /home"),
        (("localhost", "/home", "2026-01-06", "--to", "x"), "there is no dump of 2026-01-06"),
        (("localhost", "/home", "soon", "--to", "x"), "'soon' is no date"),
        (("localhost", "/home", "2026-13-45", "--to", "x"), "'2026-13-45' is no date: month must"),
        (("localhost", "/home"), "--to is missing"),
        (("localhost", "/home", "--to", "-"), "choose it with --level 0 or 1"),
        (("localhost", "/home", "--to", "x", "--path", "../y"), "is no path below"),
        (("localhost", "/home", "--to", str(tmp_path / "full")), "is not empty"),
        (("localhost", "/home", "--to", str(tmp_path / "full" / "mine")), "cannot restore into"),
    ):
        nights.said.clear()
        status, _ = await nights.run("restore", *words)
        assert status == (Exit.USAGE if nights.codes[-1] == WRONG_WORDS else Exit.FAILED)
        assert text in nights.said[-1]
    assert WRONG_WORDS in nights.codes
    assert found(tmp_path / "full") == {"mine": b"precious"}
    await nights.lines(
        "restore", "localhost", "/home", "--to", str(tmp_path / "full"), "--overwrite"
    )
    assert found(tmp_path / "full") == {"mine": b"precious"} | HOME.files() | AGAIN.files()


@ensureDeferred
async def test_a_slot_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have what is missing, so it is told of."""
    nights = await two_nights(tmp_path)
    (tmp_path / "vtapes/slot1").chmod(0)
    usual = os.listdir

    def listdir(path: Any) -> list[str]:
        if str(path).endswith("slot1"):  # root can read all
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return usual(path)

    monkeypatch.setattr(os, "listdir", listdir)
    words = ("restore", "localhost", "/home", "--to", str(tmp_path / "back"))
    said = await nights.lines(*words, exit=Exit.ABSENT)
    assert any(line.startswith("Slot 1 of ") and "Permission denied" in line for line in said)
    assert "Not in the changer: C01. Nothing was restored." in said


@ensureDeferred
async def test_a_volume_that_is_missing(tmp_path: Path) -> None:
    """Nothing is begun; or the others are read, and it is told what that has cost."""
    nights = await two_nights(tmp_path)
    shutil.move(tmp_path / "vtapes/slot1", tmp_path / "away")
    (tmp_path / "vtapes/slot1").mkdir()
    words = ("restore", "localhost", "/home", "--to", str(tmp_path / "back"))
    said = await nights.lines(*words, exit=Exit.ABSENT)
    assert "Not in the changer: C01. Nothing was restored." in said
    assert not (tmp_path / "back").exists()
    record = await nights.record(*words, "--partial", exit=Exit.FOUND)
    assert found(tmp_path / "back") == AGAIN.files()
    assert [outcome["whole"] for outcome in record["outcomes"]] == [False, True]
    assert "'C01' is not at hand" in record["outcomes"][0]["faults"][0]


@pytest.mark.parametrize("damage", ["gone", "cut", "headless and cut", "another's"])
@ensureDeferred
async def test_a_part_that_cannot_be_read(tmp_path: Path, damage: str) -> None:
    """Every other file is there, and whole; the others are named."""
    nights = await two_nights(tmp_path)
    path = part(nights, 1, 3)
    if damage == "gone":
        path.unlink()
    elif damage == "cut":
        os.truncate(path, 32768 + 32768)
    elif damage == "headless and cut":
        path.write_bytes(b"x" * 32768 + path.read_bytes()[32768:-1])
    else:
        path.write_bytes(part(nights, 2, 1).read_bytes())
    target = tmp_path / "back"
    record = await nights.record(
        "restore", "localhost", "/home", "--level", "0", "--to", str(target), exit=Exit.FOUND
    )
    (outcome,) = record["outcomes"]
    ((loss),) = outcome["lost"]
    assert (loss["volume"], loss["file"], loss["part"]) == ("C01", 3, 3)
    assert loss["size"] == (PART // 2 if damage == "cut" else PART)
    whole = {name: data for name, data in found(target).items() if name not in outcome["damaged"]}
    assert outcome["damaged"] or outcome["holes"]
    for name, data in whole.items():
        assert data == HOME.files()[name]
    lost = HOME.files().keys() - whole.keys() - set(outcome["damaged"])
    assert len(lost) <= 1
    assert bool(outcome["holes"]) is bool(lost)


@pytest.mark.parametrize("numbers", [[3], [1], [1, 2, 6]])
@ensureDeferred
async def test_headers_that_are_damaged(tmp_path: Path, numbers: list[int]) -> None:
    """What is behind them is taken, and the checksum tells that it is right."""
    nights = await two_nights(tmp_path)
    for number in numbers:
        behead(part(nights, 1, number), b"\0" if number % 2 else b"x")
    words = ("restore", "localhost", "/home", "--to")
    record = await nights.record(*words, str(tmp_path / "back"), exit=Exit.FOUND)
    assert found(tmp_path / "back") == HOME.files() | AGAIN.files()
    first, second = record["outcomes"]
    assert first["headless"] == [{"volume": "C01", "file": n, "part": n} for n in numbers]
    assert (first["whole"], first["checked"], first["lost"]) == (True, True, [])
    assert second["headless"] == []
    assert record["whole"]
    said = await nights.lines(*words, str(tmp_path / "again"), exit=Exit.FOUND)
    number = numbers[0]
    assert (
        f"Level 0: part {number} on 'C01' file {number}: its header is damaged; its data were "
        "taken by what the log tells of it"
    ) in said
    assert said[-1].startswith("All of it is restored, by the checksums, but volumes are damaged")


@ensureDeferred
async def test_a_damaged_header_before_other_bytes(tmp_path: Path) -> None:
    """What is of the right length is taken, and the checksum tells that it is wrong."""
    nights = await two_nights(tmp_path)
    path = part(nights, 1, 3)
    path.write_bytes(bytes(32768) + part(nights, 1, 4).read_bytes()[32768:])
    words = ("restore", "localhost", "/home", "--level", "0", "--to")
    record = await nights.record(*words, str(tmp_path / "back"), exit=Exit.FOUND)
    (outcome,) = record["outcomes"]
    assert [one["part"] for one in outcome["headless"]] == [3]
    assert (outcome["whole"], outcome["checked"], record["whole"]) == (False, False, False)
    assert any("the server crc of the dump (" in fault for fault in outcome["faults"])
    part(nights, 1, 5).unlink()
    said = await nights.lines(*words, str(tmp_path / "again"), exit=Exit.FOUND)
    assert "Level 0: no checksum confirms that they are the right ones" in said


@pytest.mark.parametrize("other", ["a part", "a dump", "a label"])
@ensureDeferred
async def test_a_header_of_something_else(tmp_path: Path, other: str) -> None:
    """What is behind it is never taken, though it is as long as what is wanted."""
    nights = await two_nights(tmp_path)
    path = part(nights, 1, 3)
    data = path.read_bytes()
    head = part(nights, 1, 4).read_bytes()[:32768]
    if other == "a dump":
        head = data[:32768].replace(b" localhost ", b" localhosu ", 1)
    elif other == "a label":
        head = part(nights, 2, 0).read_bytes()[:32768]
    assert head != data[:32768]
    path.write_bytes(head + data[32768:])
    words = ("restore", "localhost", "/home", "--level", "0", "--to", str(tmp_path / "back"))
    record = await nights.record(*words, exit=Exit.FOUND)
    (outcome,) = record["outcomes"]
    assert [loss["part"] for loss in outcome["lost"]] == [3]
    assert outcome["headless"] == []


@ensureDeferred
async def test_a_bit_that_is_flipped(tmp_path: Path) -> None:
    """Nobody can say where, but that it is not as it was."""
    nights = await two_nights(tmp_path)
    path = part(nights, 1, 2)
    data = bytearray(path.read_bytes())
    data[50_000] ^= 1
    path.write_bytes(data)
    said = await nights.lines(
        "restore", "localhost", "/home", "2026-01-07", "--to", str(tmp_path / "b"), exit=Exit.FOUND
    )
    assert "the server crc of the dump (" in "\n".join(said)
    assert said[-1].startswith("NOT ALL was restored")


def packed(nights: Nights, program: Path, **more: Any) -> None:
    """A held dump that is undone by a program."""
    data = HOME.data(FULL)
    header = Header(
        type=HeaderType.DUMPFILE,
        datestamp=FULL,
        host="localhost",
        disk="/packed",
        program="GNUTAR",
        recover_cmd="tar",
        comp_suffix="cust",
        server_custom_compress=str(program),
        server_crc=crc_of(data),
        **more,
    )
    directory = nights.root / "holding" / FULL
    directory.mkdir()
    (directory / "localhost._packed.0").write_bytes(build_header(header, 32768, None) + data)


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@ensureDeferred
async def test_a_program_that_only_the_dump_names(tmp_path: Path) -> None:
    """Not even a shell sees it, as long as nobody trusts it."""
    nights = Nights(tmp_path).make()
    program = script(tmp_path / "unpack;id", f"touch '{tmp_path}/ran'; exec cat")
    packed(nights, program)
    words = ("restore", "localhost", "/packed", "--to", str(tmp_path / "back"))
    assert (await nights.run(*words))[0] == Exit.FAILED
    assert "which the configuration does not know" in nights.said[-1]
    assert not (tmp_path / "ran").exists()
    said = await nights.lines(*words, "--trust", str(program))
    assert "All checksums" in said[-1]
    assert found(tmp_path / "back") == HOME.files()
    assert (tmp_path / "ran").exists()


@ensureDeferred
async def test_a_program_that_fails_in_the_middle(tmp_path: Path) -> None:
    """What came out of it is restored, and it is told that this is not all."""
    nights = Nights(tmp_path).make()
    program = script(tmp_path / "unpack", "head -c 100000; echo broken >&2; exit 3")
    packed(nights, program)
    words = ("restore", "localhost", "/packed", "--to", str(tmp_path / "back"))
    record = await nights.record(*words, "--trust", str(program), exit=Exit.FOUND)
    (outcome,) = record["outcomes"]
    assert any("failed with status 3: broken" in fault for fault in outcome["faults"])
    assert outcome["damaged"] == ["dir/f2"]
    whole = [name for name in found(tmp_path / "back") if name not in outcome["damaged"]]
    assert whole == ["dir/f0", "dir/f1"] or set(whole) == {"dir/f0", "dir/f1"}


@ensureDeferred
async def test_a_dump_of_an_application(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It restores by itself, with the properties of the configuration, once somebody knows it."""
    nights = Nights(tmp_path).make()
    applications = tmp_path / "applications"
    applications.mkdir()
    text = f"printf '%s\\n' \"$@\" > '{tmp_path}/words'; cat > '{tmp_path}/data'"
    script(applications / "amthing", text)
    usual = installation().evolve(application_dir=str(applications))
    monkeypatch.setattr(step, "installation", lambda: usual)
    data = b"whatever" * 9999
    header = Header(
        type=HeaderType.DUMPFILE,
        datestamp=FULL,
        host="localhost",
        disk="/thing",
        level=0,
        program="APPLICATION",
        application="amthing",
        recover_cmd="x",
        server_crc=crc_of(data),
    )
    (nights.root / "holding" / FULL).mkdir()
    held = nights.root / "holding" / FULL / "localhost._thing.0"
    held.write_bytes(build_header(header, 32768, None) + data)
    target = str(tmp_path / "back")
    words = ("restore", "localhost", "/thing", "--to", target)
    assert (await nights.run(*words))[0] == Exit.FAILED
    assert "say --trust amthing to run it" in nights.said[-1]
    property_ = 'property "LEVELS" "two words"'
    nights.configure(more=f'define application a {{\n plugin "amthing"\n {property_}\n}}')
    await nights.lines(*words, "--path", "a b", exit=Exit.WELL)
    assert (tmp_path / "data").read_bytes() == data
    assert (tmp_path / "words").read_text().splitlines() == [
        *("restore", "--config", "C", "--host", "localhost", "--disk", "/thing", "--level", "0"),
        *("--target", target, "--levels", "two words", "./a b"),
    ]
    header = evolve(header, application="../amthing")
    held.write_bytes(build_header(header, 32768, None) + data)
    assert (await nights.run(*words))[0] == Exit.FAILED
    assert "which is not known here" in nights.said[-1]


@pytest.mark.parametrize("how", ["log cut", "part unlogged", "forgotten", "held", "goes on"])
@ensureDeferred
async def test_a_newer_dump_that_is_not_there(tmp_path: Path, how: str) -> None:
    """What is older does not pass for the newest; unless that is what is asked for, or the newer
    one is being written."""
    nights = await two_nights(tmp_path)
    log, tapelist = nights.log(LATER), tmp_path / "tapelist"
    lines = log.read_text().splitlines(keepends=True)
    if how in ("log cut", "goes on"):
        pid = os.getpid() if how == "goes on" else 1 << 30
        told = [line for line in lines if not line.startswith("DONE")]
        log.write_text(f"INFO amdump amdump pid {pid}\n{''.join(told)}")
    elif how == "part unlogged":
        log.write_text("".join(line for line in lines if not line.startswith("PART")))
    elif how == "forgotten":
        entries = tapelist.read_text().splitlines(keepends=True)
        tapelist.write_text("".join(line for line in entries if " C02 " not in line))
    else:
        log.unlink()
        nights.hold_back(LATER, AGAIN, partial=True)
    words = ("restore", "localhost", "/home", "--to")
    end = Exit.WELL if how == "goes on" else Exit.FOUND
    record = await nights.record(*words, str(tmp_path / "one"), exit=end)
    assert [one["datestamp"] for one in record["newer"]] == [LATER] * (end is Exit.FOUND)
    assert record["whole"] is (end is Exit.WELL)
    assert found(tmp_path / "one") == HOME.files()
    if end is Exit.FOUND:
        said = "\n".join(await nights.lines(*words, str(tmp_path / "two"), exit=end))
        assert "Level 1 of 2026-01-08 is newer, and cannot be restored: " in said
        assert 'the date behind its name says that this is wanted: "2026-01-07"' in said
    await nights.lines(*(*words[:-1], "2026-01-07", "--to", str(tmp_path / "three")))


@ensureDeferred
async def test_a_dump_of_the_future(tmp_path: Path) -> None:
    """It is the newest by its date, which hides all that were made since."""
    nights = Nights(tmp_path).make()
    nights.hold_back("20380101000000", Archive("/home", 2))
    nights.hold_back(FULL, HOME)
    words = ("restore", "localhost", "/home", "--to", str(tmp_path / "back"), "--dry-run")
    said = "\n".join(await nights.lines(*words))
    assert "2038-01-01 is still to come: the clock was wrong." in said
    words = (*words[:3], "2026-01-07", *words[3:])
    assert "to come" not in "\n".join(await nights.lines(*words))


class Listed(Dump):
    """A dump as Amanda makes it: GNU tar's, with what it knows of the dumps before.

    :ivar root: what is dumped; what tar knows of it lies beside it.
    """

    def data(self, stamp: str) -> bytes:
        root = Path(self.disk)
        command = [
            *(str(find_tar()), "--create", "--file=-", f"--directory={root}", "--sparse"),
            *("--one-file-system", f"--listed-incremental={root}.known", "."),
        ]
        done = subprocess.run(command, capture_output=True, check=True)
        return done.stdout


async def renamed(tmp_path: Path) -> tuple[Nights, str]:
    """A full dump, and one behind which a directory has another name. :return: the disk"""
    nights = Nights(tmp_path).make()
    disk = tmp_path / "disk"
    (disk / "old/below").mkdir(parents=True)
    (disk / "old/kept").write_text("kept")
    (disk / "top").write_text("top")
    (disk / "same").mkdir()
    (disk / "same/file").write_text("file")
    with socket.socket(socket.AF_UNIX) as bound, contextlib.chdir(disk / "same"):
        bound.bind("socket")
    await nights.hold(FULL, Listed(str(disk), 0))
    (disk / "old").rename(disk / "new")
    (disk / "new/late").write_text("late")
    await nights.hold(LATER, Listed(str(disk), 0, level=1))
    return nights, str(disk)


@ensureDeferred
async def test_a_directory_that_was_renamed(tmp_path: Path) -> None:
    """Tar does it, too, where it may; else it is told what is not there."""
    nights, disk = await renamed(tmp_path)
    words = ("restore", "localhost", disk, "--to")
    await nights.lines(*words, str(tmp_path / "all"))
    same = {"same/file": b"file", "top": b"top"}
    assert found(tmp_path / "all") == {"new/kept": b"kept", "new/late": b"late", **same}

    record = await nights.record(*words, str(tmp_path / "one"), "--path", "new", exit=Exit.FOUND)
    assert record["left_out"] == ["new/kept"]
    assert not record["whole"]
    said = await nights.lines(*words, str(tmp_path / "two"), "--path", "new", exit=Exit.FOUND)
    assert "Not restored: new/kept" in said
    assert "restore it by its old name, too" in "\n".join(said)
    await nights.lines(*words, str(tmp_path / "three"), "--path", "new/late", "--path", "top")

    (tmp_path / "over").mkdir()
    (tmp_path / "over/mine").write_text("mine")
    said = await nights.lines(*words, str(tmp_path / "over"), "--overwrite", exit=Exit.FOUND)
    assert any("directory old was renamed to new before this dump" in line for line in said)
    assert found(tmp_path / "over").keys() == {"mine", "old/kept", "new/late", *same}
    await nights.lines(*words, str(tmp_path / "level"), "--level", "1", "--path", "new")
    await nights.lines(*words, str(tmp_path / "same"), "--path", "same")  # no dump has a socket


class Terminal(io.StringIO):
    """What is shown, and who types."""

    def __init__(self, *answers: str) -> None:
        super().__init__()
        self.answers = list(answers)
        self.before: Any = None

    def isatty(self) -> bool:
        return True

    def readline(self, size: int | None = -1) -> str:
        if self.before is not None:
            self.before()
        return self.answers.pop(0) if self.answers else ""


def at_terminal(monkeypatch: pytest.MonkeyPatch, terminal: Terminal) -> None:
    def make(screen: Screen, make_lane: Any) -> Dialogue:
        return Dialogue(screen, make_lane, terminal, terminal)

    monkeypatch.setattr(session, "Dialogue", make)


@ensureDeferred
async def test_a_volume_that_is_brought(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked for until it is there, or until a person says to go on."""
    nights = await two_nights(tmp_path)
    slot, away = tmp_path / "vtapes/slot1", tmp_path / "away"
    slot.rename(away)
    slot.mkdir()
    terminal = Terminal("\n", "\n")
    at_terminal(monkeypatch, terminal)

    def bring() -> None:
        if len(terminal.answers) == 1:
            slot.rmdir()
            away.rename(slot)

    terminal.before = bring
    words = ("restore", "localhost", "/home", "--to")
    await nights.lines(*words, str(tmp_path / "back"))
    assert found(tmp_path / "back") == HOME.files() | AGAIN.files()
    assert terminal.getvalue().count("Volume C01 is not at hand: ") == 2

    slot.rename(away)
    slot.mkdir()
    at_terminal(monkeypatch, Terminal("s\n"))
    await nights.lines(*words, str(tmp_path / "next"), exit=Exit.FOUND)
    assert found(tmp_path / "next") == AGAIN.files()


@pytest.mark.parametrize("partial", [False, True])
@ensureDeferred
async def test_a_volume_that_somebody_else_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, partial: bool
) -> None:
    """It is waited for, as nothing is wrong with it; but where somebody says to go on without, and
    then that is what is told."""
    nights = await two_nights(tmp_path)
    other = Site(reactor, nights.config(), nights.paths, Screen(Style.PLAIN, io.StringIO(), float))
    changer = other.shelves.open_changer("C")
    held = await changer.load(LoadRequest(slot="1", mode=AccessMode.READ))
    waits = 0

    def wait(clock: Any, seconds: float, then: Any) -> Deferred[None]:
        nonlocal waits
        waits += 1
        return deferLater(clock, 0, then) if waits < 3 else held.release()

    monkeypatch.setattr(session, "deferLater", wait)
    words = ("restore", "localhost", "/home", "--to", str(tmp_path / "back"))
    if partial:
        said = await nights.lines(*words, "--partial", exit=Exit.FOUND)
        assert "volume is not there" not in "\n".join(said)
        assert "reserved" in "\n".join(said)
        await held.release()
    else:
        said = await nights.lines(*words)
        assert sum(line.startswith("Waiting for volume C01, which") for line in said) == 1
        assert waits == 3
        assert found(tmp_path / "back") == HOME.files() | AGAIN.files()
    await changer.close()
    await other.close()


@pytest.mark.parametrize("answer", ["yes\n", "no\n", ""])
@ensureDeferred
async def test_a_person_is_asked_about_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    nights = Nights(tmp_path).make()
    program = script(tmp_path / "unpack", "exec cat")
    packed(nights, program)
    terminal = Terminal(answer)
    at_terminal(monkeypatch, terminal)
    status, _ = await nights.run("restore", "localhost", "/packed", "--to", str(tmp_path / "b"))
    assert status == (Exit.WELL if answer == "yes\n" else Exit.FAILED)
    assert f"read with '{program}' '-d'" in terminal.getvalue()


@ensureDeferred
async def test_it_is_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the middle of a dump: its programs end with it, and nothing passes for the whole."""
    nights = Nights(tmp_path).make()
    program = script(tmp_path / "unpack", f"echo $$ > '{tmp_path}/pid'; exec sleep 1000")
    packed(nights, program)
    begun: list[Work] = []
    run = Work.run

    def keep(work: Work) -> Any:
        begun.append(work)
        return run(work)

    monkeypatch.setattr(Work, "run", keep)
    target = str(tmp_path / "back")
    words = ("restore", "localhost", "/packed", "--to", target, "--trust", str(program))
    running = Deferred.fromCoroutine(nights.run(*words))
    pid = tmp_path / "pid"
    while not (pid.exists() and pid.read_text().strip()):
        await deferLater(reactor, 0.01, lambda: None)  # type: ignore[arg-type]
    begun[0].leave()
    status, said = await running
    assert status == Exit.INTERRUPTED
    assert "what was restored so far is not whole" in said
    assert not Path(f"/proc/{pid.read_text().strip()}").exists()


@pytest.mark.parametrize(("damaged", "drives"), [(False, 1), (True, 1), (False, 2)])
@ensureDeferred
async def test_by_a_tape_server(tmp_path: Path, damaged: bool, drives: int) -> None:
    """The volumes are behind a mover, which sends them to us; or behind two, of which one gets
    ready while the other sends."""
    nights = await two_nights(tmp_path)
    if damaged:
        part(nights, 1, 3).unlink()
        behead(part(nights, 1, 5))
        behead(part(nights, 2, 1))
    numbers = range(drives)
    names = " ".join(f"d{number}" for number in numbers)
    tree = f"[library robot]\ndisk = {tmp_path}/vtapes\ndrives = {names}\n"
    with TapeServerProcess(tree, "data-peers = 127.0.0.0/8") as server:
        where = f"127.0.0.1:{server.port}"
        devices = " ".join(f'"{number}=ndmp:{where}@d{number}"' for number in numbers)
        nights.configure(
            storage='tpchanger "robot"',
            more=f"""define changer robot {{
  tpchanger "chg-ndmp:{where}@robot"
  property "tape-device" {devices}
  changerfile "{tmp_path}/state/robot"
}}""",
        )
        words = ("restore", "localhost", "/home", "--to", str(tmp_path / "back"))
        words += ("--partial",) * damaged
        record = await nights.record(*words, exit=Exit.FOUND if damaged else Exit.WELL)
    if damaged:
        assert [loss["part"] for loss in record["outcomes"][0]["lost"]] == [3]
        assert [one["part"] for one in record["outcomes"][0]["headless"]] == [5]
        assert record["outcomes"][1]["header"]["undoing_from"] == "data"
        assert record["outcomes"][1]["whole"]
        assert (tmp_path / "back" / "late").exists()
    else:
        assert found(tmp_path / "back") == HOME.files() | AGAIN.files()
