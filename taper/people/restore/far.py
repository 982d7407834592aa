"""Another host as the place where dumps are unpacked, by the ``ssh`` of OpenSSH.

Each command is a connection of its own. What is said there counts, not how ``ssh`` ends: only a
program that is told to have ended well, behind all that it was given, has unpacked a dump.
"""

from __future__ import annotations

import os
import pwd
import time
from collections.abc import Callable, Sequence
from threading import Condition
from typing import TYPE_CHECKING, Any

from protocols.errorcode import coded
from taper.gnutar import USUAL
from taper.last_words import CannotStart
from taper.people.restore import far_words
from taper.people.restore.unpack import (
    MOST_SAID,
    Program,
    Refused,
    how_ended,
    read_complaints,
)
from taper.people.rights import not_empty, not_writable
from taper.recovery.errors import RecoveryFailed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from devices.interfaces import ILane
    from taper.people.restore.far_words import Progress
    from taper.people.restore.target import FarTarget
    from taper.people.restore.unpack import Taker
    from taper.people.rights import Rights

ANSWER_SECONDS = 120.0
"""For which a host may not answer, the time to connect and to log in included."""
_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"
_KEPT = ("SSH_AUTH_SOCK", "KRB5CCNAME")
"""Of the environment: who signs in without being asked."""


class LinkFailed(RecoveryFailed):
    """The other host was not reached, or not to the end."""

    taper_code = 7011


class Unreachable(CannotStart):
    """The same, before anything was begun."""

    taper_code = 7011


class Unable(CannotStart):
    """The other host cannot do its part."""

    taper_code = 7012


class Connection:
    """An ``ssh`` that runs one command."""

    def __init__(self, host: str, words: Sequence[str], surroundings: Mapping[str, Any]) -> None:
        """:raise CannotStart: ssh cannot be run"""
        self.host = host
        self._changed = Condition()
        self._heard = bytearray()
        self._over = False
        self.ssh = Program(words, surroundings, self._hear)

    def _hear(self, piece: bytes) -> None:
        with self._changed:
            self._heard += piece[: MOST_SAID - len(self._heard)]
            self._over = self._over or not piece
            self._changed.notify_all()

    @property
    def heard(self) -> bytes:
        """What was said on standard output so far."""
        with self._changed:
            return bytes(self._heard)

    def wait_for(self, answered: Callable[[bytes], object]) -> bool:
        """Wait until something is said there, or nothing more will be; blocks.

        :param answered: whether what was heard will do
        :return: it was said
        :raise LinkFailed: the host has not answered in time, or at too great a length
        """
        until = time.monotonic() + ANSWER_SECONDS
        with self._changed:
            while not answered(bytes(self._heard)):
                left = until - time.monotonic()
                if self._over:
                    return False
                if len(self._heard) == MOST_SAID:
                    raise LinkFailed(f"{self.host} says other things than it is asked for")
                if left <= 0:
                    raise LinkFailed(f"{self.host} has not answered within {ANSWER_SECONDS:g} s")
                self._changed.wait(left)
        return True

    @property
    def said(self) -> bytes:
        """What was said on the error output, since a command of ours began."""
        return far_words.own(bytes(self.ssh.said))

    def why(self) -> str:
        """What is known of why it ended too soon, when it has ended."""
        return far_words.brief(self.said) or f"ssh ended with {self.how}"

    @property
    def how(self) -> str:
        return how_ended(self.ssh.status)


class Far:
    """A directory of another host."""

    to_the_end = False  # what is not taken is not to be sent for hours

    def __init__(self, target: FarTarget, ssh: Sequence[str], rights: Rights) -> None:
        """:param ssh: the program, with options that a person gives it"""
        self.directory = target.directory
        self.host = target.host
        self.lost = False
        self.restores_owners = False
        self._ssh = ssh
        self._rights = rights
        self._tar: str | None = None
        self._asking: Connection | None = None
        self._left = False

    async def prepare(self, lane: ILane, *, overwrite: bool) -> bool:
        return await lane.call(self._prepare, overwrite)

    def _prepare(self, overwrite: bool) -> bool:
        where = f"{self.host}:{self.directory}"
        asking = self._asking = self._connect(far_words.preparing(self.directory, USUAL))
        if self._left:
            asking.ssh.kill()
        try:
            os.close(asking.ssh.descriptor)
            asking.wait_for(far_words.read_ready)
        except LinkFailed as fault:
            asking.ssh.kill()
            raise Unreachable(str(fault)) from fault
        finally:
            asking.ssh.wait(_TAIL_SECONDS)
        ready = far_words.read_ready(asking.heard)
        if ready is None:
            raise self._no_answer(asking)
        if ready.state == "missing":
            raise Unable(f"cannot restore into {where}: {asking.why()}")
        if ready.state == "closed":
            raise not_writable(where)
        if ready.state == "full" and not overwrite:
            raise not_empty(where)
        self.restores_owners = ready.uid == 0
        self._tar = ready.tar if ready.tar in USUAL else None
        return ready.state == "empty"

    def _no_answer(self, asking: Connection) -> CannotStart:
        if asking.ssh.status == _SSH_FAILED:
            return Unreachable(f"ssh does not reach {self.host}: {asking.why()}")
        said = far_words.brief(asking.said or asking.heard) or "it says nothing"
        return Unable(f"{self.host} does not do what it is told by ssh ({asking.how}): {said}")

    def tar(self) -> str:
        if self._tar is None:
            raise Refused(f"no GNU tar is on {self.host}, at {', '.join(USUAL)}")
        return self._tar

    def run(self, command: Sequence[str]) -> Taker:
        return FarProgram(self, command[0], self._connect(far_words.unpacking(command)))

    def leave(self) -> None:
        self._left = True
        if self._asking is not None:
            self._asking.ssh.kill()

    def _connect(self, command: str) -> Connection:
        words = [*self._ssh, *far_words.OPTIONS, "--", self.host, command]
        return Connection(self.host, words, self._surroundings())

    def _surroundings(self) -> Mapping[str, Any]:
        """ssh is the one of whoever has started us: his keys, and the hosts that he knows."""
        user = pwd.getpwuid(os.getuid())
        environment = {
            "PATH": _PATH,
            "HOME": user.pw_dir,
            "LOGNAME": user.pw_name,
            "USER": user.pw_name,
            "SHELL": "/bin/sh",  # which begins what stands between us and the host, if anything
            "LC_ALL": "C",
            **{name: os.environ[name] for name in _KEPT if name in os.environ},
        }
        return {**self._rights.of_restoring, "env": environment}


_SSH_FAILED = 255
_TAIL_SECONDS = 10.0
"""After which an ssh is ended that has nothing to do any more."""


class FarProgram:
    """A program on another host that unpacks a dump."""

    def __init__(self, place: Far, program: str, connection: Connection) -> None:
        self.name = f"ssh to {place.host}"
        self.descriptor = connection.ssh.descriptor
        self._place = place
        self._program = program
        self._connection = connection

    @property
    def _progress(self) -> Progress:
        return far_words.read_progress(self._connection.heard)

    @property
    def lost(self) -> bool:
        return self._place.lost

    def begin(self) -> None:
        host = self._place.host

        def answered(heard: bytes) -> bool:
            progress = far_words.read_progress(heard)
            return progress.begun or progress.absent

        try:
            if not self._connection.wait_for(answered):
                self.wait(_TAIL_SECONDS)
                raise LinkFailed(f"ssh does not reach {host} any more: {self._connection.why()}")
        except LinkFailed:
            self._place.lost = True
            raise
        if self._progress.absent:
            raise Refused(f"{self._program} is not there on {host}, or cannot be run")

    def kill(self) -> None:
        self._connection.ssh.kill()

    def wait(self, seconds: float | None = None) -> None:
        self._connection.ssh.wait(seconds)
        if self._progress.status is None:
            self._place.lost = True

    def complaints(self, not_found: int = 0) -> list[str]:
        host, ssh, status = self._place.host, self._connection.ssh, self._progress.status
        if status is None:
            why = self._connection.why()
            text = f"the connection to {host} ended before it told that all is unpacked: {why}"
            return [coded(text, LinkFailed.taper_code)]
        if not status:
            if not ssh.status:
                return []
            text = f"ssh ended with {self._connection.how}, though all was unpacked on {host}"
            return [coded(text, LinkFailed.taper_code)]
        lines = read_complaints(self._connection.said, not_found)
        if lines == []:
            return []
        ended = f"{self._program.rpartition('/')[2]} on {host} ended with status {status}"
        return [*(lines or ()), coded(ended, Unable.taper_code)]
