"""The directory of one vtape: names, numbers and scan rules [volumes 4.1 to 4.3].

Paths are bytes inside, since names come from clients in any encoding; texts are for messages.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator, Sequence

from attrs import frozen

from devices.datafile import NO_SPACE, sync_directory, write_all

LOCK_NAME = b"00000-lock"
# the new label while the old contents are still there; the wipes of stock and ours remove it
DRAFT_NAME = b"00000-label"
LARGEST_NUMBER = 2**31 - 1
NAME_MAX = 255


def to_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def to_text(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")


def names_a_file(label: str) -> bool:
    """Whether a label can be a file's name, or the end of one, and lead nowhere else."""
    return label not in ("", ".", "..") and "/" not in label and "\0" not in label


def label_name(label: str) -> bytes:
    """Name of the label file, of a label that :func:`names_a_file`."""
    return b"00000." + to_bytes(label)


def file_name(number: int, host: str, disk: str, level: int) -> bytes:
    """Name of file ``number``: nothing in it leaves the directory [volumes 4.2].

    A name longer than a file system takes is cut: the number alone identifies the file.
    """
    tail = f".{level}".encode()
    head = to_bytes(f"{number:05d}.{host}.{disk}")[: NAME_MAX - len(tail)]
    name = head + tail
    for byte in (b"/", b":", b"\\", b"\0"):
        name = name.replace(byte, b"_")
    return name


@frozen
class Numbered:
    """A regular file of the volume."""

    number: int
    name: bytes
    size: int


class VtapeDirectory:
    """A vtape's files.

    :ivar path: of the directory, ending in ``/``: ``NODE/data/`` if that exists when the device
        is opened, else ``NODE/``.
    :ivar remarks: oddities met in the last look, for the log.

    A volume may have thousands of files, so what was seen is remembered for as long as the
    directory does not change but by files that are told of by :meth:`added`.
    """

    def __init__(self, node: str) -> None:
        path = to_bytes(node) + b"/"
        data = path + b"data/"
        self._at(data if os.path.isdir(data) else path)

    @classmethod
    def exactly(cls, directory: str) -> VtapeDirectory:
        """The vtape in this very directory."""
        vtape = cls.__new__(cls)
        vtape._at(to_bytes(directory) + b"/")
        return vtape

    def _at(self, path: bytes) -> None:
        self.path = path
        self.remarks: list[str] = []
        self._seen: list[Numbered] | None = None
        self._state: tuple[int, ...] = ()

    def __str__(self) -> str:
        return to_text(self.path)

    def full(self, name: bytes) -> bytes:
        """Full path of a name, with stock's double slash."""
        return self.path + b"/" + name

    def trouble(self) -> str | None:
        """Why the directory cannot be used, None if it can."""
        try:
            mode = os.stat(self.path).st_mode
        except OSError as error:
            return f"Error checking directory {self}: {error.strerror}"
        if not stat.S_ISDIR(mode):
            return f"VFS Device path {self} is not a directory"
        return None

    def known(self) -> Sequence[Numbered] | None:
        """The same as :meth:`files` if nothing has changed since; None: look again.

        Sizes are those of then, which files that somebody still writes to have left behind; but
        none that was empty is remembered, for it may have got its header. The label's file is
        asked for each time: should the directory's time be too coarse to tell that somebody took
        the volume away, its absence does.
        """
        if not self._seen or self._state != self._state_now():
            return None
        return self._seen if os.path.lexists(self.full(self._seen[0].name)) else None

    def create(self, name: bytes, block: bytes) -> int:
        """Make a file that begins with this block; one that cannot take it is not there.

        :return: its descriptor
        :raise OSError: it is there already, or cannot be made
        """
        path = self.full(name)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            write_all(fd, block)
        except OSError:
            os.close(fd)
            os.unlink(path)
            raise
        return fd

    def added(self, file: Numbered) -> None:
        """This process has made a file that follows all others."""
        if self._seen is not None:
            self._seen.append(file)
            self._state = self._state_now()

    def forget(self) -> None:
        """This process has changed the directory in another way."""
        self._seen = None

    def _state_now(self) -> tuple[int, ...]:
        """What is another once names were added or taken away."""
        try:
            facts = os.stat(self.path)
        except OSError:
            return ()
        return (facts.st_dev, facts.st_ino, facts.st_mtime_ns, facts.st_ctime_ns)

    def files(self) -> list[Numbered]:
        """Regular files named by a number, sorted by it, one for each number, as they are now."""
        self.remarks = []
        self.forget()
        state = self._state_now()
        found: dict[int, Numbered] = {}
        for entry, number, mark in self._entries():
            if mark != b"." or number > LARGEST_NUMBER:
                continue
            try:
                facts = entry.stat()
            except OSError as error:
                path = to_text(self.full(entry.name))
                self.remarks.append(f"Cannot stat file {path} ({error.strerror}), ignoring it")
                continue
            if not stat.S_ISREG(facts.st_mode):
                path = to_text(self.full(entry.name))
                self.remarks.append(f"{path} is not a regular file, ignoring it")
            elif number in found:
                chosen = to_text(found[number].name)
                self.remarks.append(
                    f"Found multiple names for file number {number}, choosing file {chosen}"
                )
            else:
                found[number] = Numbered(number, entry.name, facts.st_size)
        files = [found[number] for number in sorted(found)]
        if state and all(file.size for file in files):
            self._seen, self._state = list(files), state
        return files

    def wipe(self, keep: bytes | None = None) -> None:
        """Delete all of the volume's files but ``keep``, the label last.

        So a wipe cut short by a crash leaves a labelled volume. Nothing is deleted if one of the
        names is a directory, which cannot be.

        :raise OSError: with the path as ``filename``; what is left stays
        """
        self.forget()
        doomed: list[tuple[int, bytes]] = []
        for entry, number, _ in self._entries():
            if entry.name in (LOCK_NAME, keep):
                continue
            path = self.full(entry.name)
            if entry.is_dir(follow_symlinks=False):
                raise IsADirectoryError(21, os.strerror(21), path)
            doomed.append((number, path))
        for _, path in sorted(doomed, reverse=True):
            os.unlink(path)

    def cut(self, first: int) -> None:
        """Delete every file from this number on, the last one first.

        :raise OSError: what is left stays
        """
        self.forget()
        doomed = [
            (number, self.full(entry.name))
            for entry, number, mark in self._entries()
            if mark == b"." and number >= first
        ]
        for _, path in sorted(doomed, reverse=True):
            os.unlink(path)

    def relabel(
        self,
        name: bytes,
        block: bytes,
        *,
        durable: bool,
        wipe: Callable[[bytes], object] | None = None,
    ) -> None:
        """Replace the contents by a new label: its file's name, and what it holds.

        It is written under another name, the old files are deleted, and it takes its place. So
        most failures leave the old volume as it was. Only where there is no room for both are the
        old files deleted first.

        :param wipe: :meth:`wipe`, or what does it and tells of its errors in another way
        :raise OSError: or what ``wipe`` raises
        """
        wipe = self.wipe if wipe is None else wipe
        draft = self.full(DRAFT_NAME)
        remove_if_there(draft)
        drafted = _write_new(draft, block, durable)
        try:
            wipe(DRAFT_NAME)
            if not drafted and not _write_new(draft, block, durable):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.rename(draft, self.full(name))
        except Exception:
            remove_if_there(draft)
            raise
        if durable:
            sync_directory(self.path)

    def _entries(self) -> Iterator[tuple[os.DirEntry[bytes], int, bytes]]:
        """Names that begin with digits and ``.`` or ``-``: entry, number, that character."""
        with os.scandir(self.path) as entries:
            for entry in entries:
                rest = entry.name.lstrip(b"0123456789")
                digits = len(entry.name) - len(rest)
                if digits and rest[:1] in (b".", b"-"):
                    # NAME_MAX bounds the digits
                    yield entry, int(entry.name[:digits]), rest[:1]


def _write_new(path: bytes, block: bytes, durable: bool) -> bool:
    """Make a file of a label's header block. :return: False: no room, and nothing left"""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise
        return False  # on some file systems even an empty file needs room
    try:
        write_all(fd, block)
        if durable:
            os.fdatasync(fd)
    except OSError as error:
        os.unlink(path)
        if error.errno not in NO_SPACE:
            raise
        return False
    finally:
        os.close(fd)
    return True


def remove_if_there(path: bytes) -> None:
    """Delete a file that may not exist."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
