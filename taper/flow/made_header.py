"""The header of a dump whose dumper sends none, as a 3.5.3 dumper would write it.

The dumper of 3.5.1 never writes the header of a DIRECTTCP dump [ndmp 7]. All that it
would say is in the driver's command and in the disk's dumptype.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from devices.regular import open_regular
from protocols.conf import Dumptype, load
from protocols.disklist import Block, DiskEntry, find_disk
from protocols.dle import make_dle
from protocols.header import Header, HeaderType
from taper.core.errors import SourceFault
from taper.installation import installation

if TYPE_CHECKING:
    from protocols.conf import Application, Config
    from protocols.driver.commands import PortWrite

_INLINE = "the-dumptype-in-the-disklist"
_WHY = "no header came, and none can be made: "


class NoDumptype(Exception):
    """A disk's entry names a dumptype that is not there; the text says which."""

    taper_code = 1015


def make_header(command: PortWrite, config: Config) -> Header:
    """Look the disk up, and make its header. Blocks.

    :raise SourceFault: it is not in the disklist, or that cannot be understood
    """
    level = command.level
    if not (level.isascii() and level.isdigit() and len(level) < 4):
        raise SourceFault(f"{_WHY}level '{level}' is no number", code=4008)
    entry = _find_entry(command, config)
    blank = Header(
        type=HeaderType.DUMPFILE,
        datestamp=command.datestamp,
        host=command.hostname,
        disk=command.diskname,
        level=int(level),
    )
    try:
        return described(blank, entry, *find_dumptype(entry, config))
    except NoDumptype as fault:
        raise SourceFault(f"{_WHY}{fault}") from fault


def described(header: Header, entry: DiskEntry, config: Config, dumptype: Dumptype) -> Header:
    """A header with what the configuration says of who makes the disk's dumps, and restores them.

    :param config: in which the dumptype's application and scripts are looked up
    :raise SourceFault: the dumptype cannot be understood
    """
    program, application, recover = _program(config, dumptype)
    scripts = [script for script in map(config.script, dumptype.script) if script is not None]
    return evolve(
        header,
        program=program,
        application=application.plugin if application is not None else "",
        recover_cmd=recover,
        dle=make_dle(entry.disk, entry.device, header.level, dumptype, application, scripts),
    )


def _find_entry(command: PortWrite, config: Config) -> DiskEntry:
    name = config.path(config.general.diskfile)
    host, disk = command.hostname, command.diskname
    try:
        entry = find_disk(name, lambda path: _read(config.path(path)), host, disk)
    except OSError as fault:
        raise SourceFault(f"{_WHY}{name}: {fault.strerror}") from fault
    if entry is None:
        raise SourceFault(f"{_WHY}'{host}' '{disk}' is not in the disklist {name}", code=1015)
    return entry


def application_of(command: PortWrite, config: Config) -> Application | None:
    """The application of a disk's dumptype; None: it has none. Blocks.

    :raise SourceFault: it is not in the disklist, or that cannot be understood
    :raise NoDumptype: it has no dumptype
    """
    config, dumptype = find_dumptype(_find_entry(command, config), config)
    return config.application(dumptype.application)


def dumptype_of(entry: DiskEntry, config: Config) -> Dumptype:
    """A disk's dumptype. Blocks.

    :raise NoDumptype: it has none
    """
    return find_dumptype(entry, config)[1]


def find_dumptype(entry: DiskEntry, config: Config) -> tuple[Config, Dumptype]:
    """A disk's dumptype, and the configuration in which its application and scripts are to be
    looked up. Blocks.

    :raise NoDumptype: it has none
    """
    wanted = entry.dumptype
    if isinstance(wanted, Block):
        config, wanted = _with_block(config, wanted.text), _INLINE
    dumptype = config.dumptype(wanted)
    if dumptype is None:
        raise NoDumptype(f"'{entry.host}' '{entry.disk}' has no dumptype '{wanted}'")
    return config, dumptype


def _with_block(config: Config, block: str) -> Config:
    """The configuration with one more dumptype, of these parameters."""
    main = config.path("amanda.conf")
    extra = f'\ndefine dumptype "{_INLINE}" {{\n{block}\n}}\n'.encode("utf-8", "surrogateescape")

    def read(path: str) -> bytes | None:
        try:
            data = _read(path)
        except FileNotFoundError:
            return None
        return data + extra if path == main else data

    root = config.directory.rpartition("/")[0]
    return load(config.directory.rpartition("/")[2], read, config_root=root).config


def _read(path: str) -> bytes:
    with open(path, "rb", opener=open_regular) as file:
        return file.read()


def _program(config: Config, dumptype: Dumptype) -> tuple[str, Application | None, str]:
    """Program, application, and the command that restores."""
    if not dumptype.application and dumptype.program != "APPLICATION":
        return dumptype.program, None, "tar -xpGf - ..." if dumptype.program == "GNUTAR" else ""
    application = config.application(dumptype.application)
    if application is None or not application.plugin:
        raise SourceFault(f"{_WHY}dumptype '{dumptype.name}' names no application", code=1015)
    recover = f"{installation().application_dir}/{application.plugin} restore [./file-to-restore]+"
    return "APPLICATION", application, recover
