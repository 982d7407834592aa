"""Where this machine keeps Amanda's files [config 0].

They are those of the installation that :mod:`taper.installation` knows. The environment may name
others, so that the program can be tried, and tested, away from them.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterable, Mapping

from protocols.installation import DEBIAN
from protocols.records import Record
from taper.installation import installation
from taper.ownership import refuse_strangers


class Paths(Record, kw_only=True):
    """Directories of the installation.

    :ivar config_root: holds one directory per configuration.
    :ivar tmpdir: status files.
    :ivar dbgdir: debug logs.
    :ivar statedir: changer states that no configuration places elsewhere.
    """

    config_root: str = DEBIAN.config_dir
    tmpdir: str = DEBIAN.amanda_tmpdir
    dbgdir: str = DEBIAN.amanda_dbgdir
    statedir: str = DEBIAN.statedir


def paths_from(environment: Mapping[str, str]) -> Paths:
    """The directories, by ``AMANDA_CONFIG_DIR``, ``AMANDA_TMPDIR``, ``AMANDA_DBGDIR`` and
    ``AMANDA_STATE_DIR`` where set.

    :raise Unusable: see :func:`taper.installation.installation`
    """
    usual = installation()
    return Paths(
        config_root=environment.get("AMANDA_CONFIG_DIR", usual.config_dir),
        tmpdir=environment.get("AMANDA_TMPDIR", usual.amanda_tmpdir),
        dbgdir=environment.get("AMANDA_DBGDIR", usual.amanda_dbgdir),
        statedir=environment.get("AMANDA_STATE_DIR", usual.statedir),
    )


def make_private(directory: str, dumpuser: str | None = None) -> list[str]:
    """Create a directory, with mode 0700, and its parents, unless it is there.

    What root makes is given to the dump user, as stock does: a person may try a program of ours
    as root, and the dump user's programs must find their directories usable afterwards.

    :return: what is to be given once more, by :func:`give_directories`, if another dump user
        becomes known
    :raise Untrusted: see :func:`taper.ownership.refuse_strangers`
    """
    there = os.path.abspath(directory)
    missing = []
    while not os.path.lexists(there):
        there, name = os.path.split(there)
        missing.append(name)
    refuse_strangers(there, directory, dumpuser)
    if not missing:
        return []
    made = []
    # each below the one before, whatever becomes of the names meanwhile
    parent = os.open(there, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for name in reversed(missing):
            child = _make_below(parent, name, dumpuser)
            os.close(parent)
            parent = child
            there = os.path.join(there, name)
            made.append(there)
    finally:
        os.close(parent)
    refuse_strangers(directory, dumpuser=dumpuser)
    return made


def give_directories(made: Iterable[str], dumpuser: str | None) -> None:
    """Let this user own directories that root has made a moment ago.

    :raise OSError: one of them is no directory any more
    """
    for path in made:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            give(descriptor, dumpuser)
        finally:
            os.close(descriptor)


def _make_below(parent: int, name: str, dumpuser: str | None) -> int:
    """:return: the new directory, or the one that another process has made just now"""
    try:
        os.mkdir(name, 0o700, dir_fd=parent)
        made = True
    except FileExistsError:
        made = False
    child = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
    if made:
        try:
            give(child, dumpuser)
        except OSError:
            os.close(child)
            os.rmdir(name, dir_fd=parent)  # better none than one that nobody can use
            raise
    return child


def give(descriptor: int, dumpuser: str | None = None) -> None:
    """Let the dump user own what root has made and opened; nothing for anybody else.

    :param dumpuser: None: the one of the installation, as long as no configuration is known
    """
    if os.geteuid() != 0:
        return
    try:
        owner = pwd.getpwnam(dumpuser or installation().client_login)
    except KeyError:
        return  # there is none whom it could hinder
    os.chown(descriptor, owner.pw_uid, owner.pw_gid)
