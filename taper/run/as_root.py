"""A program that root has started: all that can be done as the dump user is done so."""

from __future__ import annotations

import os
import pwd

import taper
import twisted
from protocols.conf import load
from taper.installation import installation
from taper.run.amanda_version import amanda_version
from taper.run.paths import Paths
from taper.run.setup import StartFailed, read_file


def dump_user(config_name: str, overrides: tuple[str, ...], paths: Paths) -> str | None:
    """Whom the configuration names; None if it cannot be used, as a start will tell."""
    if config_name == ".":
        return None
    loaded = load(
        config_name,
        read_file,
        overrides=overrides,
        config_root=paths.config_root,
        cwd=None,
        amanda_version=amanda_version,
        installation=installation(),
    )
    if any(message.level == "error" for message in loaded.messages):
        return None
    return loaded.config.general.dumpuser


def look_up(user: str) -> pwd.struct_passwd:
    """:raise StartFailed: there is no such user"""
    try:
        return pwd.getpwnam(user)
    except KeyError:
        raise StartFailed(f'cannot look up dumpuser "{user}"', code=1013) from None


def become(user: pwd.struct_passwd) -> None:
    """Be this user from now on, for good, in the groups that are his.

    :raise StartFailed: he could not run us
    """
    os.initgroups(user.pw_name, user.pw_gid)
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)
    check_readable(user)


def act_as(user: pwd.struct_passwd) -> None:
    """The same, but root's rights can be had back.

    :raise StartFailed: he could not run us
    """
    os.initgroups(user.pw_name, user.pw_gid)
    os.setegid(user.pw_gid)
    os.seteuid(user.pw_uid)
    check_readable(user)


def check_readable(user: pwd.struct_passwd) -> None:
    """See that the user, who we are by now, can read what is imported later on.

    :raise StartFailed: he cannot
    """
    for module in (os, twisted, taper):  # much is imported only when it is needed
        assert module.__file__ is not None
        if not os.access(module.__file__, os.R_OK, effective_ids=True):
            raise StartFailed(
                f"user {user.pw_name} cannot read {module.__file__}, so we cannot go on as "
                f"{user.pw_name}: install where he can read it, for example in /opt/twisted-taper",
                code=1013,
            )
