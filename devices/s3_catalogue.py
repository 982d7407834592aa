"""The note that Amanda keeps of the label of an ``s3:`` volume [volumes 5.6].

Stock's devices believe it without asking the store, so it is kept up. It is never believed here.
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress

from protocols.quoting import quote
from protocols.s3keys import Place

_log = logging.getLogger(__name__)

_MOST = 65536
"""Bytes of a note that may be ours."""


class Catalogue:
    """The note of one volume, in a file CONFDIR/bucket-BUCKET/PREFIX.

    There is none of a volume without a prefix, or with a ``/`` in it. What cannot be written is
    warned of: it is of use to stock's programs only.

    :param directory: of the configuration; None: there is none
    """

    def __init__(self, directory: str | None, place: Place) -> None:
        usable = directory and place.prefix and "/" not in place.prefix
        self._folder = os.path.join(directory or "", f"bucket-{place.bucket}")
        self._path = os.path.join(self._folder, place.prefix) if usable else None

    def note(self, label: str, header: bytes) -> None:
        """The volume bears this label; ``header`` is that of file 0, without padding."""
        text = f"LABEL: {label}\nHEADER: {quote(header.decode('utf-8', 'surrogateescape'))}\n"
        if self._path is None or self._noted() == (data := text.encode("utf-8", "surrogateescape")):
            return
        draft = f"{self._path}.new-{os.getpid()}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
        try:
            with suppress(FileExistsError):
                os.mkdir(self._folder, 0o700)
            try:
                with open(os.open(draft, flags, 0o600), "wb") as file:
                    file.write(data)
                os.replace(draft, self._path)
            except OSError:
                with suppress(FileNotFoundError):
                    os.unlink(draft)
                raise
        except OSError as error:
            _log.warning("cannot note the label '%s' in %s: %s", label, self._path, error.strerror)
            self.forget()  # an old note would be believed

    def _noted(self) -> bytes | None:
        assert self._path is not None
        try:
            fd = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return None  # whatever it is, it is to be written anew
        with open(fd, "rb") as file:
            return file.read(_MOST)

    def forget(self) -> None:
        """The volume has no label any more."""
        if self._path is None:
            return
        try:
            os.unlink(self._path)
        except FileNotFoundError:
            return
        except OSError as error:
            _log.warning("cannot remove the old note %s: %s", self._path, error.strerror)
