"""Ours and stock programs change one tapelist at the same time, and nothing is lost.

Ours is a process of its own with a reactor, a lane and a TapelistStore. Stock is a Perl program on
Amanda's own tapelist library, and amadmin, which runs as the dump user in a mount namespace with
its own /etc/amanda.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from protocols.tapelist import Tapelist, parse_tapelist

AMADMIN, USER = "/usr/sbin/amadmin", "backup"
PERL_LIB = "/usr/lib/x86_64-linux-gnu/amanda/perl"
UPDATES = 200
ROOT = Path(__file__).parents[2]

needs_library = pytest.mark.skipif(
    not os.path.isdir(PERL_LIB) or shutil.which("perl") is None,
    reason=f"Amanda's Perl library is not in {PERL_LIB}",
)


def _missing() -> str | None:
    if os.geteuid() != 0:
        return "needs root, to make a mount namespace"
    if not os.path.exists(AMADMIN):
        return f"{AMADMIN} is not installed"
    if not any(entry.pw_name == USER for entry in pwd.getpwall()):
        return f"there is no user {USER}"
    probe = subprocess.run(["unshare", "-m", "true"], capture_output=True)
    return None if probe.returncode == 0 else "mount namespaces are not allowed"


_REASON = _missing()
pytestmark = pytest.mark.system

# Each update adds a volume of its own and counts in the comment of a shared one: a lost update
# shows as a lost volume or as a wrong count. Neither side runs far ahead of the other, if the
# other is told of ("in step").
OURS = """
import os, sys
from attrs import evolve
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from devices.lane import Lane
from protocols.tapelist import TapelistEntry
from taper.run.tapelist_store import TapelistStore

path, updates, in_step, uid = sys.argv[1], *map(int, sys.argv[2:])
os.setuid(uid)
store = TapelistStore(path, Lane(reactor, "tapelist").call, reactor)

def count(tapelist, number):
    shared = tapelist.lookup("SHARED")
    counted = evolve(shared, comment=str(int(shared.comment) + 1))
    new = TapelistEntry(datestamp="20260101%06d" % number, label="OURS-%03d" % number, pool="o")
    return tapelist.replacing(counted).adding(new)

async def main():
    for number in range(updates):
        while in_step and number > 20:
            if (await store.read()).lookup("STOCK-%03d" % (number - 20)):
                break
            await deferLater(reactor, 0.02)
        await store.update(lambda tapelist: count(tapelist, number))
        await deferLater(reactor, 0.02)

def end(result):
    if result is not None:
        print(result, file=sys.stderr, flush=True)
    reactor.stop()

reactor.callWhenRunning(lambda: Deferred.fromCoroutine(main()).addBoth(end))
reactor.run()
"""

STOCK = f"""
use lib '{PERL_LIB}';
use strict; use warnings; use Time::HiRes qw(usleep);
use Amanda::Util; use Amanda::Tapelist;
my ($path, $updates) = @ARGV;
my ($tl, $message) = Amanda::Tapelist->new($path);
die "$message" if defined $message;
for my $number (0 .. $updates - 1) {{
    while ($number > 20) {{
        $tl->reload(0);
        last if $tl->lookup_tapelabel(sprintf("OURS-%03d", $number - 20));
        usleep(20000);
    }}
    $message = $tl->reload(1);
    die "$message" if defined $message;
    my $shared = $tl->lookup_tapelabel("SHARED");
    my $count = '' . ($shared->{{'comment'}} + 1);
    $tl->remove_tapelabel("SHARED");
    $tl->add_tapelabel("0", "SHARED", $count, 1);
    $tl->add_tapelabel(sprintf("20260102%06d", $number), sprintf("STOCK-%03d", $number),
        undef, 0, undef, undef, 32, "s");
    $tl->write();
    usleep(20000);
}}
"""


def read(path: Path) -> Tapelist:
    return parse_tapelist(path.read_bytes(), str(path))


@contextmanager
def ours_on(path: Path, updates: int, *, in_step: bool, uid: int) -> Iterator[None]:
    """Our process at work; it has ended well when the block is left."""
    arguments = [str(path), str(updates), str(int(in_step)), str(uid)]
    ours = subprocess.Popen(
        [sys.executable, "-c", OURS, *arguments], cwd=ROOT, stderr=subprocess.PIPE
    )
    try:
        yield
        told = ours.communicate(timeout=600)[1]
        assert (ours.returncode, told) == (0, b"")
    finally:
        ours.kill()
        ours.wait()


def the_shared_count(tapelist: Tapelist) -> str | None:
    shared = tapelist.lookup("SHARED")
    assert shared is not None
    return shared.comment


@needs_library
def test_two_hundred_updates_each_and_nothing_lost(tmp_path: Path) -> None:
    """A stock program and ours write side by side; the list holds all of both."""
    path = tmp_path / "tapelist"
    path.write_text("20250101 OLD reuse POOL:x # keep me\n0 SHARED reuse #0\n")
    with ours_on(path, UPDATES, in_step=True, uid=os.geteuid()):
        stock = subprocess.run(
            ["perl", "-e", STOCK, str(path), str(UPDATES)],
            capture_output=True,
            cwd=tmp_path,
            timeout=900,
        )
        assert (stock.returncode, stock.stderr) == (0, b"")
    tapelist = read(path)
    assert the_shared_count(tapelist) == str(2 * UPDATES)
    assert {entry.label for entry in tapelist.entries} == {
        "OLD",
        "SHARED",
        *(f"{side}-{number:03d}" for side in ("OURS", "STOCK") for number in range(UPDATES)),
    }
    assert path.read_bytes() == tapelist.format()
    assert tapelist.entries[-2].comment == " keep me"
    left = sorted(entry.name for entry in tmp_path.iterdir())
    assert left == ["tapelist", "tapelist.last_write", "tapelist.lock"]


@needs_library
def test_stock_reads_every_field_we_write(tmp_path: Path) -> None:
    """And writes the same line."""
    path = tmp_path / "tapelist"
    line = (
        "20260101120000 A-1 no-reuse BARCODE:{,,} META:m BLOCKSIZE:32 POOL:p STORAGE:s CONFIG:c "
        "# a comment\n1 B no-reuse POOL:p STORAGE:s CONFIG:c\n0 C reuse\n"
    )
    path.write_bytes(parse_tapelist(line.encode()).format())
    script = (
        f"use lib '{PERL_LIB}'; use Amanda::Util; use Amanda::Tapelist;"
        "my ($tl, $m) = Amanda::Tapelist->new($ARGV[0], 1); die $m if $m; $tl->write();"
    )
    subprocess.run(["perl", "-e", script, str(path)], check=True, cwd=tmp_path)
    assert path.read_text() == line


CONF = """
org "SHARE"
tapedev "null:"
tapetype V
define tapetype V {
  length 100 mbytes
}
"""


@pytest.fixture
def config() -> Iterator[Path]:
    """A folder for the dump user: etc/SHARE with amanda.conf, log, lib and tmp."""
    base = Path(tempfile.mkdtemp(prefix="tapelist-sharing-"))
    try:
        for name in ("etc/SHARE", "log", "lib", "tmp"):
            (base / name).mkdir(parents=True)
        (base / "etc/SHARE/amanda.conf").write_text(CONF)
        (base / "etc/SHARE/disklist").touch()
        for folder, _, files in os.walk(base):
            for name in (folder, *(os.path.join(folder, file) for file in files)):
                shutil.chown(name, USER, USER)
        yield base
    finally:
        shutil.rmtree(base)


def as_dump_user(base: Path, *command: str) -> list[str]:
    """The command, run in a mount namespace in which Amanda's folders are those of ``base``."""
    places = {"etc": "/etc/amanda", "log": "/var/log/amanda", "lib": "/var/lib/amanda"}
    binds = " && ".join(f"mount --bind {base}/{name} {at}" for name, at in places.items())
    script = f'mount --make-rprivate / && {binds} && exec runuser -u {USER} -- "$@"'
    return ["unshare", "-m", "sh", "-c", script, "sh", *command]


@pytest.mark.skipif(_REASON is not None, reason=_REASON or "")
def test_amadmin_marks_volumes_while_we_write(config: Path) -> None:
    """Every mark of amadmin no-reuse and reuse is there in the end, and all of ours."""
    path = config / "etc/SHARE/tapelist"
    volumes = [f"VOL-{number:02d}" for number in range(8)]
    text = "".join(f"20250101 {label} reuse\n" for label in volumes)
    path.write_text(text + "0 SHARED reuse #0\n")
    shutil.chown(path, USER, USER)
    marks = [
        f"{AMADMIN} SHARE {mark} {label}"
        for label in volumes
        for mark in ("no-reuse", "reuse", "no-reuse")
    ]
    script = "\n".join(["set -e", *marks, f"{AMADMIN} SHARE reuse {volumes[0]}"])
    with ours_on(path, UPDATES, in_step=False, uid=pwd.getpwnam(USER).pw_uid):
        stock = subprocess.run(
            as_dump_user(config, "sh", "-c", script), capture_output=True, cwd="/", timeout=900
        )
        assert stock.returncode == 0, stock.stderr
    tapelist = read(path)
    reusable = {entry.label for entry in tapelist.entries if entry.reuse}
    assert reusable == {volumes[0], "SHARED", *(f"OURS-{number:03d}" for number in range(UPDATES))}
    assert the_shared_count(tapelist) == str(UPDATES)
    assert len(tapelist.entries) == len(volumes) + 1 + UPDATES
