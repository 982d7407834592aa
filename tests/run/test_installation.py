"""Where ours reads what ``taperctl install`` recorded, and what it does with it."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import setproctitle

import protocols
import taper
from protocols.application import parse_request
from protocols.conf import load
from protocols.installation import DEBIAN, Installation, render
from taper.application.selecting import Lists
from taper.install.record import evolve, write_record
from taper.install.standin import RECOVERY, TAPER
from taper.installation import Unusable, installation, read_record, record_path
from taper.ownership import trusted_users
from taper.run.amanda_version import version_text
from taper.run.paths import Paths, paths_from
from taper.running import is_taper

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give files away")

ELSEWHERE = Installation(
    amgetconf="/usr/local/sbin/amgetconf",
    client_login="daemon",
    amlibexecdir="/usr/local/libexec/amanda",
    application_dir="/usr/local/libexec/amanda/application",
    config_dir="/usr/local/etc/amanda",
    amanda_tmpdir="/var/tmp/amanda",
    amanda_dbgdir="/var/tmp/amanda-debug",
    localstatedir="/usr/local/var",
    gnutar_listed_incremental_dir="/usr/local/var/amanda/gnutar-lists",
    logdir="/usr/adm/amanda",
    mailer="/usr/bin/Mail",
)


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Installation:
    """Our environment has a record of an Amanda that is not Debian's."""
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    found = evolve(ELSEWHERE, amanda_tmpdir=str(tmp_path / "amanda"))
    (tmp_path / "etc").mkdir()
    write_record(record_path(), found)
    installation.cache_clear()
    return found


@pytest.fixture(autouse=True)
def read_anew() -> Iterator[None]:
    """Each test reads its own record, and leaves none behind."""
    installation.cache_clear()
    yield
    installation.cache_clear()


def test_without_a_record_amanda_is_debians(monkeypatch: pytest.MonkeyPatch) -> None:
    """As ours always supposed."""
    monkeypatch.setattr(sys, "prefix", "/nowhere")
    assert installation() == DEBIAN
    assert paths_from({}) == Paths(
        config_root="/etc/amanda",
        tmpdir="/tmp/amanda",
        dbgdir="/var/log/amanda",
        statedir="/var/lib/amanda",
    )


def test_the_record_is_where_everything_comes_from(elsewhere: Installation) -> None:
    """Directories, state, user, version, defaults of the configuration and the application."""
    assert paths_from({"AMANDA_TMPDIR": "/mine"}) == Paths(
        config_root="/usr/local/etc/amanda",
        tmpdir="/mine",
        dbgdir="/var/tmp/amanda-debug",
        statedir="/usr/local/var/amanda",
    )
    general = load("C", {"/x/C/amanda.conf": b""}.get, config_root="/x", installation=elsewhere)
    settings = general.config.general
    assert (settings.dumpuser, settings.mailer) == ("daemon", "/usr/bin/Mail")
    assert (settings.logdir, settings.indexdir) == ("/usr/adm/amanda", "/usr/adm/amanda/index")
    given = load(
        "C", {"/x/C/amanda.conf": b'dumpuser "x"\n'}.get, config_root="/x", installation=elsewhere
    )
    assert given.config.general.dumpuser == "x"
    properties = parse_request(["support"], elsewhere).properties
    assert properties.gnutar_listdir == "/usr/local/var/amanda/gnutar-lists"
    assert properties.runtar_path == "/usr/local/libexec/amanda/runtar"
    if os.geteuid() == 0:
        assert 1 in trusted_users()
    (Path(elsewhere.amanda_tmpdir)).mkdir(mode=0o700)
    with Lists(lambda kind, text: None) as lists:
        assert lists.write("include", []).startswith(elsewhere.amanda_tmpdir)


def test_the_version_is_that_of_the_recorded_library(
    elsewhere: Installation, tmp_path: Path
) -> None:
    """It is read anew at every start: an upgrade of Amanda changes it, and not the record."""
    library = tmp_path / "perl" / "Amanda"
    library.mkdir(parents=True)
    write_record(record_path(), evolve(elsewhere, amperldir=str(tmp_path / "perl")))
    installation.cache_clear()
    for version in ("3.5.3", "3.5.4"):
        (library / "Constants.pm").write_text(f'$VERSION = "{version}";\n')
        assert version_text() == version


def test_a_record_that_cannot_be_relied_on(elsewhere: Installation) -> None:
    """Damaged, cut short, changeable by others: no guess is made, and the text names the file."""
    path = Path(record_path())
    whole = path.read_bytes()
    assert read_record(str(path)) == elsewhere
    for data in (b"", whole[:-3], b"{}", b"\xff"):
        path.write_bytes(data)
        with pytest.raises(Unusable, match=f'{path}, which says .*"taperctl install"'):
            read_record(str(path))
    path.write_bytes(whole)
    path.chmod(0o664)
    with pytest.raises(Unusable, match="may be changed by others"):
        read_record(str(path))
    path.unlink()
    path.mkdir()
    with pytest.raises(Unusable, match="cannot be read"):
        read_record(str(path))


def test_a_record_of_an_earlier_release(elsewhere: Installation) -> None:
    """It did not know of recovery; nothing else may be missing."""
    path = Path(record_path())
    found = json.loads(path.read_bytes())
    del found["kept_amidxtaped"], found["uncompress_path"]
    path.write_text(json.dumps(found))
    assert read_record(str(path)) == elsewhere
    del found["kept"]
    path.write_text(json.dumps(found))
    with pytest.raises(Unusable, match="kept is missing"):
        read_record(str(path))


@needs_root
def test_a_record_of_somebody_else(elsewhere: Installation) -> None:
    """Nobody but root tells root where things are."""
    path = record_path()
    os.chown(path, 1, 1)
    with pytest.raises(Unusable, match=f"{path} belongs to user 1, expected root"):
        read_record(path)


def test_a_start_with_half_a_record_ends_with_a_sentence(tmp_path: Path) -> None:
    """Before anything is written anywhere; the driver's log has the text."""
    (tmp_path / "etc" / "twisted-taper").mkdir(parents=True)
    record = tmp_path / "etc" / "twisted-taper" / "amanda.json"
    record.write_bytes(render(ELSEWHERE)[:50])
    script = f"import sys; sys.prefix = {str(tmp_path)!r}; from taper.cli import main; main()"
    for words in (["C", "--log-filename", "/x"], ["--version"]):
        done = subprocess.run(
            [sys.executable, "-c", script, *words], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith(f"taper: {record}, which says where Amanda keeps things: ")
        assert done.stderr.count("\n") == 1


def test_a_record_is_replaced_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the new one cannot be put in place the old one is what it was."""
    path = tmp_path / "etc" / "twisted-taper" / "amanda.json"
    (tmp_path / "etc").mkdir()
    write_record(str(path), DEBIAN)
    assert path.stat().st_mode & 0o777 == 0o644

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        write_record(str(path), ELSEWHERE)
    assert read_record(str(path)) == DEBIAN
    assert os.listdir(path.parent) == ["amanda.json"]


def test_a_launcher_that_does_without_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the packages are in the place that the environment has for them; elsewhere ``site``
    knows where they are. Nothing in it is of the version of Python, whose upgrade moves them."""
    python = tmp_path / "bin/python3"
    place = tmp_path / "lib/python{}.{}/site-packages".format(*sys.version_info[:2])
    place.mkdir(parents=True)
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    assert TAPER.command("aside") == "-m taper.cli"
    for package in (taper, protocols, setproctitle):
        (found,) = package.__path__
        (place / package.__name__).symlink_to(found)
    words = shlex.split(TAPER.command("aside"))
    assert words[:2] == ["-S", "-c"]
    assert "3." not in words[2]
    assert is_taper(f"{python} -I {' '.join(words)} C".split())
    assert RECOVERY.command("/a b") == "-m taper.recovery.cli --amanda '/a b'"
    monkeypatch.setattr(sys, "prefix", "/elsewhere")
    assert TAPER.command("aside") == "-m taper.cli"
