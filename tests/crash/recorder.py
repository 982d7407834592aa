"""Records all that this process does to a directory tree.

The functions of ``os``, ``io``, ``builtins`` and ``fcntl`` that change files are replaced by ones
that do the same and write it down. Where bytes come from another descriptor (``sendfile``,
``splice``, ``copy_file_range``, a clone) they are read back from the file. What goes past these
functions, such as calls by ctypes, is not seen: ``test_recorder.py`` compares with strace.

Threads may do everything beside each other. A call is written down after it was made, so one that
ended before another began comes first; a synchronisation is written down before and after.
"""

from __future__ import annotations

import builtins
import errno
import fcntl
import io
import os
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from tests.crash.events import (
    Call,
    Change,
    Kind,
    Names,
    SyncBegun,
    Synced,
    SyncFailed,
    Truncate,
    Write,
)
from tests.crash.watch import Watch

FICLONE = 0x40049409
FICLONERANGE = 0x4020940D
BEGUN, ENDED = ".recording-begun", ".recording-ended"
"""Names that are asked for, and never there: marks for whoever traces this process."""
real = SimpleNamespace(**{name: getattr(os, name) for name in dir(os)}, ioctl=fcntl.ioctl)


class Recorder(Watch):
    """Records what happens below a directory from :meth:`recording` on.

    :ivar room: bytes that files below the directory may have together in ``crowded``; None: any
        number. More than that is ENOSPC.
    :ivar crowded: a directory below, by its relative path.
    :ivar spoils: is told of each synchronisation, with the path below; true: it fails.
    """

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self.room: int | None = None
        self.crowded = ""
        self.spoils: Callable[[str], bool] = lambda path: False

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Record what is done meanwhile."""
        self.look()
        with ExitStack() as patches:
            for name in WRAPPED:
                patches.enter_context(patch.object(os, name, getattr(self, f"_{name}")))
            patches.enter_context(patch.object(os, "remove", self._unlink))
            patches.enter_context(patch.object(fcntl, "ioctl", self._ioctl))
            patches.enter_context(patch.object(io, "open", self._io_open))
            patches.enter_context(patch.object(builtins, "open", self._io_open))
            os.access(f"{self._root}/{BEGUN}", os.F_OK)
            try:
                yield
            finally:
                os.access(f"{self._root}/{ENDED}", os.F_OK)

    # calls that change names

    def _open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if not flags & (os.O_CREAT | os.O_TRUNC):
            return int(real.open(path, flags, mode, dir_fd=dir_fd))
        with self._lock:
            directory, name, full = self._place(path, dir_fd)
            if os.path.islink(full) and not flags & (os.O_NOFOLLOW | os.O_EXCL):
                directory, name, full = self._place(os.path.realpath(full))
            was_there = os.path.lexists(full)
            fd = int(real.open(path, flags, mode, dir_fd=dir_fd))
            if directory is None:
                return fd
            if not was_there:
                self._made("open", full, directory, name, Kind.FILE)
            elif flags & os.O_TRUNC:
                number, where = self._file(fd)
                if number is not None:
                    self._record(Truncate(number, 0), "open", where)
            return fd

    def _mkdir(self, path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        with self._lock:
            real.mkdir(path, mode, dir_fd=dir_fd)
            directory, name, full = self._place(path, dir_fd)
            if directory is not None:
                self._made("mkdir", full, directory, name, Kind.DIRECTORY)

    def _symlink(self, src: Any, dst: Any, *args: Any, dir_fd: int | None = None) -> None:
        with self._lock:
            real.symlink(src, dst, *args, dir_fd=dir_fd)
            directory, name, full = self._place(dst, dir_fd)
            if directory is not None:
                self._made("symlink", full, directory, name, Kind.LINK)

    def _link(self, src: Any, dst: Any, **options: Any) -> None:
        with self._lock:
            real.link(src, dst, **options)
            directory, name, full = self._place(dst, options.get("dst_dir_fd"))
            if directory is not None:
                number = self._known(os.lstat(full))
                assert number is not None, f"{full} was linked from elsewhere"
                change = Change(directory, name, number)
                self._record(Names((change,)), "link", self._below(full))

    def _gone(self, call: str, path: Any, dir_fd: int | None) -> None:
        with self._lock:
            directory, name, full = self._place(path, dir_fd)
            getattr(real, call)(path, dir_fd=dir_fd)
            if directory is not None:
                self._record(Names((Change(directory, name, None),)), call, self._below(full))

    def _unlink(self, path: Any, *, dir_fd: int | None = None) -> None:
        self._gone("unlink", path, dir_fd)

    def _rmdir(self, path: Any, *, dir_fd: int | None = None) -> None:
        self._gone("rmdir", path, dir_fd)

    def _rename(
        self, src: Any, dst: Any, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None
    ) -> None:
        with self._lock:
            old, old_name, old_path = self._place(src, src_dir_fd)
            new, new_name, new_path = self._place(dst, dst_dir_fd)
            real.rename(src, dst, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
            if old is None and new is None:
                return
            assert old is not None, f"{old_path} was moved to {new_path}"
            assert new is not None, f"{old_path} was moved to {new_path}"
            number = self._known(os.lstat(new_path))
            changes = (Change(old, old_name, None), Change(new, new_name, number))
            self._record(Names(changes), "rename", self._below(old_path))

    _replace = _rename

    # calls that change contents

    def _make_room(self, fd: int, size: int) -> int:
        """How much of ``size`` bytes there is room for.

        :raise OSError: none at all
        """
        number, path = self._file(fd)
        if self.room is None or number is None or not path.startswith(self.crowded):
            return size
        used = 0
        for where, _, names in os.walk(f"{self._root}/{self.crowded}"):
            for name in names:
                used += os.lstat(f"{where}/{name}").st_size
        left = self.room - used
        if left <= 0 < size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return min(size, left)

    def _stored(
        self, call: str, fd: int, size: int, data: bytes | None = None, at: int | None = None
    ) -> None:
        """Bytes were written to a descriptor.

        :param data: which; None: look what is in the file now
        :param at: where; None: up to the descriptor's place
        """
        number, path = self._file(fd)
        if number is None or size <= 0:
            return
        offset = real.lseek(fd, 0, os.SEEK_CUR) - size if at is None else at
        if data is None:
            copy = real.open(f"/proc/self/fd/{fd}", os.O_RDONLY)
            try:
                data = real.pread(copy, size, offset)
            finally:
                real.close(copy)
            assert len(data) == size
        self._record(Write(number, offset, data), call, path)
        if fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_DSYNC:
            begun = self._begin_sync(number, "", path)
            self._record(Synced(number, begun), "", path)

    def _write(self, fd: int, data: Any) -> int:
        view = memoryview(data).cast("B")
        size: int = real.write(fd, view[: self._make_room(fd, len(view))])
        self._stored("write", fd, size, bytes(view[:size]))
        return size

    def _pwrite(self, fd: int, data: Any, offset: int) -> int:
        view = memoryview(data).cast("B")
        size: int = real.pwrite(fd, view[: self._make_room(fd, len(view))], offset)
        self._stored("pwrite64", fd, size, bytes(view[:size]), offset)
        return size

    def _writev(self, fd: int, buffers: Any) -> int:
        self._make_room(fd, 1)
        size: int = real.writev(fd, buffers)
        self._stored("writev", fd, size)
        return size

    def _pwritev(self, fd: int, buffers: Any, offset: int, flags: int = 0) -> int:
        self._make_room(fd, 1)
        size: int = real.pwritev(fd, buffers, offset, flags)
        self._stored("pwritev", fd, size, None, offset)
        return size

    def _sendfile(self, out_fd: int, in_fd: int, offset: Any, count: int, **more: Any) -> int:
        count = self._make_room(out_fd, count)
        size: int = real.sendfile(out_fd, in_fd, offset, count, **more)
        self._stored("sendfile", out_fd, size)
        return size

    def _splice(
        self,
        src: int,
        dst: int,
        count: int,
        offset_src: int | None = None,
        offset_dst: int | None = None,
        flags: int = 0,
    ) -> int:
        count = self._make_room(dst, count)
        size: int = real.splice(src, dst, count, offset_src, offset_dst, flags)
        self._stored("splice", dst, size, None, offset_dst)
        return size

    def _copy_file_range(
        self,
        src: int,
        dst: int,
        count: int,
        offset_src: int | None = None,
        offset_dst: int | None = None,
    ) -> int:
        count = self._make_room(dst, count)
        size: int = real.copy_file_range(src, dst, count, offset_src, offset_dst)
        self._stored("copy_file_range", dst, size, None, offset_dst)
        return size

    def _ioctl(self, fd: Any, request: int, arg: Any = 0, mutate_flag: bool = True) -> Any:
        done = real.ioctl(fd, request, arg, mutate_flag)
        number = fd if isinstance(fd, int) else fd.fileno()
        if request == FICLONE:
            self._stored("ioctl", number, os.fstat(number).st_size, None, 0)
        elif request == FICLONERANGE:
            source, place, size, offset = struct.unpack("=qQQQ", bytes(arg))
            size = size or os.fstat(source).st_size - place
            self._stored("ioctl", number, size, None, offset)
        return done

    def _ftruncate(self, fd: int, length: int) -> None:
        real.ftruncate(fd, length)
        number, path = self._file(fd)
        if number is not None:
            self._record(Truncate(number, length), "ftruncate", path)

    def _truncate(self, path: Any, length: int) -> None:
        real.truncate(path, length)
        number = self._known(os.stat(path))
        if number is not None:
            self._record(Truncate(number, length), "truncate", self._below(self._place(path)[2]))

    def _posix_fallocate(self, fd: int, offset: int, length: int) -> None:
        number, path = self._file(fd)
        before = os.fstat(fd).st_size
        real.posix_fallocate(fd, offset, length)
        if number is not None and os.fstat(fd).st_size != before:
            self._record(Truncate(number, offset + length), "fallocate", path)

    # synchronising

    def _begin_sync(self, inode: int, call: str, path: str) -> int:
        with self._lock:
            self._syncs += 1
            self.events.append((SyncBegun(inode, self._syncs), Call(call, path)))
            return self._syncs

    def _synchronise(self, call: str, fd: Any) -> None:
        number = fd if isinstance(fd, int) else fd.fileno()
        inode, path = self._file(number)
        if inode is None:
            getattr(real, call)(fd)
            return
        begun = self._begin_sync(inode, call, path)
        try:
            if self.spoils(path):
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            getattr(real, call)(fd)
        except OSError:
            self._record(SyncFailed(inode, begun), "", path)
            raise
        self._record(Synced(inode, begun), "", path)

    def _fsync(self, fd: Any) -> None:
        self._synchronise("fsync", fd)

    def _fdatasync(self, fd: Any) -> None:
        self._synchronise("fdatasync", fd)

    # Python's files

    def _io_open(
        self,
        file: Any,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        closefd: bool = True,
        opener: Callable[[Any, int], int] | None = None,
    ) -> Any:
        if not set(mode) & set("wax+"):
            return _open_file(file, mode, buffering, encoding, errors, newline, closefd, opener)
        if not isinstance(file, int) and opener is None:

            def opener(path: Any, flags: int) -> int:
                return self._open(path, flags, 0o666)

        kind = mode.replace("b", "").replace("t", "")
        raw = _File(self, file, kind, closefd, opener)
        if buffering == 0:
            return raw
        whole = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        if "b" in mode:
            return whole
        return io.TextIOWrapper(whole, encoding, errors, newline, buffering == 1)


_open_file = io.open
WRAPPED = (
    "open",
    "mkdir",
    "symlink",
    "link",
    "unlink",
    "rmdir",
    "rename",
    "replace",
    "write",
    "pwrite",
    "writev",
    "pwritev",
    "sendfile",
    "splice",
    "copy_file_range",
    "ftruncate",
    "truncate",
    "posix_fallocate",
    "fsync",
    "fdatasync",
)
"""The functions of ``os`` that are replaced."""


class _File(io.FileIO):
    """A file of Python's whose writes are recorded."""

    def __init__(
        self, recorder: Recorder, file: Any, mode: str, closefd: bool, opener: Any
    ) -> None:
        super().__init__(file, mode, closefd, opener)
        self._recorder = recorder

    def write(self, data: Any) -> int:
        return self._recorder._write(self.fileno(), data)

    def truncate(self, size: int | None = None) -> int:
        size = self.tell() if size is None else size
        self._recorder._ftruncate(self.fileno(), size)
        return size
