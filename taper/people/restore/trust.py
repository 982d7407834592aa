"""Which programs may be run: what a volume names is run only if the configuration, or a person,
names it too."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from devices.regular import open_regular
from protocols.disklist import find_disk
from taper.flow.made_header import NoDumptype, find_dumptype

if TYPE_CHECKING:
    from protocols.conf import Config
    from protocols.conf.sections import Dumptype
    from protocols.disklist import DiskEntry
    from protocols.header import Header

Command = tuple[str, ...]


def known_filters(config: Config, host: str, disk: str) -> frozenset[Command]:
    """Command lines that decrypt or decompress, by the dumptypes and the disk's entry in the
    disklist. Blocks."""
    found: set[Command] = set()
    its = (dumptype for _, _, dumptype in of_disk(config, host, disk))
    for dumptype in (*config.dumptypes(), *its):
        for program in (dumptype.server_custom_compress, dumptype.client_custom_compress):
            found.add((program, "-d"))
        for program, option in (
            (dumptype.server_encrypt, dumptype.server_decrypt_option),
            (dumptype.client_encrypt, dumptype.client_decrypt_option),
        ):
            found |= {(program, option), (program,)}
    return frozenset(command for command in found if command[0])


def of_disk(config: Config, host: str, disk: str) -> Iterator[tuple[DiskEntry, Config, Dumptype]]:
    """A disk's entry in the disklist, its dumptype, and before that the configuration in which the
    dumptype's application is; nothing where there is none. Blocks."""

    def read(path: str) -> bytes:
        with open(config.path(path), "rb", opener=open_regular) as file:
            return file.read()

    try:
        entry = find_disk(config.path(config.general.diskfile), read, host, disk)
        if entry is not None:
            yield entry, *find_dumptype(entry, config)
    except (OSError, NoDumptype):
        return  # then it names no program


def unknown_filters(
    commands: Iterable[Command], known: frozenset[Command], trusted: Iterable[str], uncompress: str
) -> list[Command]:
    """Those that a person has to be asked about.

    :param trusted: programs that a person has named
    :param uncompress: the installation's own program
    """
    trusted = frozenset(trusted)
    return [
        command
        for command in commands
        if command not in known and command[0] not in trusted and command != (uncompress, "-dc")
    ]


def application_is_known(config: Config, name: str, trusted: Iterable[str]) -> bool:
    """The configuration has an application of this plugin, or a person has named it."""
    return name in trusted or any(one.plugin == name for one in config.applications())


def is_plain_name(name: str) -> bool:
    """It stands for a program in the directory of applications, and for nothing else."""
    return bool(name) and name.replace("-", "").replace("_", "").isalnum() and name.isascii()


def is_tar(header: Header) -> bool:
    """The dump is an archive that GNU tar has written."""
    if header.program == "APPLICATION":
        return header.application in ("amgtar", "amdirecttar")
    return header.program.rpartition("/")[2].lower() in ("gnutar", "tar", "gtar")
