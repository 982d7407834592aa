"""Which programs of Amanda's ours can stand in for."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from taper.install.place import State


@frozen(kw_only=True)
class Program:
    """A program of ours, and which of Amanda's it stands in for.

    :ivar name: Amanda's
    :ivar module: what the launcher runs
    :ivar proof: imports all that a real start does
    :ivar kept: name of the value of our record that tells where Amanda's own is
    :ivar option: of taperctl, for it
    :ivar leaves: it leaves something to Amanda's own, so it is told where that is
    """

    name: str
    module: str
    proof: str
    kept: str
    option: str = ""
    leaves: bool = False

    def command(self, aside: str) -> str:
        """What the launcher lets Python run.

        :param aside: where Amanda's own is kept
        """
        return f"{self.module} --amanda {shlex.quote(aside)}" if self.leaves else self.module

    def words(self, state: State) -> str:
        """What is at its place, for people."""
        return state.value.format(name=self.name, option=self.option)


TAPER = Program(name="taper", module="taper.cli", proof="taper.run.stdio", kept="kept")
"""What Amanda's driver starts."""

RECOVERY = Program(
    name="amidxtaped",
    module="taper.recovery.cli",
    proof="taper.recovery.session",
    kept="kept_amidxtaped",
    option=" --recovery",
    leaves=True,
)
"""What Amanda's amandad starts for amrecover."""

PROGRAMS = (TAPER, RECOVERY)
