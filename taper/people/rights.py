"""Whose rights a command has that root may start: root writes the files of people, and all else is
done as the dump user."""

from __future__ import annotations

import contextlib
import os
import pwd
from collections.abc import Iterator, Mapping
from typing import Any

from taper.last_words import CannotStart
from taper.run.as_root import act_as, look_up
from taper.run.setup import check_user

_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"


class Rights:
    """The user that we are, and those that programs are run as.

    :ivar root: we were started as root, so owners can be restored.
    """

    def __init__(self, dumpuser: str) -> None:
        """:raise CannotStart: we are neither root nor the dump user"""
        self.root = os.getuid() == 0
        if not self.root:
            check_user(dumpuser)
        self._user: pwd.struct_passwd = look_up(dumpuser)

    def settle(self) -> None:
        """Be the dump user from now on; :meth:`as_root` goes back for a moment.

        :raise CannotStart: he could not run us
        """
        if self.root and self._user.pw_uid:
            act_as(self._user)

    @contextlib.contextmanager
    def as_root(self) -> Iterator[None]:
        """Root's rights, if we have them; not while a thread of ours is at work."""
        if not (self.root and self._user.pw_uid):
            yield
            return
        os.seteuid(0)
        os.setegid(0)
        try:
            yield
        finally:
            os.setegid(self._user.pw_gid)
            os.seteuid(self._user.pw_uid)

    @property
    def of_restoring(self) -> Mapping[str, Any]:
        """For Popen: what writes files."""
        return {"user": 0, "group": 0} if self.root else {}

    @property
    def of_filters(self) -> Mapping[str, Any]:
        """For Popen: what decrypts or decompresses, which finds its keys at the dump user's."""
        user = self._user
        environment = {
            "PATH": _PATH,
            "HOME": user.pw_dir,
            "LOGNAME": user.pw_name,
            "USER": user.pw_name,
            "LC_ALL": "C",
        }
        whose = {"user": user.pw_uid, "group": user.pw_gid} if self.root else {}
        return {**whose, "env": environment}


def make_target(path: str, rights: Rights, *, overwrite: bool) -> bool:
    """See that the directory is there.

    :return: it was empty
    :raise CannotStart: it cannot be used
    """
    try:
        with rights.as_root():
            os.makedirs(path, mode=0o755, exist_ok=True)
            empty = not os.listdir(path)
            writable = os.access(path, os.W_OK | os.X_OK, effective_ids=True)
    except OSError as fault:
        raise CannotStart(f"cannot restore into {path}: {fault.strerror}") from fault
    if not writable:
        raise not_writable(path)
    if not empty and not overwrite:
        raise not_empty(path)
    return empty


def not_writable(path: str) -> CannotStart:
    """A directory that files cannot be restored into."""
    return CannotStart(f"cannot restore into {path}: it is not writable", code=8001)


def not_empty(path: str) -> CannotStart:
    """A directory that has something that nobody has said may be restored over."""
    return CannotStart(
        f"{path} is not empty; name another directory, or say --overwrite to restore over what is "
        "there",
        code=8013,
    )
