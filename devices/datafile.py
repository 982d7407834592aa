"""One data file of a volume that lies in a file system: appended to in blocks, or read.

It is what ``file:`` and other devices on files share: a header region, then payload, and a way
back to the last whole block when the file system is full.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct

# errors that mean: no room here; freeing some may help (EFBIG as stock has it)
NO_SPACE = frozenset({errno.ENOSPC, errno.EFBIG, errno.EDQUOT})

_FULL = "No space left on device"


def no_space_text(error: OSError) -> str:
    """What a device says of such an error: stock's words, and what the system says besides."""
    return _FULL if error.errno == errno.ENOSPC else f"{_FULL}: {error.strerror}"


_FICLONERANGE = 0x4020940D
"""Number of the request in the kernel's ABI (ioctl_ficlonerange(2)); its argument is the source's
descriptor, offset and length, and the offset here."""
_CLONE_RANGE = struct.Struct("qQQQ")
# another file system, none that has clones, bounds that it cannot share, a file it will not touch
_CANNOT_CLONE = frozenset(
    {
        errno.EXDEV,
        errno.EOPNOTSUPP,
        errno.ENOTTY,
        errno.EINVAL,
        errno.EBADF,
        errno.EPERM,
        errno.ETXTBSY,
        errno.EISDIR,
        errno.ENOSYS,
    }
)

# how much is written before the disk is told to begin storing it
WRITEBACK_BYTES = 32 * 2**20

PAGE = 4096
"""What a disk takes past the page cache are whole pages of so many bytes, at such offsets: no disk
wants larger ones, and where smaller ones would do nothing is lost."""

WORTH = 256 * 1024
"""Bytes that are worth to be waited for one by one; fewer at a time are kept for the disk in the
page cache. At 64 KiB that takes no more of the processor's time, at 512 KiB a third of it."""

_QUEUES = ("/sys/dev/block/{}:{}/queue/{}", "/sys/dev/block/{}:{}/../queue/{}")  # disk, partition


class DataFile:
    """An open file and the place where its payload begins.

    Its methods raise OSError.

    :ivar fd: the descriptor.
    :ivar stored: bytes of payload written.
    :param start: offset of the payload: the header region ends there.
    :param durable: make ``finish`` wait until the bytes are on the disk.
    :param direct: let whole pages go to the disk past the page cache, if that can be done. It takes
        a third of the processor's time, nothing is left to wait for in ``finish``, and what others
        have in the page cache stays there.
    """

    def __init__(self, fd: int, start: int, durable: bool, *, direct: bool = False) -> None:
        self.fd = fd
        self._start = start
        self._durable = durable
        self._direct = direct and _on_a_disk(fd)
        self._past_cache = False
        self.stored = 0
        self._sent_to_disk = 0

    def append(self, data: memoryview) -> None:
        """Write bytes behind those written before; ``stored`` tells how far a failure let it."""
        offset = 0
        while offset < len(data):
            wrote = self._write(data[offset:] if offset else data)
            if wrote == 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            offset += wrote
            self.stored += wrote
        if self._past_cache:
            self._sent_to_disk = self.stored
        elif self._durable and self.stored - self._sent_to_disk >= WRITEBACK_BYTES:
            self._begin_writeback()

    def _write(self, data: memoryview) -> int:
        """Write some of these bytes."""
        if not self._direct:
            return os.write(self.fd, data)
        fits = len(data) >= WORTH and not (self._start + self.stored) % PAGE
        pages = len(data) // PAGE * PAGE if fits else 0
        try:
            self._pass_cache(bool(pages))
            return os.write(self.fd, data[:pages] if pages else data)
        except OSError as error:
            if error.errno != errno.EINVAL or not pages:
                raise
        # a file system that cannot do it, or a disk that wants the bytes elsewhere in memory
        self._pass_cache(False)
        self._direct = False
        return os.write(self.fd, data)

    def _pass_cache(self, past: bool) -> None:
        if past != self._past_cache:
            flags = fcntl.fcntl(self.fd, fcntl.F_GETFL)
            flags = flags | os.O_DIRECT if past else flags & ~os.O_DIRECT
            fcntl.fcntl(self.fd, fcntl.F_SETFL, flags)
            self._past_cache = past

    def clone(self, fd: int, offset: int, size: int) -> bool:
        """Share bytes of another file, behind those written before.

        :return: False: they cannot be shared; nothing was done
        """
        at = self._start + self.stored
        try:
            fcntl.ioctl(self.fd, _FICLONERANGE, _CLONE_RANGE.pack(fd, offset, size, at))
        except OSError as error:
            if error.errno in _CANNOT_CLONE:
                return False
            raise
        os.lseek(self.fd, at + size, os.SEEK_SET)
        self.stored += size
        return True

    def cut_back(self, size: int) -> None:
        """Keep only the first ``size`` bytes of payload, and go on from there."""
        os.ftruncate(self.fd, self._start + size)
        os.lseek(self.fd, self._start + size, os.SEEK_SET)
        self.stored = size

    def _begin_writeback(self) -> None:
        """Let the disk begin now, so that there is little left to wait for at the end.

        The kernel starts writing the dirty pages of a range that it is told not to keep.
        """
        size = self.stored - self._sent_to_disk
        offset = self._start + self._sent_to_disk
        os.posix_fadvise(self.fd, offset, size, os.POSIX_FADV_DONTNEED)
        self._sent_to_disk = self.stored

    def seek(self, offset: int) -> None:
        """Let the next read begin at payload byte ``offset``."""
        os.lseek(self.fd, self._start + offset, os.SEEK_SET)

    def read(self, buffer: memoryview) -> int:
        """Fill the buffer; less only at the end of the file."""
        done = 0
        while done < len(buffer):
            got = os.readv(self.fd, [buffer[done:]])
            if got == 0:
                break
            done += got
        return done

    def finish(self) -> None:
        """Wait until everything is on the disk, if that is wanted, and close the file.

        It must be this descriptor that waits: what the disk did not take of a file is told to each
        descriptor once, and to none that is opened later.
        """
        try:
            if self._durable:
                os.fdatasync(self.fd)
        finally:
            os.close(self.fd)

    def close(self) -> None:
        os.close(self.fd)


def _on_a_disk(fd: int) -> bool:
    """Whether the file system is on a disk of this machine to which single writes cost little.

    Not on one that spins and has no memory of its own for what it is to write: it would lose a turn
    with each. File systems that are on no block device have no major number; to some of them (NFS,
    btrfs, ZFS) it costs more to go past the cache, or they do not do it.
    """
    device = os.fstat(fd).st_dev
    if not os.major(device):
        return False
    return _fact(device, "rotational") == "0" or _fact(device, "write_cache") == "write back"


def _fact(device: int, name: str) -> str:
    """What the kernel tells of a disk; empty if it does not."""
    for path in _QUEUES:
        try:
            with open(path.format(os.major(device), os.minor(device), name)) as file:
                return file.read(100).strip()
        except OSError:  # no such disk, or nobody may know
            continue
    return ""


def write_all(fd: int, data: bytes) -> None:
    """Write all of ``data``. :raise OSError: ENOSPC too if the system stops without saying why"""
    view = memoryview(data)
    while view:
        wrote = os.write(fd, view)
        if wrote == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        view = view[wrote:]


def sync_directory(path: bytes) -> None:
    """Make the names in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    except OSError as error:
        # a file system that has no such operation on directories says EINVAL
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(fd)
