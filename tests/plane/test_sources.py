"""Holding files and connections as sources, good and bad [data-plane 4.1, 4.2, 7]."""

from __future__ import annotations

import os
import socket
import struct
import threading
from pathlib import Path

import pytest
from zope.interface.verify import verifyObject

from protocols.header import Header, HeaderType, build_header
from taper.plane import sources
from taper.plane.interfaces import IReplay, ISource, SourceError
from taper.plane.sources import HoldingSource, SocketSource
from tests.plane.dumping import PiecesSource, SeekableSource, connection, write_holding

DATA = bytes(n * 7 % 251 for n in range(100_000))


def read_all(source: ISource, size: int = 30_000) -> bytes:
    buffer = memoryview(bytearray(size))
    found = b""
    while got := source.read_into(buffer):
        found += buffer[:got]
    return found


def reread(source: IReplay, position: int, size: int) -> bytes:
    buffer = memoryview(bytearray(size))
    done = 0
    while done < size:
        done += source.reread(position + done, buffer[done:])
    return bytes(buffer)


def chunk(path: Path, payload: bytes, **fields: object) -> str:
    values = {
        "type": HeaderType.DUMPFILE,
        "datestamp": "20261123000000",
        "host": "localhost",
        "disk": "/srv",
        "program": "/usr/bin/tar",
    }
    header = Header(**(values | fields))  # type: ignore[arg-type]
    path.write_bytes(build_header(header, 32768, None) + payload)
    return str(path)


def test_every_source_and_fake_keeps_the_interfaces() -> None:
    ours, theirs = socket.socketpair()
    theirs.close()
    connected = SocketSource(ours)
    for source in (HoldingSource("/x"), connected, PiecesSource(b""), SeekableSource(b"")):
        verifyObject(ISource, source)
    for replay in (HoldingSource("/x"), SeekableSource(b"")):
        verifyObject(IReplay, replay)
    connected.close()


@pytest.mark.parametrize("size", [1, 33_333, 50_000, 200_000])
def test_chunks_are_joined(tmp_path: Path, size: int) -> None:
    source = HoldingSource(write_holding(str(tmp_path), DATA[: size * 4], size))
    header = source.read_header()
    assert (header.type, header.host) == (HeaderType.DUMPFILE, "localhost")
    assert read_all(source) == DATA[: size * 4]
    assert source.read_into(memoryview(bytearray(10))) == 0
    source.close()


@pytest.mark.parametrize("size", [33_333, 50_000, 200_000])
@pytest.mark.parametrize("skip", [1, 33_332, 33_333, 50_001, 99_999, 100_000])
def test_reading_may_begin_anywhere(tmp_path: Path, size: int, skip: int) -> None:
    """Positions are then counted from there."""
    source = HoldingSource(write_holding(str(tmp_path), DATA, size), skip)
    source.read_header()
    assert read_all(source) == DATA[skip:]
    rest = len(DATA) - skip
    assert reread(source, 0, rest) == DATA[skip:] or not rest
    source.close()


def test_what_was_read_before_is_there_no_more(tmp_path: Path) -> None:
    """The files became shorter in the middle of a dump."""
    source = HoldingSource(write_holding(str(tmp_path), DATA, 40_000), len(DATA) + 7)
    with pytest.raises(SourceError, match="7 bytes are gone from it"):
        read_all(source)
    source.close()


def test_chunks_without_payload_are_skipped(tmp_path: Path) -> None:
    last = chunk(tmp_path / "2", b"end", type=HeaderType.CONT_DUMPFILE)
    middle = chunk(tmp_path / "1", b"", type=HeaderType.CONT_DUMPFILE, cont_filename=last)
    source = HoldingSource(chunk(tmp_path / "0", b"", cont_filename=middle))
    assert read_all(source) == b"end"


def test_what_was_read_can_be_read_again_across_chunks(tmp_path: Path) -> None:
    source = HoldingSource(write_holding(str(tmp_path), DATA, 1000))
    read_all(source)
    assert reread(source, 500, 3000) == DATA[500:3500]
    source.forget(2500)
    assert reread(source, 2500, 5000) == DATA[2500:7500]
    with pytest.raises(ValueError, match="forgotten"):
        reread(source, 1999, 1)
    with pytest.raises(ValueError, match="not read yet"):
        reread(source, len(DATA), 1)
    source.close()
    source.close()


def test_a_name_that_is_not_utf8_is_followed(tmp_path: Path) -> None:
    name = f"{tmp_path}/\udcff"
    payload = Path(chunk(tmp_path / "x", b"end", type=HeaderType.CONT_DUMPFILE)).read_bytes()
    with open(name.encode("utf-8", "surrogateescape"), "wb") as file:
        file.write(payload)
    source = HoldingSource(chunk(tmp_path / "0", b"", cont_filename=name))
    assert read_all(source) == b"end"


def failure(path: str) -> str:
    source = HoldingSource(path)
    with pytest.raises(SourceError) as caught:
        read_all(source)
    source.close()
    return str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    path = f"{tmp_path}/none"
    assert failure(path) == f"while opening holding file '{path}': No such file or directory"
    first = chunk(tmp_path / "0", b"abc", cont_filename=path)
    assert failure(first) == f"while opening holding file '{path}': No such file or directory"


def test_a_file_shorter_than_a_header_is_named(tmp_path: Path) -> None:
    path = tmp_path / "0"
    path.write_bytes(b"AMANDA: FILE")
    text = failure(str(path))
    assert text == f"while reading header from holding file '{path}': Unexpected EOF"


def test_a_file_that_is_no_holding_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "0"
    path.write_bytes(b"x" * 40_000)
    assert failure(str(path)) == f"unexpected header type -1 in holding file '{path}'"
    label = chunk(path, b"", type=HeaderType.TAPESTART, label="V1")
    assert failure(label) == f"unexpected header type 1 in holding file '{path}'"


def test_a_directory_or_fifo_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", tmp_path):
        text = failure(str(path))
        assert text == f"while opening holding file '{path}': not a regular file"


def test_a_relative_link_is_refused(tmp_path: Path) -> None:
    first = chunk(tmp_path / "0", b"abc", cont_filename="0")
    assert failure(first) == "while opening holding file '0': not an absolute path"


def test_a_chain_that_comes_back_is_refused(tmp_path: Path) -> None:
    path = str(tmp_path / "0")
    chunk(tmp_path / "0", b"abc", cont_filename=path)
    assert failure(path).endswith("the chain of chunks comes back to it")


def test_a_chain_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "MAX_CHUNKS", 3)
    first = write_holding(str(tmp_path), b"12345", 1)
    assert failure(first).endswith("more than 3 chunks")


def test_a_chunk_of_another_dump_is_refused(tmp_path: Path) -> None:
    other = chunk(tmp_path / "1", b"x", type=HeaderType.CONT_DUMPFILE, disk="/other")
    first = chunk(tmp_path / "0", b"abc", cont_filename=other)
    assert failure(first) == (
        f"unexpected header in holding file '{other}': got localhost:/other level 0 of "
        "20261123000000, expected localhost:/srv level 0 of 20261123000000"
    )


def test_a_file_that_shrinks_while_it_is_read_is_an_error(tmp_path: Path) -> None:
    path = chunk(tmp_path / "0", b"abcdef")
    source = HoldingSource(path)
    assert source.read_into(memoryview(bytearray(2))) == 2
    os.truncate(path, 32770)
    with pytest.raises(SourceError, match=r"^while reading holding file: Unexpected EOF$"):
        read_all(source)
    with pytest.raises(SourceError, match=f"^Error reading '{path}': Unexpected EOF$"):
        reread(source, 0, 4)
    os.unlink(path)
    source.close()
    with pytest.raises(SourceError, match=f"^Could not open '{path}' for reading: No such file"):
        reread(source, 0, 2)


def test_a_file_counts_as_long_as_it_was_when_opened(tmp_path: Path) -> None:
    """Reading and reading again agree, though somebody appends meanwhile."""
    last = chunk(tmp_path / "1", b"end", type=HeaderType.CONT_DUMPFILE)
    first = chunk(tmp_path / "0", b"begin", cont_filename=last)
    source = HoldingSource(first)
    source.read_header()
    with open(first, "ab") as file:
        file.write(b"more")
    assert read_all(source) == b"beginend"
    assert reread(source, 0, 8) == b"beginend"
    source.close()


def test_a_connection_is_read_to_its_end() -> None:
    ours, peer = connection(DATA)
    source = SocketSource(ours)
    assert read_all(source) == DATA
    peer.join()
    source.close()
    source.close()


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        theirs = socket.create_connection(listener.getsockname())
        ours, _ = listener.accept()
    return ours, theirs


def test_a_reset_connection_is_an_error_and_not_an_end() -> None:
    """What came before the reset is still read."""
    ours, theirs = tcp_pair()
    theirs.sendall(b"abc")
    buffer = memoryview(bytearray(3))
    source = SocketSource(ours)
    assert source.read_into(buffer) == 3
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    theirs.close()
    with pytest.raises(SourceError, match=r"^Error reading from fd \d+: Connection reset by peer$"):
        source.read_into(buffer)
    source.close()


def test_cancelling_wakes_a_sleeping_read_and_tells_the_peer() -> None:
    """Nobody waits for the peer to close."""
    ours, theirs = tcp_pair()
    source = SocketSource(ours)
    found: list[int] = []
    thread = threading.Thread(
        target=lambda: found.append(source.read_into(memoryview(bytearray(9)))), daemon=True
    )
    thread.start()
    source.cancel()
    source.cancel()
    thread.join(60)
    assert found == [0]
    assert theirs.recv(1) == b""
    source.close()
    source.cancel()
    theirs.close()


def test_a_connection_left_non_blocking_is_read_all_the_same() -> None:
    ours, peer = connection(DATA)
    ours.setblocking(False)
    assert read_all(SocketSource(ours)) == DATA
    peer.join()
