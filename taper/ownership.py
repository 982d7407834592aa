"""Whether somebody else could change what we are about to run, put in place or write in."""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Iterator
from contextlib import suppress

from taper.installation import installation

MOST_LINKS = 40
"""Symbolic links that are followed on one path, as by the kernel."""


class Untrusted(OSError):
    """A directory in which we put nothing; the text says which and why."""

    taper_code = 8009


def changeable(path: str) -> str | None:
    """What on the way to ``path``, which it names too, others than root may change.

    Each directory from ``/`` on is looked at, each symbolic link, and what it leads to. In a
    directory with the sticky bit nobody can change what is root's.

    :param path: absolute
    :return: a sentence without its end, or None: all is root's alone
    :raise OSError: something is not there
    """
    try:
        for here, found in _steps(path):
            reason = _judge(here, found)
            if reason is not None:
                return reason
    except TooManyLinks as fault:
        return str(fault)
    return None


def not_roots_alone(*paths: str) -> str | None:
    """Why root should neither put these in place nor run them; None: nothing speaks against it.

    :param paths: absolute
    :raise OSError: they cannot be looked at
    """
    for path in paths:
        try:
            reason = changeable(path)
        except FileNotFoundError:
            return f"there is no {path}"
        if reason is not None:
            return f"{reason}, but {path} must be root's alone"
    return None


def refuse_strangers(directory: str, wanted: str = "", dumpuser: str | None = None) -> None:
    """See that a directory, there or to be reached by links, is one to write in.

    It must belong to root or to us (or, for root, to the dump user). So must whatever on the way
    to it stands in a directory where everybody may put things, such as ``/tmp``: a stranger may
    have made it before us, and can put another in its place at any time. One of root's or ours
    there nobody else can replace, so what was found good stays so.

    :param wanted: what shall be made below it; for the message
    :param dumpuser: the configuration's; None: no configuration is known
    :raise Untrusted: it is none, or somebody else could change what is in it
    :raise OSError: it is not there, or cannot be looked at
    """
    reason = _strange(os.path.abspath(directory), trusted_users(dumpuser))
    if reason is not None:
        raise Untrusted(f"{reason}, so {wanted or directory} is not used")


def _strange(path: str, trusted: set[int]) -> str | None:
    shared: set[str] = set()
    last = path, os.lstat("/")
    try:
        for here, found in _steps(path):
            last = here, found
            if os.path.dirname(here) in shared and found.st_uid not in trusted:
                return f"{here} belongs to user {found.st_uid}"
            if stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_IWOTH:
                if not found.st_mode & stat.S_ISVTX:
                    return f"{here} may be changed by everybody"
                shared.add(here)
    except TooManyLinks as fault:
        return str(fault)
    here, found = last
    if not stat.S_ISDIR(found.st_mode):
        return f"{here} is no directory"
    if found.st_uid not in trusted:
        return f"{here} belongs to user {found.st_uid}"
    return None


def trusted_users(dumpuser: str | None = None) -> set[int]:
    """Users who may do with our files what they like: of the dump users, the installation's and
    the configuration's."""
    trusted = {0, os.geteuid()}
    if os.geteuid() != 0:
        return trusted
    usual = installation().client_login
    for name in (usual, dumpuser or usual):
        with suppress(KeyError):  # there is none
            trusted.add(pwd.getpwnam(name).pw_uid)
    return trusted


class TooManyLinks(Exception):
    """The text says on which path."""

    taper_code = 8009


def _steps(path: str) -> Iterator[tuple[str, os.stat_result]]:
    """Each directory from ``/`` on, each symbolic link, what it leads to, and the end.

    :raise TooManyLinks: they lead nowhere
    :raise OSError: something is not there
    """
    rest = [part for part in path.split("/") if part][::-1]
    here, links = "/", 0
    while True:
        found = os.lstat(here)
        yield here, found
        if stat.S_ISLNK(found.st_mode):
            links += 1
            if links > MOST_LINKS:
                raise TooManyLinks(f"{path} has too many symbolic links on it")
            target = os.readlink(here)
            rest += [part for part in target.split("/") if part][::-1]
            here = "/" if target.startswith("/") else os.path.dirname(here)
            continue
        if not rest:
            return
        part = rest.pop()
        if part == "..":
            here = os.path.dirname(here)
        elif part != ".":
            here = os.path.join(here, part)


def _judge(path: str, found: os.stat_result) -> str | None:
    if found.st_uid != 0:
        return f"{path} belongs to user {found.st_uid}"
    if stat.S_ISLNK(found.st_mode) or (
        stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX
    ):
        return None
    if found.st_mode & stat.S_IWOTH:
        return f"{path} may be changed by everybody"
    if found.st_mode & stat.S_IWGRP and found.st_gid != 0:
        return f"{path} may be changed by group {found.st_gid}"
    return None
