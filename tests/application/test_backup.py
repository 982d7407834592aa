"""Dumps into a data connection, and into standard output."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from crc32c import crc32c

from tests.application.conftest import Disk
from tests.application.driving import (
    ROOT,
    Peer,
    answer,
    closed_port,
    command,
    direct,
    run,
    said,
    start,
    take_all,
)


def names(archive: bytes) -> set[str]:
    """Names of the members, as tar escapes them; it must not find anything else wrong."""
    done = subprocess.run(
        ["tar", "--quoting-style=escape", "-tf", "-"],
        input=archive,
        capture_output=True,
        check=True,
        env={"LC_ALL": "C"},
    )
    assert done.stderr == b""
    return {name.rstrip("/") for name in done.stdout.decode().splitlines()}


ALL = {".", "./sub", "./\\303\\274\\n", "./sub/large", "./link"}


def dump(disk: Disk, level: int = 0, **more: str) -> tuple[Peer, list[str]]:
    """A good dump into a connection; the peer and the messages."""
    peer = Peer(take_all)
    options = disk.options(level, **more)
    done = run(disk.place, "backup", *options, "--record", *direct(peer.address))
    peer.join()
    assert done.status == 0, done
    assert not peer.reset
    assert done.out == b""
    return peer, done.messages


def test_straight_into_the_connection(disk: Disk) -> None:
    """The peer gets the archive and nothing else, then the end of the stream."""
    peer, messages = dump(disk)
    assert names(bytes(peer.received)) == ALL
    size = len(peer.received)
    assert messages[0].startswith(f"| Total bytes written: {size} ")
    assert messages[1:] == [f"sendbackup: size {size // 1024}"]
    assert [path.name for path in disk.lists.iterdir()] == ["localhost_data_0"]


def test_standard_output_for_data_path_amanda(disk: Disk) -> None:
    """With an index, in the form that Amanda stores."""
    done = run(disk.place, "backup", *disk.options(), "--index", "line", "--data-path", "amanda")
    assert done.status == 0
    assert names(done.out) == ALL
    assert set(done.index) == {"/", "/sub/", "/sub/large", "/\\303\\274\\n", "/link"}
    assert list(disk.lists.iterdir()) == [], "without --record nothing is kept"


def test_the_checksum_if_asked(disk: Disk) -> None:
    """Both CRC lines are those of what arrived."""
    peer, messages = dump(disk, crc="yes")
    text = f"{crc32c(bytes(peer.received)):08x}:{len(peer.received)}"
    assert f"sendbackup: native-CRC {text}" in messages
    assert f"sendbackup: client-CRC {text}" in messages


def test_levels(disk: Disk) -> None:
    """A level holds what changed since the one below; a repeated level starts from there again."""
    dump(disk)
    (disk.source / "new").write_text("1")
    for _ in range(2):
        peer, _messages = dump(disk, level=1)
        assert names(bytes(peer.received)) == {".", "./sub", "./new"}
    peer, messages = dump(disk, level=2)
    assert names(bytes(peer.received)) == {".", "./sub"}
    assert not [line for line in messages if "this dump is full" in line]


def test_a_level_without_a_base_is_full_and_says_so(disk: Disk) -> None:
    peer, messages = dump(disk, level=3)
    assert names(bytes(peer.received)) == ALL
    assert "| amdirecttar: no lower level is known, this dump is full" in messages


def test_it_never_listens(disk: Disk, tmp_path: Path) -> None:
    """Where nothing can listen it dumps and restores all the same."""
    (tmp_path / "sitecustomize.py").write_text(
        "import socket\ndef refuse(*_):\n    raise SystemExit('it listens')\n"
        "socket.socket.listen = refuse\n"
    )
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"}

    def run_deaf(*arguments: str) -> int:
        return subprocess.run(
            arguments, stdin=subprocess.DEVNULL, capture_output=True, env=environment, check=False
        ).returncode

    listener = "import socket; socket.create_server(('127.0.0.1', 0))"
    assert run_deaf(sys.executable, "-c", listener) != 0
    peer = Peer(take_all)
    words = (*disk.options(), *direct(peer.address))
    assert run_deaf(*command(disk.place, "backup", *words)) == 0
    peer.join()
    archive = bytes(peer.received)
    assert names(archive) == ALL

    def give(connection: socket.socket, _: Peer) -> None:
        connection.sendall(archive)

    peer = Peer(give)
    target = tmp_path / "target"
    target.mkdir()
    words = (*disk.options(), *direct(peer.address), "--target", str(target))
    assert run_deaf(*command(disk.place, "restore", *words)) == 0
    peer.join()
    assert (target / "sub" / "large").exists()


def test_all_addresses_are_tried_in_order(disk: Disk) -> None:
    """Dead ones first, given as several options or as one with several; IPv6 too."""
    dead = f"127.0.0.1:{closed_port()}"
    peer = Peer(take_all, "::1")
    for addresses in ([dead, peer.address], [f"{dead} {peer.address}"]):
        peer = Peer(take_all, "::1")
        addresses[-1] = addresses[-1].rpartition(" ")[0] + " " + peer.address
        done = run(disk.place, "backup", *disk.options(), *direct(*addresses))
        peer.join()
        assert done.status == 0, done
        assert names(bytes(peer.received)) == ALL


def test_an_indirect_address_is_asked(disk: Disk) -> None:
    """255.255.255.255 stands for what its port on localhost tells."""
    peer = Peer(take_all)
    asked = Peer(answer(f"127.0.0.1:{closed_port()}", peer.address))
    addresses = direct(f"255.255.255.255:{asked.port}")
    done = run(disk.place, "backup", *disk.options(), *addresses)
    asked.join()
    peer.join()
    assert done.status == 0, done
    assert names(bytes(peer.received)) == ALL


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ("", "names no address"),
        ("hello", "is not an address"),
        ("255.255.255.255:9", "is itself an IndirectTCP address"),
        ("1.2.3.4:5 " * 4000, "longer than"),
    ],
)
def test_a_lying_indirect_address(disk: Disk, told: str, why: str) -> None:
    """The error tells whom we asked and what is wrong."""
    asked = Peer(answer(told))
    addresses = direct(f"255.255.255.255:{asked.port}")
    done = run(disk.place, "backup", *disk.options(), *addresses)
    asked.join()
    assert done.status == 1
    assert f"cannot get an address from the IndirectTCP port {asked.port}" in done.error
    assert why in done.error


def test_an_indirect_address_that_never_answers(disk: Disk) -> None:
    """It is not waited for without limit."""

    def keep_silent(connection: socket.socket, _peer: Peer) -> None:
        connection.recv(1)

    asked = Peer(keep_silent)
    addresses = direct(f"255.255.255.255:{asked.port}")
    done = run(disk.place, "backup", *disk.options(answer_timeout="1"), *addresses)
    asked.join()
    assert done.status == 1
    assert "timed out" in done.error


def test_nobody_listens(disk: Disk) -> None:
    """Every address is named with its reason; nothing is kept."""
    ports = [closed_port(), closed_port()]
    addresses = [f"127.0.0.1:{port}" for port in ports]
    done = run(disk.place, "backup", *disk.options(), "--record", *direct(*addresses))
    assert done.status == 1
    told = "; ".join(f"127.0.0.1 port {port}: Connection refused" for port in ports)
    assert done.error == f"cannot connect to {told}"
    assert list(disk.lists.iterdir()) == []


def test_no_address(disk: Disk) -> None:
    done = run(disk.place, "backup", *disk.options(), *direct())
    assert (done.status, done.error) == (1, "no address for the data connection was given")


def test_the_peer_breaks_off(disk: Disk) -> None:
    """In mid-stream: an error with the peer's address, and the next level's base is as before."""

    def take_little(connection: socket.socket, _peer: Peer) -> None:
        connection.recv(100_000)

    (disk.lists / "localhost_data_0").write_bytes(b"before")
    peer = Peer(take_little)
    done = run(disk.place, "backup", *disk.options(), "--record", *direct(peer.address))
    peer.join()
    assert done.status == 1
    assert done.error.startswith(f"the data connection to 127.0.0.1 port {peer.port} broke: ")
    assert (disk.lists / "localhost_data_0").read_bytes() == b"before"


def test_the_peer_goes_without_having_read_all(disk: Disk) -> None:
    """What its system has received, but nobody has read, is not stored."""

    def take_little(connection: socket.socket, _peer: Peer) -> None:
        connection.recv(5000)
        while not (disk.place / "messages").read_text():  # tar has written everything
            time.sleep(0.01)

    (disk.source / "sub" / "large").unlink()
    (disk.place / "messages").write_text("")
    peer = Peer(take_little)
    done = run(disk.place, "backup", *disk.options(), "--record", *direct(peer.address))
    peer.join()
    assert done.status == 1
    assert "Connection reset by peer" in done.error
    assert list(disk.lists.iterdir()) == []


def test_the_peer_keeps_its_side_open(disk: Disk) -> None:
    """It has everything, so after a while the dump is good."""

    def linger(connection: socket.socket, peer: Peer) -> None:
        take_all(connection, peer)
        ended.wait(60)

    ended = threading.Event()
    peer = Peer(linger)
    done = run(disk.place, "backup", *disk.options(close_timeout="1"), *direct(peer.address))
    ended.set()
    peer.join()
    assert done.status == 0


def test_tar_fails(disk: Disk) -> None:
    """The peer sees a reset, which no one can take for the end of a good dump."""
    peer = Peer(take_all)
    options = disk.options(directory=str(disk.place / "missing"))
    done = run(disk.place, "backup", *options, "--record", *direct(peer.address))
    peer.join()
    assert (done.status, done.error) == (1, "tar exited with status 2")
    assert [line for line in done.messages if line.startswith("? ") and "Cannot open" in line]
    assert peer.reset
    assert list(disk.lists.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_killed(disk: Disk, number: signal.Signals) -> None:
    """The peer sees a reset then, too."""

    with (disk.source / "huge").open("wb") as huge:
        huge.truncate(64 << 20)  # more than lies in the buffers of a connection

    def stall(connection: socket.socket, peer: Peer) -> None:
        peer.received += connection.recv(1000)
        process.send_signal(number)
        process.wait()
        take_all(connection, peer)

    peer = Peer(stall)
    process: subprocess.Popen[bytes] = start(
        disk.place, "backup", *disk.options(sparse="no"), "--record", *direct(peer.address)
    )
    peer.join()
    done = said(disk.place, process)
    assert peer.reset
    if number is signal.SIGTERM:
        assert (done.status, done.error) == (1, "stopped by SIGTERM")
        assert list(disk.lists.iterdir()) == []
    assert not (disk.lists / "localhost_data_0").exists()


def test_a_slow_peer_gets_everything(disk: Disk) -> None:
    """It may pause as long as it likes; the dump is over only when it has all."""

    def dawdle(connection: socket.socket, peer: Peer) -> None:
        peer.received += connection.recv(10)
        time.sleep(1)
        take_all(connection, peer)

    peer = Peer(dawdle)
    done = run(disk.place, "backup", *disk.options(), *direct(peer.address))
    peer.join()
    assert done.status == 0
    assert names(bytes(peer.received)) == ALL


def test_strange_and_normal_messages(disk: Disk) -> None:
    """As the usual application: a socket is normal; properties change that."""
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(disk.source / "s"))
    _peer, messages = dump(disk)
    assert [line for line in messages if line.startswith("| ") and "socket ignored" in line]
    _peer, messages = dump(disk, strange="socket ignored")
    assert [line for line in messages if line.startswith("? ") and "socket ignored" in line]
    _peer, messages = dump(disk, ignore="socket ignored")
    assert not [line for line in messages if "socket ignored" in line]


def test_include_and_exclude(disk: Disk) -> None:
    """Patterns from options and from lists; a missing list is strange unless it is optional."""
    (disk.source / "exclude-these").write_text("lar*\n")
    for name in ("a1", "a2", "b\\1"):
        (disk.source / name).write_text("")
    options = ["--include-file", "./a*", "--include-file", "./b*", "--include-file", "./sub"]
    options += ["--exclude-list", "exclude-these", "--exclude-list", "missing", "--exclude-file"]
    options += ["a2"]
    done = run(disk.place, "backup", *disk.options(), *options)
    assert names(done.out) == {"./a1", "./b\\\\1", "./sub"}
    path = disk.source / "missing"
    text = f"Can't open exclude file '{path}': No such file or directory"
    assert f"? {text}" in done.messages
    done = run(disk.place, "backup", *disk.options(), *options, "--exclude-optional", "yes")
    assert f"| {text}" in done.messages


def test_another_dump_of_the_disk_is_going_on(disk: Disk) -> None:
    """The second one fails before it connects."""

    def other(connection: socket.socket, peer: Peer) -> None:
        peer.received += connection.recv(10)
        results.append(run(second, "backup", *disk.options(), *direct("127.0.0.1:1")))
        take_all(connection, peer)

    results: list[object] = []
    second: Path = disk.place / "second"
    second.mkdir()
    peer = Peer(other)
    done = run(disk.place, "backup", *disk.options(), *direct(peer.address))
    peer.join()
    assert done.status == 0
    assert "is used by another process" in repr(results)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--sparse", "maybe"], "--sparse 'maybe': expected YES or NO"),
        (["--direct-tcp", "1.2.3.4"], "--direct-tcp: '1.2.3.4' is not an address"),
        (["--data-path", "pigeon"], "--data-path 'pigeon': expected amanda or directtcp"),
        (["--normal", "("], "NORMAL '('"),
        (["--level", "1"], "2 levels were named, one is needed"),
        (["--gnutar-path", "/missing/tar"], "cannot run /missing/tar: No such file"),
    ],
)
def test_wrong_options(disk: Disk, options: list[str], why: str) -> None:
    """The message names the option, its value and what was expected."""
    done = run(disk.place, "backup", *disk.options(), *options)
    assert done.status == 1
    assert done.error.startswith(why)


def test_a_link_in_the_place_of_the_list_stays(disk: Disk, tmp_path: Path) -> None:
    """What it leads to is replaced, so the next level starts from it."""
    dump(disk)
    (kept,) = disk.lists.iterdir()
    moved = tmp_path / "elsewhere"
    kept.rename(moved)
    kept.symlink_to(moved)
    before = moved.stat().st_ino
    dump(disk)
    assert kept.is_symlink()
    assert moved.stat().st_ino != before
    assert sorted(disk.lists.iterdir()) == [kept]
