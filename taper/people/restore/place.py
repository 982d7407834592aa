"""Where a dump is unpacked: on this host, or on another one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from taper.gnutar import USUAL, environment
from taper.people.restore.applications import tar_for
from taper.people.restore.far import Far
from taper.people.restore.unpack import Program, Refused
from taper.people.rights import make_target

if TYPE_CHECKING:
    from devices.interfaces import ILane
    from protocols.conf import Config
    from protocols.header import Header
    from taper.people.restore.unpack import Taker
    from taper.people.restore.wish import Wish
    from taper.people.rights import Rights


class Place(Protocol):
    """A directory that files are restored into.

    :ivar directory: for the programs there.
    :ivar restores_owners: who unpacks may give files to others.
    :ivar to_the_end: what is not taken there any more is read all the same, and compared.
    :ivar lost: nothing more can be done there.
    """

    directory: str
    to_the_end: bool

    @property
    def restores_owners(self) -> bool: ...

    @property
    def lost(self) -> bool: ...

    async def prepare(self, lane: ILane, *, overwrite: bool) -> bool:
        """See that the directory is there.

        :param lane: where that may block
        :return: it was empty
        :raise CannotStart: it cannot be used
        """

    def tar(self, config: Config, header: Header) -> str:
        """The path of the GNU tar there that unpacks a dump; blocks.

        :raise Refused: there is none
        """

    def run(self, command: Sequence[str]) -> Taker:
        """Let a program unpack a dump; blocks until it runs.

        :raise CannotStart: it cannot be run
        """

    def leave(self) -> None:
        """Let :meth:`prepare` end now. Any thread; safe to repeat."""


class Here:
    """A directory of this host."""

    to_the_end = True
    lost = False

    def __init__(self, directory: str, rights: Rights) -> None:
        self.directory = directory
        self._rights = rights

    @property
    def restores_owners(self) -> bool:
        return self._rights.root

    async def prepare(self, lane: ILane, *, overwrite: bool) -> bool:
        # not in the lane: it lends root's rights
        return make_target(self.directory, self._rights, overwrite=overwrite)

    def tar(self, config: Config, header: Header) -> str:
        found = tar_for(config, header)
        if found is None:
            raise Refused(f"no GNU tar is at {', '.join(USUAL)}")
        return found

    def run(self, command: Sequence[str]) -> Taker:
        return Program(command, {**self._rights.of_restoring, "env": environment()})

    def leave(self) -> None:
        """It takes no time."""


def place_of(wish: Wish, rights: Rights) -> Place | None:
    """Where files are to be restored; None: nowhere, as the dump goes to standard output."""
    if wish.to_stdout:
        return None
    if wish.far is None:
        return Here(wish.to, rights)
    return Far(wish.far, wish.ssh, rights)
