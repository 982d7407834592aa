"""What GNU tar remembers of a disk from one level to the next: a file a level in one directory.

Names are those of Amanda's usual GNU tar application, so a disk may change to this one between two
levels. Where such a name could be another disk's as well, a checksum is added: two disks that share
a file would lose changes.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import zlib
from typing import BinaryIO

from devices.regular import behind_link
from taper.application.errors import ApplicationError, reason

_LONGEST = 200
_AMBIGUOUS = frozenset("_:\\")


def base_name(host: str, disk: str) -> str:
    """The name of a disk's files, without the level."""
    plain = "".join("_" if letter in "/:\\" else letter for letter in host + disk)
    raw = plain.encode("utf-8", "surrogateescape")
    if _AMBIGUOUS.isdisjoint(disk) and len(raw) <= _LONGEST:
        return plain
    check = zlib.crc32((host + "\0" + disk).encode("utf-8", "surrogateescape"))
    return raw[:_LONGEST].decode("utf-8", "surrogateescape") + f"-{check:08x}"


class Snapshot:
    """The file that tar reads and writes during one dump: a copy of the level below's.

    As a context it is removed in the end, unless it was kept.

    :ivar path: of the copy
    :ivar base: the level it was copied from, None if there is none below this one
    """

    def __init__(self, directory: str, host: str, disk: str, level: int, purpose: str) -> None:
        """:param purpose: end of the copy's name

        :raise ApplicationError: it cannot be made, or another process uses it
        """
        # a link that somebody has put there stays, and leads to the new file
        self._final = behind_link(os.path.join(directory, f"{base_name(host, disk)}_{level}"))
        self.path = f"{self._final}.{purpose}"
        self.base: int | None = None
        self._kept = False
        self._file = self._open()
        try:
            self._copy(os.path.join(directory, base_name(host, disk)), level)
        except BaseException:
            self.__exit__()
            raise

    def _open(self) -> BinaryIO:
        try:
            file = os.fdopen(
                os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+b"
            )
        except OSError as error:
            raise ApplicationError(f"cannot make {self.path}: {reason(error)}", code=4023) from None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            mine = os.fstat(file.fileno())
            there = os.stat(self.path)
        except (BlockingIOError, FileNotFoundError):
            file.close()
            raise ApplicationError(f"{self.path} is used by another process", code=4023) from None
        if (mine.st_dev, mine.st_ino) != (there.st_dev, there.st_ino):
            file.close()
            raise ApplicationError(f"{self.path} was used by another process", code=4023)
        return file

    def _copy(self, start: str, level: int) -> None:
        self._file.truncate()
        for below in range(level - 1, -1, -1):
            try:
                source = open(f"{start}_{below}", "rb")  # noqa: SIM115
            except FileNotFoundError:
                continue
            except OSError as error:
                raise ApplicationError(
                    f"cannot read {start}_{below}: {reason(error)}", code=4023
                ) from None
            with source:
                shutil.copyfileobj(source, self._file, 1 << 20)
            self._file.flush()
            self.base = below
            return

    def __enter__(self) -> Snapshot:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._kept:
            os.unlink(self.path)
        self._file.close()

    def keep(self) -> None:
        """The dump is good: this is what the next level starts from.

        :raise ApplicationError: it cannot be put in place
        """
        try:
            os.fsync(self._file.fileno())
            os.rename(self.path, self._final)
            self._kept = True
            directory = os.open(os.path.dirname(self._final), os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)
        except OSError as error:
            raise ApplicationError(
                f"cannot keep {self._final}: {reason(error)}", code=4023
            ) from None
