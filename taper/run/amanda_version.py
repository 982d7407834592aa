"""Which Amanda this taper works for [amanda-3.5.4 13].

Its own taper, displaced by ours or still in place, is a Perl program that names its library in its
first lines, and that library knows the version; where that fails, ``taperctl install`` may have
recorded where the library is. A recorded version would be wrong after an upgrade. This costs the
reading of two small files; nothing is executed.
"""

from __future__ import annotations

import os

from devices.regular import open_regular
from protocols.conf.values import Version
from protocols.installation import DEBIAN, Installation
from taper.installation import installation

_DIRECTORIES = (
    DEBIAN.amlibexecdir,
    "/usr/libexec/amanda",
    "/usr/local/libexec/amanda",
    "/usr/local/lib/amanda",
)
"""Where installations have the driver and the taper it starts."""

_NAMES = ("taper.amanda", "taper")
"""Amanda's own taper: where ours has displaced it, and where it belongs."""

_MOST = 1 << 16
"""Bytes of a file that are read; both files are far smaller."""


def amanda_version() -> Version | None:
    """The version as numbers, ``(3, 5, 1)``; None if it is not known."""
    text = version_text()
    return None if text is None else parse_version(text)


def version_text(directories: tuple[str, ...] | None = None) -> str | None:
    """The version as Amanda writes it, ``3.5.1``; None if it is not known.

    :param directories: where its taper may be; None: beside the driver that started us, or, if
        something else did, in the usual places
    """
    if directories is None:
        return _of_installation(installation())
    for directory in directories:
        for name in _NAMES:
            library = _quoted_after(f"{directory}/{name}", b"use lib ")
            if library is None:
                continue  # no such program, or it is ours
            found = _version_of(library)
            if found is not None:
                return found
    return None


def parse_version(text: str) -> Version | None:
    """The numbers that a version begins with; None if there are none.

    >>> parse_version("3.5.1"), parse_version("3.6.0beta2"), parse_version("svn")
    ((3, 5, 1), (3, 6, 0), None)
    """
    numbers = []
    for word in text.split("."):
        digits = word[: len(word) - len(word.lstrip("0123456789"))]
        if not digits or len(digits) > 9:
            break
        numbers.append(int(digits))
        if digits != word:
            break
    return tuple(numbers) or None


def _of_installation(recorded: Installation) -> str | None:
    """The version of the Amanda whose driver started us, else of the recorded or the usual one."""
    driver = _drivers_directory()
    if driver is not None:
        found = version_text((driver,))
        ours = driver == os.path.realpath(recorded.amlibexecdir)
    else:
        # a record names one installation; others beside it are not ours
        known = recorded.amperldir != ""
        found = version_text((recorded.amlibexecdir,) if known else _DIRECTORIES)
        ours = True
    if found is None and ours and recorded.amperldir:
        found = _version_of(recorded.amperldir)
    return found


def _version_of(library: str) -> str | None:
    return _quoted_after(f"{library}/Amanda/Constants.pm", b"$VERSION = ")


def _drivers_directory() -> str | None:
    """Where the driver is that started us; None: something else did, or it cannot be seen."""
    try:
        directory, _, program = os.readlink(f"/proc/{os.getppid()}/exe").rpartition("/")
    except OSError:
        return None  # there is no /proc, or it hides the parent
    return directory if program == "driver" else None


def _quoted_after(path: str, start: bytes) -> str | None:
    """What stands in quotes on the first line with this start; None if there is no such line."""
    for line in _read(path).split(b"\n"):
        if line.startswith(start):
            quoted = line[len(start) :].rstrip(b"; \r")
            if len(quoted) > 2 and quoted[:1] in (b"'", b'"') and quoted[:1] == quoted[-1:]:
                return os.fsdecode(quoted[1:-1])
    return None


def _read(path: str) -> bytes:
    """The beginning of a regular file; nothing if it cannot be read."""
    try:
        with open(path, "rb", opener=open_regular) as file:
            return file.read(_MOST)
    except (OSError, ValueError):  # ValueError: a NUL in the path
        return b""
