"""The directories ``slotN`` of chg-disk and what their file names tell [changers 3.1]."""

from __future__ import annotations

import errno
import logging
import os
import re
import stat
from contextlib import suppress

from devices.changers.vtape_state import slot_number
from devices.datafile import sync_directory
from devices.errors import ChangerError
from devices.processes import is_alive
from devices.vtape import names_a_file

_DIRECTORY = re.compile(r"slot[0-9]{1,18}", re.ASCII)
_DRAFT = re.compile(r"data\.[0-9]{1,18}", re.ASCII)
_LABEL_PREFIX = "00000."

_log = logging.getLogger(__name__)


class SlotDirectories:
    """``slotN`` directories below one root, by number; the link ``data`` names the current one."""

    def __init__(self, root: str) -> None:
        self._root = root
        # names that looked like drafts of the link when the root was last listed
        self._drafts: set[str] = set()

    def _names(self) -> dict[int, str]:
        """Directory names by number; ``slot007`` counts as 7 unless ``slot7`` exists too."""
        names: dict[int, str] = {}
        try:
            with os.scandir(self._root) as entries:
                for entry in entries:
                    if _DIRECTORY.fullmatch(entry.name) and self._is_directory(entry):
                        number = int(entry.name[4:])
                        if number not in names or entry.name == f"slot{number}":
                            names[number] = entry.name
                    elif _DRAFT.fullmatch(entry.name):
                        self._drafts.add(entry.name)
        except OSError as error:
            raise ChangerError(f"Can't read '{self._root}': {error.strerror}") from error
        return names

    def _is_directory(self, entry: os.DirEntry[str]) -> bool:
        """One that cannot even be looked at, as where a disk has failed, is no slot: the others
        are [changers 3.1]."""
        try:
            return entry.is_dir()
        except OSError as error:
            _log.warning("passing over '%s': %s", entry.path, error.strerror)
            return False

    def numbers(self) -> list[int]:
        return sorted(self._names())

    def path(self, slot: int) -> str:
        if self.is_plain(slot):
            return f"{self._root}/slot{slot}"
        return f"{self._root}/{self._names().get(slot, f'slot{slot}')}"

    def is_plain(self, slot: int) -> bool:
        """The directory is there under its usual name: asked without listing all of them."""
        return os.path.isdir(f"{self._root}/slot{slot}")

    def exists(self, slot: int) -> bool:
        return os.path.isdir(self.path(slot))

    def create(self, slot: int) -> bool:
        """Make the directory, on the disk too: parts in it are synchronised, but what good are
        they in a directory that a power cut takes away?

        :return: whether it is there and ours to remove
        """
        path = f"{self._root}/slot{slot}"
        try:
            os.mkdir(path, 0o700)
            try:
                sync_directory(os.fsencode(self._root))
            except OSError:
                os.rmdir(path)
                raise
        except OSError as error:
            _log.warning("cannot make slot %d in '%s': %s", slot, self._root, error.strerror)
            return False
        return True

    def remove_if_blank(self, slot: int) -> None:
        """Remove the directory unless something has been put in it."""
        try:
            os.rmdir(f"{self._root}/slot{slot}")
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT):
                _log.warning("cannot remove slot %d of '%s': %s", slot, self._root, error.strerror)

    def label(self, slot: int) -> str:
        """The label that the slot's file names promise, empty for a blank volume.

        :raise OSError: the directory cannot be read
        """
        names = [name for name in os.listdir(self.path(slot)) if name.startswith(_LABEL_PREFIX)]
        return min(names, default=_LABEL_PREFIX)[len(_LABEL_PREFIX) :]

    def find(self, label: str) -> int | None:
        """The slot whose file names promise ``label``; the lowest if there are several."""
        if not names_a_file(label):
            return None
        names = self._names()
        found = [
            slot
            for slot in sorted(names)
            if os.path.lexists(f"{self._root}/{names[slot]}/{_LABEL_PREFIX}{label}")
        ]
        if len(found) > 1:
            _log.warning("label '%s' is in several slots of '%s': %s", label, self._root, found)
        return found[0] if found else None

    def linked(self) -> int | None:
        """The slot that ``data`` points to; an old-style link ``current`` becomes ``data``."""
        link, old = f"{self._root}/data", f"{self._root}/current"
        try:
            if os.path.islink(old) and not os.path.exists(link):
                os.rename(old, link)
            return slot_number(os.readlink(link)) if os.path.islink(link) else None
        except OSError as error:
            _log.warning("cannot read the link '%s': %s", link, error.strerror)
            return None

    def link(self, slot: int) -> None:
        """Let ``data`` point to ``slot``, under the lock of the state. A failure is only noted: the
        state file decides."""
        target, link = os.path.basename(self.path(slot)), f"{self._root}/data"
        temporary = f"{link}.{os.getpid()}"
        try:
            self._remove_drafts()
            if os.path.islink(link) and os.readlink(link) == target:
                return
            if os.path.islink(temporary):  # of a killed process of our number
                os.unlink(temporary)
            os.symlink(target, temporary)
            try:
                os.rename(temporary, link)
            except OSError:
                os.unlink(temporary)
                raise
        except OSError as error:
            _log.warning("cannot let '%s' point to %s: %s", link, target, error.strerror)

    def _remove_drafts(self) -> None:
        """Remove the links of processes that were killed before theirs became ``data``."""
        while self._drafts:
            name = self._drafts.pop()
            pid = int(name.removeprefix("data."))
            if pid != os.getpid() and is_alive(pid):
                continue
            with suppress(FileNotFoundError):
                facts = os.lstat(f"{self._root}/{name}")
                if stat.S_ISLNK(facts.st_mode) and facts.st_uid == os.geteuid():
                    os.unlink(f"{self._root}/{name}")
