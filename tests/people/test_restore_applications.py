"""What a dump's application says of how it is restored: tar's attributes, its path, properties."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from pathlib import Path

import pytest
from attrs import define
from pytest_twisted import ensureDeferred

from protocols.conf import Config, load
from protocols.header import Header, HeaderType
from taper.gnutar import find_tar
from taper.people.exits import Exit
from taper.people.restore import applications, unpack
from taper.people.restore.unpack import Program, extracting
from tests.people.nights import Dump, Nights

pytestmark = pytest.mark.skipif(find_tar() is None, reason="there is no tar")

STAMP = "20260107000000"
ACL = "user::rw-\nuser:65534:rw-\ngroup::r--\nmask::rw-\nother::r--\n"


@define
class Labelled(Dump):
    """An archive as of ``amgtar`` with the properties ACLS and XATTRS."""

    xattr: str = "user.note"

    def data(self, stamp: str) -> bytes:
        target = io.BytesIO()
        with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as tar:
            info = tarfile.TarInfo("./letter")
            info.size, info.uid, info.gid, info.mode = 4, os.getuid(), os.getgid(), 0o664
            info.pax_headers = {f"SCHILY.xattr.{self.xattr}": "mine", "SCHILY.acl.access": ACL}
            tar.addfile(info, io.BytesIO(b"dear"))
        return target.getvalue()


async def held(tmp_path: Path, dump: Labelled) -> Nights:
    nights = Nights(tmp_path).make()
    await nights.hold(STAMP, dump)
    return nights


@ensureDeferred
async def test_attributes_and_access_control_lists_come_back(tmp_path: Path) -> None:
    nights = await held(tmp_path, Labelled("/home", 1))
    target = tmp_path / "back"
    await nights.lines("restore", "localhost", "/home", "--to", str(target))
    assert os.getxattr(target / "letter", "user.note") == b"mine"
    assert "system.posix_acl_access" in os.listxattr(target / "letter")


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, who sets more than a user's attributes")
@ensureDeferred
async def test_an_attribute_that_cannot_be_set_is_told(tmp_path: Path) -> None:
    """Tar ends well all the same."""
    nights = await held(tmp_path, Labelled("/home", 1, xattr="nobody.knows"))
    words = ("restore", "localhost", "/home", "--to", str(tmp_path / "back"))
    record = await nights.record(*words, exit=Exit.FOUND)
    assert "Cannot set 'nobody.knows' extended attribute" in record["outcomes"][0]["faults"][0]
    assert (tmp_path / "back/letter").read_text() == "dear"


@pytest.mark.parametrize(("files", "told"), [(1, 1), (6, 6), (7, 6)])
def test_what_tar_could_not_set(files: int, told: int) -> None:
    """However many files there are of which it says so."""
    script = f"for n in $(seq {files}); do echo tar: $n: Cannot set it; done >&2; echo tar: x >&2"
    program = Program(["sh", "-c", script], {})
    os.close(program.descriptor)
    program.wait()
    lines = program.complaints()
    assert lines[0] == "tar: 1: Cannot set it"
    assert len(lines) == told
    assert (lines[-1] == "... and 2 more like these") == (files > told)


def test_what_only_some_can_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root attributes of all kinds, and contexts whose kernel knows them."""
    for root in (True, False):
        command = extracting("tar", "/to", [], alone=True, root=root)
        assert {"--acls", "--xattrs"} <= set(command)
        assert ("--xattrs-include=*" in command) == root
    for place in (tmp_path, tmp_path / "none"):
        monkeypatch.setattr(unpack, "_SELINUX", str(place))
        command = extracting("tar", "/to", [], alone=True, root=True)
        assert ("--selinux" in command) == place.exists()


def header_of(application: str, disk: str = "/d") -> Header:
    return Header(
        type=HeaderType.DUMPFILE,
        datestamp=STAMP,
        host="h",
        disk=disk,
        level=1,
        program="APPLICATION",
        application=application,
    )


def configured(tmp_path: Path, disklist: str, more: str = "") -> Config:
    """Two applications of one plugin."""
    (tmp_path / "etc/C").mkdir(parents=True)
    (tmp_path / "etc/C/disklist").write_text(disklist)
    text = f"""
define application first {{
  plugin "amthing"
  property "WHICH" "first"
}}
define application second {{
  plugin "amthing"
  property "WHICH" "second"
}}
define dumptype d {{
  program "APPLICATION"
  application "second"
}}
{more}
"""
    (tmp_path / "etc/C/amanda.conf").write_text(text)
    return load("C", lambda path: Path(path).read_bytes(), config_root=str(tmp_path / "etc")).config


@pytest.mark.parametrize(
    ("disklist", "which"),
    [
        ("h /d d\n", "second"),
        ('h /d {\n d\n application "first"\n}\n', "first"),
        ("h /other d\n", "first"),
        ("h /d nothing\n", "first"),
    ],
)
def test_the_properties_are_those_of_the_disk(tmp_path: Path, disklist: str, which: str) -> None:
    """Where it is not in the disklist any more, of the first application of that plugin."""
    config = configured(tmp_path, disklist)
    header = header_of("amthing")
    command = applications.restoring(config, header, "/a/amthing", "/to", ["x"])
    assert command[-3:] == ["--which", which, "./x"]
    header = header_of("amother")
    assert applications.section_of(config, header) is None
    command = applications.restoring(config, header, "/a/amother", "/to", [])
    assert command[-4:] == ["--level", "1", "--target", "/to"]


def test_a_disk_that_has_its_name_from_elsewhere(tmp_path: Path) -> None:
    """Applications such as amsamba ask for what is really dumped."""
    config = configured(tmp_path, "h /d //server/share d\n")
    command = applications.restoring(config, header_of("amthing"), "/a/amthing", "/to", [])
    assert command[command.index("--device") + 1] == "//server/share"
    header = header_of("amthing", "/elsewhere")
    assert "--device" not in applications.restoring(config, header, "/a/amthing", "/to", [])


def program_at(path: Path, mode: int) -> Path:
    path.write_text("#!/bin/sh\n")
    path.chmod(mode)
    return path


def test_the_tar_that_the_configuration_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If there is one here, and root alone can change it."""
    named = program_at(tmp_path / "gtar", 0o755)
    config = configured(
        tmp_path,
        "",
        f'define application t {{\n plugin "amgtar"\n property "GNUTAR-PATH" "{named}"\n}}',
    )
    header = header_of("amgtar")
    monkeypatch.setattr(applications, "not_roots_alone", lambda path: None)
    assert applications.tar_for(config, header) == str(named)
    assert applications.tar_for(config, header_of("amdirecttar")) == find_tar()
    monkeypatch.setattr(applications, "not_roots_alone", lambda path: f"{path} is somebody's")
    assert applications.tar_for(config, header) == find_tar()
    monkeypatch.undo()
    named.chmod(stat.S_IRUSR)
    assert applications.tar_for(config, header) == find_tar()
    named.unlink()
    assert applications.tar_for(config, header) == find_tar()
