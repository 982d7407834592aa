"""What the configuration says of the application that made a dump."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from taper.gnutar import find_tar
from taper.ownership import not_roots_alone
from taper.people.restore.trust import of_disk

if TYPE_CHECKING:
    from collections.abc import Sequence

    from protocols.conf import Config
    from protocols.conf.sections import Application
    from protocols.header import Header


def section_of(config: Config, header: Header) -> Application | None:
    """The application by which the disk is dumped, if that is the dump's; else the first of the
    same plugin; None: there is none. Blocks."""
    return _section_and_device(config, header)[0]


def restoring(
    config: Config, header: Header, program: str, directory: str, paths: Sequence[str]
) -> list[str]:
    """The command by which an application restores its own dumps, as the disk is configured
    [recovery 7]. Blocks."""
    section, device = _section_and_device(config, header)
    command = [
        *(program, "restore"),
        *("--config", config.name),
        *("--host", header.host),
        *("--disk", header.disk),
        *(("--device", device) if device != header.disk else ()),
        *("--level", str(header.level)),
        *("--target", directory),
    ]
    for name, its in {} if section is None else section.property.items():
        for value in its:
            command += [f"--{name}", value]
    return [*command, *(f"./{path}" for path in paths)]


def _section_and_device(config: Config, header: Header) -> tuple[Application | None, str]:
    sections = config.applications()
    device = header.disk
    for entry, found, dumptype in of_disk(config, header.host, header.disk):
        device = entry.device or header.disk
        section = found.application(dumptype.application)
        sections = sections if section is None else (section, *sections)
    its = (section for section in sections if section.plugin == header.application)
    return next(its, None), device


def tar_for(config: Config, header: Header) -> str | None:
    """The GNU tar that unpacks a dump; None: there is none where one is expected. Blocks.

    The property GNUTAR-PATH names a program of the client, so it counts where there is such a
    program here; and only root may be able to change it, who may be about to run it.
    """
    section = section_of(config, header) if header.program == "APPLICATION" else None
    for path in section.property.get("gnutar-path", ()) if section is not None else ():
        try:
            if os.path.isabs(path) and os.access(path, os.X_OK) and not not_roots_alone(path):
                return path
        except OSError:
            continue  # then it is not root's alone, as far as we can see
    return find_tar()
