"""The real ``amdirecttar`` at a rendezvous."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from crc32c import crc32c

from protocols.rendezvous.frames import (
    Broken,
    End,
    EndResult,
    HeaderFields,
    Outcome,
    Result,
    Stored,
)
from tests.application.conftest import Disk
from tests.application.driving import Peer, answer, direct, run, said, start, take_all
from tests.application.taper_side import KEY, TaperSide
from tests.application.test_backup import ALL, names


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """A key file, as it must be."""
    path = tmp_path / "key"
    path.touch(mode=0o600)
    path.write_bytes(KEY + b"\n")
    return path


def options(disk: Disk, key: Path, **more: str) -> list[str]:
    return disk.options(rendezvous="yes", rendezvous_key_file=str(key), **more)


def test_a_dump_that_is_cut(disk: Disk, key: Path, taper: TaperSide) -> None:
    """With a spool, as the window's memory is small; what is kept in the end is the archive."""
    given = options(disk, key, rendezvous_spool=str(disk.place), crc="yes", rendezvous_window="1")
    words = [*given, "--record", *direct(str(taper.address))]
    process = start(disk.place, "backup", *words)
    taper.meet()
    peer = taper.half.peer
    assert peer is not None
    assert (peer.host, peer.disk, peer.level) == ("localhost", "/data", 0)
    assert (peer.application, peer.window) == ("amdirecttar", 1025 << 20)
    taper.send()
    taper.take(2_500_000)
    taper.say(Stored(10_000, 10_000))
    taper.drop()
    taper.hear(Broken)
    taper.cut()
    taper.meet()
    taper.hear(Broken)
    taper.send(10_000)
    taper.take()
    data = bytes(taper.received)
    assert taper.hear(End) == End(len(data), crc32c(data), EndResult.GOOD, "")
    assert names(data) == ALL
    taper.good()
    done = said(disk.place, process)
    assert done.status == 0, done
    assert f"sendbackup: size {len(data) // 1024}" in done.messages
    assert f"sendbackup: native-CRC {crc32c(data):08x}:{len(data)}" in done.messages
    kept = {path.name for path in disk.lists.iterdir()}
    assert kept == {"localhost_data_0"}


def test_the_header_is_told(disk: Disk, key: Path, taper: TaperSide) -> None:
    process = start(disk.place, "backup", *options(disk, key), *direct(str(taper.address)))
    taper.meet()
    header = taper.hear(HeaderFields)
    assert dict(header.fields)["program"] == "APPLICATION"
    assert dict(header.fields)["application"] == "amdirecttar"
    taper.say(Result(Outcome.FAILED, 0, False, 0, "no volume for [it]"))
    done = said(disk.place, process)
    assert (done.status, done.error) == (1, "the taper has not stored the dump: no volume for (it)")
    assert list(disk.lists.iterdir()) == []


def test_tar_fails(disk: Disk, key: Path, taper: TaperSide) -> None:
    """The taper is told, before any volume need be begun."""
    given = options(disk, key, directory=str(disk.place / "missing"))
    process = start(disk.place, "backup", *given, *direct(str(taper.address)))
    taper.meet()
    end = taper.hear(End)
    assert (end.result, end.text) == (EndResult.FAILED, "tar exited with status 2")
    taper.say(Result(Outcome.FAILED, 0, False, 0, end.text))
    done = said(disk.place, process)
    assert (done.status, done.error) == (1, "tar exited with status 2")


def test_stopped(disk: Disk, key: Path, taper: TaperSide) -> None:
    """The taper is told, and the stream does not end but break."""
    process = start(disk.place, "backup", *options(disk, key), *direct(str(taper.address)))
    taper.meet()
    taper.send()
    taper.take(1000)
    process.send_signal(signal.SIGTERM)
    end = taper.hear(End)
    assert (end.result, end.text) == (EndResult.FAILED, "stopped by SIGTERM")
    with pytest.raises(ConnectionResetError):
        taper.take()
    done = said(disk.place, process)
    assert (done.status, done.error) == (1, "stopped by SIGTERM")
    assert list(disk.lists.iterdir()) == []


def test_a_taper_that_knows_no_rendezvous(disk: Disk, key: Path) -> None:
    """An indirect address is none, so the dump goes as it did."""
    peer = Peer(take_all)
    asked = Peer(answer(peer.address))
    addresses = direct(f"255.255.255.255:{asked.port}")
    done = run(disk.place, "backup", *options(disk, key), *addresses)
    asked.join()
    peer.join()
    assert done.status == 0, done
    assert names(bytes(peer.received)) == ALL
    assert [line for line in done.messages if "the taper offers no rendezvous" in line]


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ([], "property RENDEZVOUS needs RENDEZVOUS-KEY-FILE"),
        (["--rendezvous-key-file", "/missing/key"], "property RENDEZVOUS-KEY-FILE: /missing/key: "),
        (["--rendezvous-key-file", "{open}"], "others can read or change it"),
        (["--rendezvous-key-file", "{short}"], "at least 16 are needed"),
        (
            ["--rendezvous-key-file", "{key}", "--rendezvous-spool", "/missing"],
            "property RENDEZVOUS-SPOOL: ",
        ),
    ],
)
def test_what_is_found_before_the_night(disk: Disk, key: Path, more: list[str], why: str) -> None:
    """By selfcheck, and by the dump as well, which then calls nobody."""
    paths = {"key": key, "open": disk.place / "open", "short": disk.place / "short"}
    paths["open"].write_bytes(KEY)
    paths["open"].chmod(0o644)
    paths["short"].write_bytes(b"short")
    paths["short"].chmod(0o600)
    words = ["--rendezvous", "yes", *(word.format(**paths) for word in more)]
    done = run(disk.place, "selfcheck", *disk.options(), *words)
    (line,) = [line for line in done.out.decode().splitlines() if line.startswith("ERROR ")]
    assert why in line
    done = run(disk.place, "backup", *disk.options(), *words, *direct("127.0.0.1:1"))
    assert (done.status, why in done.error) == (1, True)


def test_a_good_key_is_told_by_selfcheck(disk: Disk, key: Path) -> None:
    words = options(disk, key, rendezvous_spool=str(disk.place))
    lines = run(disk.place, "selfcheck", *words).out.decode().splitlines()
    assert f"OK {key} has a key" in lines
    assert f"OK {disk.place} can be written" in lines
    assert all(line.startswith("OK ") for line in lines)
