"""Whether somebody else than root could change what root is about to run or put in place."""

from __future__ import annotations

import os
import stat

MOST_LINKS = 40
"""Symbolic links that are followed on one path, as by the kernel."""


def changeable(path: str) -> str | None:
    """What on the way to ``path``, which it names too, others than root may change.

    Each directory from ``/`` on is looked at, each symbolic link, and what it leads to. In a
    directory with the sticky bit nobody can change what is root's.

    :param path: absolute
    :return: a sentence without its end, or None: all is root's alone
    :raise OSError: something is not there
    """
    rest = [part for part in path.split("/") if part][::-1]
    here, links = "/", 0
    while True:
        found = os.lstat(here)
        reason = _judge(here, found)
        if reason is not None:
            return reason
        if stat.S_ISLNK(found.st_mode):
            links += 1
            if links > MOST_LINKS:
                return f"{path} has too many symbolic links on it"
            target = os.readlink(here)
            rest += [part for part in target.split("/") if part][::-1]
            here = "/" if target.startswith("/") else os.path.dirname(here)
            continue
        if not rest:
            return None
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
