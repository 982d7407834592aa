"""The sources of a dump: holding files, and a connection [data-plane 4.1, 4.2]."""

from __future__ import annotations

import logging
import os
import socket
import stat
import threading
from collections import deque

from attrs import frozen
from zope.interface import implementer

from protocols.header import Header, parse_header
from taper.plane.interfaces import IFileSource, IReplay, ISource, SourceError, Span, reason

_log = logging.getLogger(__name__)

HEADER_SIZE = 32768
MAX_CHUNKS = 65536
"""Longest chain of holding files that is followed."""


@frozen
class _Slice:
    """Payload of one holding file: ``length`` bytes of the dump from ``start`` on, which stand at
    ``offset`` in the file."""

    path: str
    start: int
    length: int
    offset: int


@implementer(IFileSource, IReplay)
class HoldingSource:
    """A chain of holding files, each a 32 KiB header and payload [data-plane 4.1].

    One thread reads, another may read again what was read before.
    """

    def __init__(self, path: str, skip: int = 0) -> None:
        """:param path: absolute path of the first file.
        :param skip: bytes of the dump that are not wanted; positions are counted behind them.
        """
        self._path = path
        self._skip = skip
        self._first: Header | None = None
        self._fd = -1
        self._offset = 0
        self._left = 0
        self._next = ""
        self._position = 0
        self._seen: set[tuple[int, int]] = set()
        self._lock = threading.Lock()
        self._slices: deque[_Slice] = deque()
        self._replayed: _Slice | None = None
        self._replay_fd = -1

    def read_header(self) -> Header:
        """Open the first file; its header is the dump's. May be asked again.

        :raise SourceError: missing, unreadable, too short, or not a holding file
        """
        if self._first is None:
            self._first = self._open_chunk(self._path)
        return self._first

    def span(self) -> Span | None:
        if not self._find_more():
            return None
        return Span(self._fd, self._offset, self._left, not self._next)

    def _find_more(self) -> bool:
        """Have a file with something left open. :return: False: the end of the dump"""
        self.read_header()
        while not self._left:
            self._close_chunk()
            if not self._next:
                self._check_skipped()
                return False
            self._open_chunk(self._next)
        return True

    def read_into(self, buffer: memoryview) -> int:
        if not self._find_more():
            return 0
        try:
            size = os.preadv(self._fd, [buffer[: self._left]], self._offset)
        except OSError as error:
            raise SourceError(f"while reading holding file: {reason(error)}") from error
        if not size:
            raise SourceError("while reading holding file: Unexpected EOF", code=4003)
        self._offset += size
        self._left -= size
        self._position += size
        return size

    def reread(self, position: int, buffer: memoryview) -> int:
        piece = self._find(position)
        path = piece.path
        if piece is not self._replayed:
            self._close_replay()
            try:
                self._replay_fd = os.open(_name(path), os.O_RDONLY | os.O_NONBLOCK)
            except OSError as error:
                text = f"Could not open '{path}' for reading: {reason(error)}"
                raise SourceError(text, code=4003) from error
            self._replayed = piece
        done = position - piece.start
        try:
            size = os.preadv(self._replay_fd, [buffer[: piece.length - done]], piece.offset + done)
        except OSError as error:
            raise SourceError(f"Error reading '{path}': {reason(error)}") from error
        if not size:
            raise SourceError(f"Error reading '{path}': Unexpected EOF", code=4003)
        return size

    def forget(self, position: int) -> None:
        with self._lock:
            while self._slices and self._slices[0].start + self._slices[0].length <= position:
                self._slices.popleft()

    def cancel(self) -> None:
        """Nothing to wake: a read of a file comes back by itself."""

    def close(self) -> None:
        self._close_chunk()
        self._close_replay()

    def _find(self, position: int) -> _Slice:
        with self._lock:
            for piece in self._slices:
                if piece.start <= position < piece.start + piece.length:
                    return piece
        raise ValueError(f"byte {position} was not read yet, or is forgotten")

    def _open_chunk(self, path: str) -> Header:
        """Make ``path`` the file that is read; its payload is what it has at this moment."""
        self._refuse_bad_link(path)
        try:
            # not to hang on a FIFO
            self._fd = os.open(_name(path), os.O_RDONLY | os.O_NONBLOCK)
        except OSError as error:
            raise SourceError(f"while opening holding file '{path}': {reason(error)}") from error
        length = self._check_file(path) - HEADER_SIZE
        header = self._read_chunk_header(path)
        skipped = min(self._skip, length)
        self._skip -= skipped
        self._offset = HEADER_SIZE + skipped
        self._left = length - skipped
        self._next = header.cont_filename
        _log.debug(
            "holding file %s: %d bytes from byte %d on, then %s",
            path,
            self._left,
            self._position,
            self._next or "no more",
        )
        if self._left:
            with self._lock:
                self._slices.append(_Slice(path, self._position, self._left, self._offset))
        return header

    def _check_skipped(self) -> None:
        """Whoever skips has read those bytes before."""
        if self._skip:
            raise SourceError(
                f"while reading holding file: {self._skip} bytes are gone from it", code=4003
            )

    def _refuse_bad_link(self, path: str) -> None:
        if not path.startswith("/"):
            raise SourceError(
                f"while opening holding file '{path}': not an absolute path", code=4003
            )
        if len(self._seen) >= MAX_CHUNKS:
            text = f"while opening holding file '{path}': more than {MAX_CHUNKS} chunks"
            raise SourceError(text, code=4003)

    def _check_file(self, path: str) -> int:
        """Size of the file now open, if it is a regular one that was not read before."""
        try:
            found = os.fstat(self._fd)
        except OSError as error:
            raise SourceError(f"Can't stat holding file '{path}': {reason(error)}") from error
        if not stat.S_ISREG(found.st_mode):
            raise SourceError(f"while opening holding file '{path}': not a regular file", code=4003)
        key = (found.st_dev, found.st_ino)
        if key in self._seen:
            text = f"while opening holding file '{path}': the chain of chunks comes back to it"
            raise SourceError(text, code=4003)
        self._seen.add(key)
        if found.st_size < HEADER_SIZE:
            text = f"while reading header from holding file '{path}': Unexpected EOF"
            raise SourceError(text, code=4003)
        return found.st_size

    def _read_chunk_header(self, path: str) -> Header:
        try:
            block = os.pread(self._fd, HEADER_SIZE, 0)
        except OSError as error:
            text = f"while reading header from holding file '{path}': {reason(error)}"
            raise SourceError(text, code=4003) from error
        header = parse_header(block)
        if not header.is_dump:
            text = f"unexpected header type {int(header.type)} in holding file '{path}'"
            raise SourceError(text, code=4003)
        first = self._first
        if first is not None and _dump_of(header) != _dump_of(first):
            text = (
                f"unexpected header in holding file '{path}': "
                f"got {_dump_of(header)}, expected {_dump_of(first)}"
            )
            raise SourceError(text, code=4003)
        return header

    def _close_chunk(self) -> None:
        fd, self._fd = self._fd, -1
        if fd < 0:
            return
        try:
            os.close(fd)
        except OSError as error:
            raise SourceError(f"while closing holding file: {reason(error)}") from error

    def _close_replay(self) -> None:
        fd, self._replay_fd = self._replay_fd, -1
        self._replayed = None
        if fd >= 0:
            os.close(fd)


def _name(path: str) -> bytes:
    """The path's own bytes, whatever the locale says."""
    return path.encode("utf-8", "surrogateescape")


def _dump_of(header: Header) -> str:
    return f"{header.host}:{header.disk} level {header.level} of {header.datestamp}"


@implementer(ISource)
class SocketSource:
    """An accepted connection, read to its end; ours from now on [data-plane 4.2].

    A reset is an input error, not an end of data; cancelling shuts the connection down, so
    nothing waits for the peer [data-plane Q19, Q20].
    """

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(True)
        self._socket = connection
        self._lock = threading.Lock()
        self._cancelled = False
        self._failure: OSError | None = None

    def read_into(self, buffer: memoryview) -> int:
        try:
            if self._failure is not None:
                raise self._failure
            # not MSG_WAITALL: a slow peer's blocks are written as they come
            size = self._socket.recv_into(buffer)
            while 0 < size < len(buffer):
                more = self._more(buffer[size:])
                if not more:
                    break
                size += more
            return size
        except OSError as error:
            if self._cancelled:
                return 0
            number = self._socket.fileno()
            raise SourceError(f"Error reading from fd {number}: {reason(error)}") from error

    def _more(self, buffer: memoryview) -> int:
        """What a fast peer has sent meanwhile: so it is handed on in large pieces.

        :return: 0: nothing yet, the end, or an error, which the system tells only once: it is kept
            for the next read
        """
        try:
            return self._socket.recv_into(buffer, 0, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return 0
        except OSError as error:
            self._failure = error
            return 0

    def cancel(self) -> None:
        with self._lock:
            if self._cancelled or self._socket.fileno() < 0:
                return
            self._cancelled = True
            try:
                self._socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                # the peer is gone already, and with it whatever could keep a read waiting
                return

    def close(self) -> None:
        with self._lock:
            self._socket.close()
