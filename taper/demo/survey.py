"""What is in the source, looked at once, so that it is known what was dumped."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable

from attrs import field, frozen

from taper.demo.screen import DemoFailed

UNREADABLE = "unreadable"
SPECIAL = "device or socket"
ELSEWHERE = "mount point (its contents)"

TAR_BLOCK = 512
_EXTRA_HEADERS = 3 * TAR_BLOCK  # a header, and an extended one with its data
_KINDS = (stat.S_ISREG, stat.S_ISDIR, stat.S_ISLNK, stat.S_ISFIFO)


@frozen
class Entry:
    """One name in the source.

    :ivar name: relative to the source, ``.`` for the source itself
    :ivar facts: of the name itself, not of what a link points to
    :ivar target: of a symbolic link
    """

    name: bytes
    facts: os.stat_result
    target: bytes | None = None

    def unchanged(self, source: bytes) -> bool:
        """The source still has it as it was."""
        try:
            now = os.lstat(os.path.join(source, self.name))
        except OSError:
            return False
        return _fingerprint(now) == _fingerprint(self.facts)


def _fingerprint(facts: os.stat_result) -> tuple[int, ...]:
    return (facts.st_dev, facts.st_ino, facts.st_mode, facts.st_size, facts.st_mtime_ns,
            facts.st_ctime_ns)  # fmt: skip


@frozen
class Survey:
    """All that is dumped of a source, and what is not.

    :ivar left_out: names not dumped, by reason
    """

    source: bytes
    entries: list[Entry] = field(factory=list)
    left_out: dict[str, list[bytes]] = field(factory=dict)

    def leave_out(self, reason: str, name: bytes) -> None:
        self.left_out.setdefault(reason, []).append(name)

    @property
    def size(self) -> int:
        """About how many bytes a tar archive of it has; hard links count once."""
        files = [entry.facts for entry in self.entries if stat.S_ISREG(entry.facts.st_mode)]
        contents = {(facts.st_dev, facts.st_ino): facts.st_size for facts in files}
        return sum(contents.values()) + len(self.entries) * (_EXTRA_HEADERS + TAR_BLOCK // 2)

    def write_list(self, path: str) -> None:
        """Write the names for tar, NUL behind each."""
        with open(path, "wb") as file:
            file.writelines(entry.name + b"\0" for entry in self.entries)


def survey(source: str, without: Iterable[str], tell: Callable[[int], None]) -> Survey:
    """Look at everything under a directory, on its own file system only.

    :param without: directories to pass over in silence: our own
    :param tell: hears now and then how many names were found
    :raise DemoFailed: the source is no directory that can be read
    """
    top = os.path.realpath(os.fsencode(source))
    found = Survey(top)
    ours = {(f.st_dev, f.st_ino) for f in map(os.stat, without)}
    try:
        found.entries.append(Entry(b".", os.lstat(top)))
        with os.scandir(top):
            pass
    except OSError as fault:
        raise DemoFailed(f"cannot read the source {source}: {fault.strerror}") from fault

    def unreadable(fault: OSError) -> None:
        if not isinstance(fault, FileNotFoundError):  # or the comparison will say so
            found.leave_out(UNREADABLE, os.path.relpath(fault.filename, top))

    for directory, directories, files in os.walk(top, onerror=unreadable):
        below = os.path.relpath(directory, top)
        names, directories[:] = sorted(directories + files), []
        for name in names:
            entry = _look_at(found, os.path.normpath(os.path.join(below, name)))
            if entry is None or (entry.facts.st_dev, entry.facts.st_ino) in ours:
                continue
            found.entries.append(entry)
            if stat.S_ISDIR(entry.facts.st_mode) and _can_enter(found, entry):
                directories.append(name)
        tell(len(found.entries))
    return found


def _look_at(found: Survey, name: bytes) -> Entry | None:
    """The entry of a name, None if it is not to be dumped."""
    path = os.path.join(found.source, name)
    try:
        facts = os.lstat(path)
        target = os.readlink(path) if stat.S_ISLNK(facts.st_mode) else None
    except FileNotFoundError:
        return None
    except OSError:
        found.leave_out(UNREADABLE, name)
        return None
    if not any(is_kind(facts.st_mode) for is_kind in _KINDS):
        found.leave_out(SPECIAL, name)
        return None
    if stat.S_ISREG(facts.st_mode) and not os.access(path, os.R_OK, effective_ids=True):
        found.leave_out(UNREADABLE, name)
        return None
    return Entry(name, facts, target)


def _can_enter(found: Survey, entry: Entry) -> bool:
    if entry.facts.st_dev != found.entries[0].facts.st_dev:
        found.leave_out(ELSEWHERE, entry.name)
        return False
    return True
