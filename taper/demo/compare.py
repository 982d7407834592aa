"""Restored files against those of the source, one by one."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator

from attrs import field, frozen

from taper.demo.survey import Entry, Survey

_BUFFER = 1 << 20


@frozen
class Comparison:
    """How the restored files are.

    :ivar differences: name and what is different of it
    :ivar changed: names that differ, but the source has changed since it was looked at
    """

    equal: list[bytes] = field(factory=list)
    differences: list[tuple[bytes, str]] = field(factory=list)
    changed: list[bytes] = field(factory=list)


def compare(
    found: Survey, restored: str, *, owners: bool, tell: Callable[[int], None]
) -> Comparison:
    """Compare everything: type, contents, mode, owner, time, link target, hard links.

    :param restored: directory that was restored into
    :param owners: owners could be restored
    :param tell: hears how many are done
    """
    result = Comparison()
    links: dict[tuple[int, int], int] = {}
    for done, entry in enumerate(found.entries):
        tell(done)
        path = os.path.join(os.fsencode(restored), entry.name)
        difference = _difference(found.source, entry, path, owners, links)
        if difference is None:
            result.equal.append(entry.name)
        elif not entry.unchanged(found.source):
            result.changed.append(entry.name)
        else:
            result.differences.append((entry.name, difference))
    known = {entry.name for entry in found.entries}
    for name in _names(os.fsencode(restored)):
        if name not in known:
            result.differences.append((name, "was restored, but was not dumped"))
    return result


def _difference(
    source: bytes, entry: Entry, path: bytes, owners: bool, links: dict[tuple[int, int], int]
) -> str | None:
    """What is different, None if nothing is."""
    was = entry.facts
    try:
        now = os.lstat(path)
    except OSError as fault:
        return f"was not restored: {fault.strerror}"
    if stat.S_IFMT(now.st_mode) != stat.S_IFMT(was.st_mode):
        return "has another type"
    if stat.S_ISLNK(was.st_mode):
        if os.readlink(path) != entry.target:
            return f"links to {os.readlink(path)!r}, not to {entry.target!r}"
    elif now.st_mode != was.st_mode:
        return f"mode is {stat.filemode(now.st_mode)}, not {stat.filemode(was.st_mode)}"
    if owners and (now.st_uid, now.st_gid) != (was.st_uid, was.st_gid):
        return f"owner is {now.st_uid}:{now.st_gid}, not {was.st_uid}:{was.st_gid}"
    if now.st_mtime_ns != was.st_mtime_ns:
        return f"time is {_seconds(now.st_mtime_ns)}, not {_seconds(was.st_mtime_ns)}"
    if not stat.S_ISREG(was.st_mode):
        return None
    if was.st_nlink > 1 and links.setdefault((was.st_dev, was.st_ino), now.st_ino) != now.st_ino:
        return "is no hard link any more"
    if now.st_size != was.st_size:
        return f"has {now.st_size} bytes, not {was.st_size}"
    return _contents(os.path.join(source, entry.name), path)


def _seconds(ns: int) -> str:
    return f"{ns // 10**9}.{ns % 10**9:09}"


def _contents(one: bytes, other: bytes) -> str | None:
    try:
        with open(one, "rb", buffering=0) as ours, open(other, "rb", buffering=0) as theirs:
            offset = 0
            while True:
                expected, got = ours.read(_BUFFER), theirs.read(_BUFFER)
                if expected != got:
                    return f"has other contents, from byte {offset + _first(expected, got)} on"
                if not expected:
                    return None
                offset += len(expected)
    except OSError as fault:
        return f"cannot be compared: {fault.strerror}"


def _first(expected: bytes, got: bytes) -> int:
    """Where two texts begin to differ."""
    pairs = zip(expected, got, strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(expected), len(got)))


def _names(top: bytes) -> Iterator[bytes]:
    for directory, directories, files in os.walk(top):
        for name in directories + files:
            yield os.path.relpath(os.path.join(directory, name), top)
