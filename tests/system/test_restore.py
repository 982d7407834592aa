"""``taperctl restore`` of what Amanda's own programs have dumped, written by her taper and by ours,
and compared with what her own programs restore."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.namespace import SECONDS
from tests.system.amanda import CONFIG, SOURCE, VTAPES, Amanda, Options
from tests.system.conftest import MakeAmanda

pytestmark = pytest.mark.system

VOLUME = 5
"""MiB."""
LOCK, PACK = "/var/lib/amanda/lock", "/var/lib/amanda/pack"
EXTRA = f"""
device-property "MAX_VOLUME_USAGE" "{VOLUME << 20}"
device-property "LEOM" "true"
define dumptype locked {{
  auth "local"
  program "GNUTAR"
  compress client fast
  encrypt server
  server-encrypt "{LOCK}"
  index yes
}}
define dumptype packed {{
  auth "local"
  program "GNUTAR"
  compress client custom
  client-custom-compress "{PACK}"
  index no
}}
"""


@pytest.fixture(scope="module")
def nights(make_lasting_amanda: MakeAmanda) -> Amanda:
    """A full night by Amanda's taper; by ours an incremental one, and one that is held."""
    disks = [("home", "plain"), ("srv", "squeezed"), ("keys", "locked"), ("bin", "packed")]
    amanda = make_lasting_amanda(
        Options(
            disks=[*disks, ("kept", "plain")],
            slots=9,
            runtapes=7,
            tapecycle=10,
            length_mb=VOLUME,
            tapetype="part-size 1 mbytes",
            extra=EXTRA,
        ),
        ours=False,
    )
    for disk, size in (("home", 12), ("srv", 3), ("keys", 2), ("bin", 2), ("kept", 1)):
        amanda.fill(disk, size)
    # both are undone by what they do, given -d
    amanda.write(LOCK, "#!/bin/sh\nexec tr '\\000-\\377' '\\200-\\377\\000-\\177'\n")
    amanda.write(PACK, '#!/bin/sh\nexec gzip "$@"\n')
    for program in (LOCK, PACK):
        amanda.path(program).chmod(0o755)
    ctl = amanda.base / "taperctl"
    ctl.write_text(amanda.launcher.read_text().replace("from taper.cli ", "from taper.ctl "))
    ctl.chmod(0o755)
    places = [f"{SOURCE}/{disk}" for disk, _ in disks]
    amanda.ask("amdump", *(word for place in places for word in ("localhost", f"^{place}$")))
    amanda.use(ours=True)
    amanda.path(f"{SOURCE}/home/empty").unlink()
    amanda.write(f"{SOURCE}/home/late", "written later\n")
    amanda.ask("amadmin", "force-level-1", "localhost", f"{SOURCE}/home")
    amanda.ask("amdump", "localhost", f"{SOURCE}/home")
    amanda.ask("amdump", "--no-taper", "localhost", f"{SOURCE}/kept")
    assert amanda.held()
    return amanda


def run(amanda: Amanda, *words: str, root: bool = False) -> subprocess.CompletedProcess[str]:
    command = ("taperctl", "restore", CONFIG, "localhost", *words)
    wrap = amanda.root_command if root else amanda.command
    return subprocess.run(
        wrap(str(amanda.base / command[0]), *command[1:]),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="surrogateescape",
        timeout=SECONDS,
        env=amanda.environment,
    )


def place(amanda: Amanda, name: str) -> str:
    """A directory to restore into, which is not there yet."""
    return f"{amanda.mkdir('/tmp/amanda/back')}/{name}"


def restore(amanda: Amanda, disk: str, *words: str, root: bool = False) -> tuple[str, str]:
    """Restore all of a disk; it must be good. :return: where to, and what was said"""
    target = place(amanda, f"{disk}{len(list(amanda.path('/tmp/amanda').glob('back/*')))}")
    done = run(amanda, f"{SOURCE}/{disk}", *words, "--to", target, root=root)
    assert done.returncode == 0, done.stdout
    assert "All checksums are as they were" in done.stdout
    return target, done.stdout


@pytest.mark.parametrize("root", [True, False])
def test_a_full_dump_and_an_incremental_one(nights: Amanda, root: bool) -> None:
    """Over four volumes, of two tapers; what was deleted between them is gone again."""
    target, said = restore(nights, "home", root=root)
    nights.check_restored("home", target)
    assert [line.split()[0] for line in said.splitlines() if line[:2] in ("0 ", "1 ")] == ["0", "1"]
    owner = nights.path(f"{target}/late").stat().st_uid
    assert owner == nights.path(f"{SOURCE}/home/late").stat().st_uid


def test_an_older_date(nights: Amanda) -> None:
    """The full dump alone, as amfetchdump gives it."""
    first = sorted(path.name[4:18] for path in nights.path("/etc/amanda/SYS/log").glob("log.2*"))[0]
    target, _ = restore(nights, "home", first)
    names = {str(path.relative_to(nights.path(target))) for path in nights.path(target).rglob("*")}
    fetched = nights.path(nights.fetch("home", first))
    assert names == {str(path.relative_to(fetched)) for path in fetched.rglob("*")}
    assert "empty" in names
    assert "late" not in names


@pytest.mark.parametrize("disk", ["srv", "keys", "bin", "kept"])
def test_what_was_done_to_dumps(nights: Amanda, disk: str) -> None:
    """Compressed by the server; by the client, and encrypted; by a program; held."""
    target, _ = restore(nights, disk, root=disk == "keys")
    nights.check_restored(disk, target)


def test_to_standard_output(nights: Amanda) -> None:
    """The same bytes that amfetchdump gives."""
    words = nights.command(str(nights.base / "taperctl"), "restore", CONFIG, "localhost")
    ours = subprocess.run(
        [*words, f"{SOURCE}/keys", "--to", "-"], env=nights.environment, capture_output=True
    )
    assert ours.returncode == 0, ours.stderr
    fetch = nights.command("amfetchdump", "-a", "-p", CONFIG, "localhost", f"^{SOURCE}/keys$")
    stock = subprocess.run(fetch, env=nights.environment, capture_output=True)
    assert stock.returncode == 0, stock.stderr
    assert ours.stdout == stock.stdout


def test_one_file(nights: Amanda) -> None:
    """By the index only the dumps that have it are read."""
    target = place(nights, "one")
    done = run(nights, f"{SOURCE}/home", "--path", "part0/file6.0", "--to", target)
    assert done.returncode == 0, done.stdout
    assert "has none of it, by its index" in done.stdout
    found = [path for path in nights.path(target).rglob("*") if path.is_file()]
    (only,) = found
    assert only.read_bytes() == nights.path(f"{SOURCE}/home/part0/file6.0").read_bytes()


def test_a_program_that_only_the_volume_names(nights: Amanda) -> None:
    """It is not run before somebody says so."""
    conf = nights.read("/etc/amanda/SYS/amanda.conf")
    nights.write("/etc/amanda/SYS/amanda.conf", conf.replace(f'"{PACK}"', '"/bin/gzip"'))
    try:
        target = place(nights, "trust")
        done = run(nights, f"{SOURCE}/bin", "--to", target)
        assert done.returncode == 1
        assert f"say --trust {PACK} to run it" in done.stdout
        restore(nights, "bin", "--trust", PACK)
    finally:
        nights.write("/etc/amanda/SYS/amanda.conf", conf)


@contextmanager
def without(amanda: Amanda, path: str) -> Iterator[None]:
    """A file or directory is gone for a while."""
    (found,) = amanda.path(VTAPES).glob(path)
    away = amanda.path("/var/lib/amanda/away")
    found.rename(away)
    try:
        yield
    finally:
        away.rename(found)


def whole_part(amanda: Amanda, disk: str) -> tuple[str, int, str]:
    """A part in the middle of a full dump: the label of its volume, which may be any, its file, and
    where it is."""
    found = sorted(amanda.path(VTAPES).glob(f"slot*/*_source_{disk}.0"))
    path = [one for one in found if one.stat().st_size == 32768 + (1 << 20)][2]
    (label,) = path.parent.glob("00000.*")
    return label.name[6:], int(path.name[:5]), f"{path.parent.name}/{path.name}"


def told(done: subprocess.CompletedProcess[str]) -> Any:
    return json.loads(done.stdout)


def test_a_part_that_is_gone(nights: Amanda) -> None:
    """All other files are there, and the damaged ones are named."""
    target = place(nights, "torn")
    label, file, where = whole_part(nights, "home")
    with without(nights, where):
        done = run(nights, f"{SOURCE}/home", "--level", "0", "--json", "--to", target)
    assert done.returncode == 3
    record = told(done)
    assert not record["whole"]
    (outcome,) = record["outcomes"]
    (loss,) = outcome["lost"]
    assert (loss["volume"], loss["file"], loss["size"]) == (label, file, 1 << 20)
    names = {*outcome["damaged"], *outcome["names_lost"]}
    assert names
    source = nights.path(f"{SOURCE}/home")
    for path in source.rglob("*"):
        name = str(path.relative_to(source))
        if path.is_file() and not path.is_symlink() and name not in {*names, "late"}:
            assert nights.path(f"{target}/{name}").read_bytes() == path.read_bytes(), name


def test_a_compressed_dump_that_is_torn(nights: Amanda) -> None:
    """All up to there is restored, and that it ends there is told."""
    target = place(nights, "squeezed")
    first, second, *_ = sorted(nights.path(VTAPES).glob("slot*/*_source_srv.0"))
    assert first.parent <= second.parent
    with without(nights, f"{second.parent.name}/{second.name}"):
        done = run(nights, f"{SOURCE}/srv", "--json", "--to", target)
    assert done.returncode == 3
    (outcome,) = told(done)["outcomes"]
    ends = "nothing from part 2 on can be unpacked"
    assert any(fault.endswith(ends) for fault in outcome["faults"])
    (damaged,) = outcome["damaged"]
    assert outcome["files"] >= 1
    source = nights.path(f"{SOURCE}/srv")
    for path in nights.path(target).rglob("*"):
        name = str(path.relative_to(nights.path(target)))
        if path.is_file() and not path.is_symlink() and name != damaged:
            assert path.read_bytes() == (source / name).read_bytes()


def test_a_volume_that_is_missing(nights: Amanda) -> None:
    """It is told before anything is done."""
    target = place(nights, "missing")
    label, _, where = whole_part(nights, "home")
    with without(nights, f"{where.partition('/')[0]}/00000.*"):
        done = run(nights, f"{SOURCE}/home", "--to", target)
    assert done.returncode == 4
    assert f"Not in the changer: {label}. Nothing was restored." in done.stdout
    assert not nights.path(target).exists()
