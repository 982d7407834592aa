"""Where this machine keeps Amanda's files (config-and-state 0).

The defaults are Debian's. The environment may name others, so that the program can be tried, and
tested, away from them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from attrs import frozen


@frozen(kw_only=True)
class Paths:
    """Directories of the installation.

    :ivar config_root: holds one directory per configuration.
    :ivar tmpdir: status files.
    :ivar dbgdir: debug logs.
    :ivar statedir: changer states that no configuration places elsewhere.
    """

    config_root: str = "/etc/amanda"
    tmpdir: str = "/tmp/amanda"
    dbgdir: str = "/var/log/amanda"
    statedir: str = "/var/lib/amanda"


def paths_from(environment: Mapping[str, str]) -> Paths:
    """The directories, by ``AMANDA_CONFIG_DIR``, ``AMANDA_TMPDIR``, ``AMANDA_DBGDIR`` and
    ``AMANDA_STATE_DIR`` where set."""
    usual = Paths()
    return Paths(
        config_root=environment.get("AMANDA_CONFIG_DIR", usual.config_root),
        tmpdir=environment.get("AMANDA_TMPDIR", usual.tmpdir),
        dbgdir=environment.get("AMANDA_DBGDIR", usual.dbgdir),
        statedir=environment.get("AMANDA_STATE_DIR", usual.statedir),
    )


def make_private(directory: str) -> None:
    """Create a directory, with mode 0700, and its parents, unless it is there."""
    os.makedirs(directory, mode=0o700, exist_ok=True)
