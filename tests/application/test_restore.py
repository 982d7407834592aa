"""Restoring from standard input and from a connection."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from tests.application.conftest import Disk
from tests.application.driving import Peer, Said, answer, closed_port, direct, run


@pytest.fixture
def archive(disk: Disk) -> bytes:
    """A full dump of the disk, data path AMANDA."""
    return run(disk.place, "backup", *disk.options()).out


@pytest.fixture
def target(disk: Disk) -> Path:
    found = disk.place / "target"
    found.mkdir()
    return found


def give(data: bytes) -> Peer:
    """A peer that sends these bytes."""

    def serve(connection: socket.socket, _peer: Peer) -> None:
        connection.sendall(data)

    return Peer(serve)


def restored(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): b"" if path.is_symlink() else path.read_bytes()
        for path in root.rglob("*")
        if not path.is_dir()
    }


def same(disk: Disk, target: Path) -> bool:
    return restored(disk.source) == restored(target)


def from_connection(disk: Disk, target: Path, data: bytes, *more: str) -> Said:
    peer = give(data)
    done = run(disk.place, "restore", *disk.options(), *direct(peer.address), *more, cwd=target)
    peer.join()
    return done


def test_from_standard_input_into_the_current_directory(
    disk: Disk, archive: bytes, target: Path
) -> None:
    done = run(disk.place, "restore", *disk.options(), stdin=archive, cwd=target)
    assert done.status == 0, done
    assert same(disk, target)


def test_from_a_connection(disk: Disk, archive: bytes, target: Path) -> None:
    """The last record padded with zeros, as a tape gives it, does no harm."""
    done = from_connection(disk, target, archive + bytes(20480))
    assert done.status == 0, done
    assert same(disk, target)


def test_all_addresses_in_one_argument_and_an_indirect_one(
    disk: Disk, archive: bytes, target: Path
) -> None:
    """As amrecover passes them; the target named."""
    for indirect in (False, True):
        peer = give(archive)
        told = [f"127.0.0.1:{closed_port()}", peer.address]
        asked = Peer(answer(*told))
        addresses = f"255.255.255.255:{asked.port}" if indirect else " ".join(told)
        words = ["--data-path", "DIRECTTCP", "--direct-tcp", addresses, "--target", str(target)]
        done = run(disk.place, "restore", *disk.options(), *words)
        peer.join()
        assert done.status == 0, done
        assert same(disk, target)
        if indirect:
            asked.join()
        else:
            socket.create_connection(("127.0.0.1", asked.port)).close()
            asked.join()


def test_only_what_is_named(disk: Disk, target: Path) -> None:
    """Names mean themselves, escaped as in the index where need be; only listed globs are
    patterns."""
    for name in ("a[1]", "a1", "-x", "c\\1"):
        (disk.source / name).write_text(name)
    archive = run(disk.place, "backup", *disk.options()).out
    wanted = ["./a[1]", "./\\303\\274\\n", "./c\\\\1", "./-x"]
    assert from_connection(disk, target, archive, *wanted).status == 0
    assert set(restored(target)) == {"a[1]", "ü\n", "c\\1", "-x"}
    globs = disk.place / "globs"
    globs.write_text("./*1\n")
    more = ["--include-list-glob", str(globs), "--exclude-file", "./c*"]
    assert from_connection(disk, target, archive, *more).status == 0
    assert set(restored(target)) == {"a[1]", "ü\n", "c\\1", "-x", "a1"}


def test_a_name_that_is_not_there(disk: Disk, archive: bytes, target: Path) -> None:
    done = from_connection(disk, target, archive, "./nothing")
    assert done.status == 1
    assert "./nothing: Not found in archive" in done.err


def test_an_archive_cut_between_two_members(disk: Disk, archive: bytes, target: Path) -> None:
    """Tar alone takes that for a good end."""
    cut = len(archive.rstrip(b"\0"))
    cut += -cut % 512
    done = from_connection(disk, target, archive[:cut])
    assert done.status == 1
    assert f"ended after {cut} bytes, which is not the end of an archive" in done.err


def test_an_archive_cut_anywhere(disk: Disk, archive: bytes, target: Path) -> None:
    done = from_connection(disk, target, archive[:1_000_000])
    assert done.status == 1
    assert "Unexpected EOF in archive" in done.err


def test_nobody_listens(disk: Disk, target: Path) -> None:
    port = closed_port()
    words = direct(f"127.0.0.1:{port}")
    done = run(disk.place, "restore", *disk.options(), *words, cwd=target)
    assert done.status == 1
    assert done.err == (
        f"amdirecttar: cannot connect to 127.0.0.1 port {port}: Connection refused [TAPER-5002]\n"
    )


def test_the_connection_breaks(disk: Disk, archive: bytes, target: Path) -> None:
    def break_off(connection: socket.socket, _peer: Peer) -> None:
        connection.sendall(archive[:50_000])
        while not list(target.iterdir()):  # some of it has been read
            time.sleep(0.01)
        linger = b"\1\0\0\0\0\0\0\0"
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    peer = Peer(break_off)
    done = run(disk.place, "restore", *disk.options(), *direct(peer.address), cwd=target)
    peer.join()
    assert done.status == 1
    assert f"the data connection to 127.0.0.1 port {peer.port} broke after" in done.err


def test_validate_and_index(disk: Disk, archive: bytes) -> None:
    """Both read it all; index prints the names as they are stored for amrecover."""
    done = run(disk.place, "validate", *disk.options(), stdin=archive)
    assert (done.status, done.out) == (0, b"")
    done = run(disk.place, "index", *disk.options(), stdin=archive)
    assert done.status == 0
    assert set(done.out.decode().splitlines()) == {
        "/",
        "/sub/",
        "/sub/large",
        "/\\303\\274\\n",
        "/link",
    }
    for command in ("validate", "index"):
        assert run(disk.place, command, *disk.options(), stdin=archive[:90_000]).status == 1
