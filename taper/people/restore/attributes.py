"""Which attributes of files are in an archive besides the usual ones: tar restores those only if it
is told to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from protocols.conf import Config
    from protocols.header import Header

_OPTIONS = {
    "ACLS": ("--acls",),
    "SELINUX": ("--selinux",),
    "XATTRS": ("--xattrs", "--xattrs-include=*"),
}
"""By the properties of amgtar and amdirecttar; without the last one those alone that are a user's
own."""
_MARKS = (
    "extended attribute for file",
    "Cannot set POSIX ACLs",
    "Cannot set SELinux context",
)


def attribute_options(header: Header, config: Config) -> tuple[str, ...]:
    """Options for the tar that unpacks a dump: what the application was told to store, by the
    header, or by the configuration as it is now."""
    wanted = {name for name, value in _told(header, config) if value.strip().upper() != "NO"}
    return tuple(
        option for name, options in _OPTIONS.items() if name in wanted for option in options
    )


def _told(header: Header, config: Config) -> Iterator[tuple[str, str]]:
    """Names and values of properties."""
    plugins = header.dle.split("<backup-program>")[1:2]
    for text in plugins:
        for entry in text.split("<property>")[1:]:
            yield _element(entry, "name").upper(), _element(entry, "value")
    for section in config.applications() if header.program == "APPLICATION" else ():
        if section.plugin == header.application:
            for name, values in section.property.items():
                yield from ((name.upper(), value) for value in values)


def _element(text: str, name: str) -> str:
    """The text of the first element of a name; one that is not plain is nothing here."""
    return text.partition(f"<{name}>")[2].partition("<")[0]


def not_set(said: list[str]) -> list[str]:
    """What tar says, though it ends well, of attributes that it could not restore."""
    return [line for line in said if any(mark in line for mark in _MARKS)]
