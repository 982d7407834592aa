"""Where this machine keeps Amanda's files (config-and-state 0).

The defaults are Debian's. The environment may name others, so that the program can be tried, and
tested, away from them.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping

from attrs import frozen

DUMP_USER = "backup"
"""Who owns the directories of the installation (CLIENT_LOGIN)."""


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
    """Create a directory, with mode 0700, and its parents, unless it is there.

    What root makes is given to the dump user, as stock does: a person may try a program of ours
    as root, and the dump user's programs must find their directories usable afterwards.
    """
    missing = []
    while not os.path.isdir(directory):
        missing.append(directory)
        parent = os.path.dirname(directory)
        if parent == directory:
            break
        directory = parent
    for path in reversed(missing):
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            if not os.path.isdir(path):
                raise
            continue  # another process makes it, too
        try:
            give(path)
        except OSError:
            os.rmdir(path)  # better none than one that nobody can use
            raise


def give(what: str | int) -> None:
    """Let the dump user own a path or open file that root has made; nothing for anybody else."""
    if os.geteuid() != 0:
        return
    try:
        owner = pwd.getpwnam(DUMP_USER)
    except KeyError:
        return  # there is none whom it could hinder
    os.chown(what, owner.pw_uid, owner.pw_gid)
