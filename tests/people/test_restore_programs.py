"""``taperctl restore`` and the programs that make files of a dump."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from pathlib import Path

import pytest
from attrs import evolve
from pytest_twisted import ensureDeferred

from protocols.header import Header, HeaderType, build_header
from taper.gnutar import find_tar
from taper.installation import installation
from taper.people.exits import Exit
from taper.people.restore import step
from tests.people.archives import (
    FULL,
    HOME,
    LATER,
    found,
    packed,
    script,
)
from tests.people.nights import Dump, Nights
from tests.plane.dumping import crc_of

pytestmark = pytest.mark.skipif(find_tar() is None, reason="there is no tar")


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
