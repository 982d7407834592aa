"""The cache of a DVD burner, and whether the volume in it is on a disc [volumes 5.5].

Dumps are told DONE when they are in the cache; a disc is burned when its volume is finished. Up to
then, and where that fails, the cache is the only place where they are. So a cache with dumps is not
emptied for a new volume, unless a mark says that it was burned. The mark names the label's file and
is of no use once another taper has written a new one.

A driver waits a few seconds for the end of its taper, and a disc takes minutes. So a small process
of its own sees to the burning, beyond our end, and sets the mark. It holds a lock on the cache.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sys
from contextlib import suppress

from devices.commands import run_command
from devices.vtape import VtapeDirectory, to_bytes, to_text

_MARK = b"burned"

_SEE_TO_IT = """\
import os, sys
mark, text, *words = map(os.fsencode, sys.argv[1:])
status = os.spawnvp(os.P_WAIT, words[0], words)
if status < 0:
    os.kill(os.getpid(), -status)
if status:
    sys.exit(status)
draft = os.open(mark + b".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
os.write(draft, text)
os.fsync(draft)
os.rename(mark + b".new", mark)
"""


class CacheBusy(Exception):
    """Somebody writes or burns this cache."""

    taper_code = 2002


class Cache:
    """The directory whose contents become those of a disc.

    :param path: of the directory; the volume is in ``data`` below it
    :ivar vtape: the volume
    """

    def __init__(self, path: str) -> None:
        self.path = os.path.abspath(path)  # as an argument it begins with a slash
        self.vtape = VtapeDirectory.exactly(os.path.join(path, "data"))
        self._mark = os.path.join(to_bytes(self.path), _MARK)
        self._lock: int | None = None

    def take(self) -> None:
        """Lock it for this process.

        :raise CacheBusy: another process has it
        :raise OSError: it cannot be opened
        """
        if self._lock is not None:
            return
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise CacheBusy from None
        except OSError:
            os.close(descriptor)
            raise
        self._lock = descriptor

    def let_go(self) -> None:
        """Unlock it; who still burns it keeps it locked."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def unburned(self) -> str | None:
        """Name of the label's file of a volume with dumps that is not known to be on a disc.

        :raise OSError: the cache cannot be read
        """
        files = self.vtape.files()
        if not any(file.number and file.size for file in files):
            return None
        try:
            with open(self._mark, "rb") as file:
                burned = file.read(len(self._text()) + 1) == self._text()
        except FileNotFoundError:
            burned = False
        return None if burned else to_text(files[0].name)

    def forget_mark(self) -> None:
        """There is a new volume in it."""
        with suppress(FileNotFoundError):
            os.unlink(self._mark)

    def burn(self, words: tuple[str, ...], seconds: float) -> None:
        """Run the program that burns it, and set the mark.

        :param words: all but the last one, which is the cache
        :raise CommandFailed: the disc may be of no use, or half of it
        :raise OSError: the cache cannot be read
        """
        mark = (to_text(self._mark), os.fsdecode(self._text()))
        python = (sys.executable, "-I", "-S", "-c", _SEE_TO_IT)
        burner = (*words, self.path)
        run_command((*python, *mark, *burner), seconds, keep=self._lock, beyond_us=True)

    def wipe(self) -> None:
        """Empty it, for its volume is on a disc.

        :raise OSError: that failed
        """
        self.vtape.wipe()
        self.forget_mark()

    def _text(self) -> bytes:
        """What the mark of this volume says."""
        files = self.vtape.files()
        if not files:
            raise FileNotFoundError(errno.ENOENT, "the volume is gone", str(self.vtape))
        label = files[0]
        facts = os.stat(self.vtape.full(label.name))
        return b"%s %d %d" % (label.name, facts.st_ino, facts.st_mtime_ns)
