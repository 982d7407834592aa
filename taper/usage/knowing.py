"""The names that a configuration has: read from its files, as a command would read them. No changer
is asked, and nothing is written."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from protocols.disklist import read_disklist
from protocols.tapelist import TapelistError, parse_tapelist
from taper.last_words import CannotStart
from taper.run.as_root import become, look_up
from taper.run.options import Options
from taper.run.paths import Paths
from taper.run.setup import load_config, read_file

if TYPE_CHECKING:
    from protocols.conf import Config
    from taper.usage.completing import Line

_ASKED = frozenset({"label", "storage", "host", "disk", "host:disk"})


def known(kind: str, line: Line, paths: Paths) -> Mapping[str, str]:
    """The names of this kind.

    As root the process is the dump user from then on, as with every other command.

    :param line: what was named before: the configuration, and the host whose disks are meant
    :raise CannotStart, OSError: they cannot be read
    """
    if kind == "config":
        return dict.fromkeys(_configurations(paths.config_root), "")
    name = line.value("config")
    if kind not in _ASKED or name is None:
        return {}
    overrides = tuple(text for text in line.options.get("-o", ()) if "=" in text)
    config = load_config(Options(config_name=name, overrides=overrides), paths)
    if os.geteuid() == 0:
        become(look_up(config.general.dumpuser))
    if kind == "storage":
        return dict.fromkeys((storage.name for storage in config.storages()), "")
    if kind == "label":
        return dict(_labels(config))
    return dict(_disks(config, kind, line.value("host")))


def _configurations(root: str) -> list[str]:
    return sorted(
        entry.name for entry in os.scandir(root) if (Path(entry.path) / "amanda.conf").is_file()
    )


def _labels(config: Config) -> Iterator[tuple[str, str]]:
    path = config.path(config.general.tapelist)
    try:
        tapelist = parse_tapelist(read_file(path), path)
    except TapelistError as fault:
        raise CannotStart(str(fault)) from fault
    for entry in tapelist.entries:
        yield entry.label, f"{entry.storage or ''} {entry.datestamp}".strip()


def _disks(config: Config, kind: str, host: str | None) -> Iterator[tuple[str, str]]:
    path = config.path(config.general.diskfile)
    for entry in read_disklist(path, lambda name: read_file(config.path(name))):
        if kind == "host":
            yield entry.host, ""
        elif kind == "host:disk":
            yield f"{entry.host}:{entry.disk}", ""
        elif host is None or entry.host.lower() == host.lower():
            yield entry.disk, ""
