"""The path that Amanda starts, her driver or amandad, and what is there."""

from __future__ import annotations

import enum
import os
import shlex
import tempfile

from attrs import frozen

from protocols.installation import Installation
from taper.install.keeping import IKeeper, keeper_for
from taper.install.refused import Refused
from taper.install.standin import TAPER, Program

MARK = '# Put here by "taperctl install" of twisted-taper; "taperctl uninstall" takes it away.'
LAUNCHER = '#!/bin/sh\n{mark}\nexec {python} -I {command} "$@"\n'
_LONGEST_LAUNCHER = 1 << 16


class State(enum.Enum):
    """What is at the path that Amanda starts; for people by ``Program.words``."""

    STOCK = "Amanda's own {name}"
    OURS = "our {name}"
    HALF = "Amanda's own {name}, with an install or uninstall of ours cut short"
    OVERWRITTEN = (
        "Amanda's own {name}, put over ours by an upgrade of Amanda; "
        '"taperctl install{option}" puts ours back'
    )
    GAP = "nothing, though Amanda's own was put aside by us"
    MISSING = "nothing; is Amanda's server installed?"
    STRANGE = "neither Amanda's {name} nor ours as installed"


@frozen
class Place:
    """The path that Amanda starts, and what is there.

    :ivar program: which of ours has its place there
    :ivar aside: where Amanda's own program is kept
    :ivar keeper: who sees to it that it is
    :ivar kept: by us, or at least exactly as we do it
    :ivar launcher: text of our launcher at the path, if there is one
    :ivar remark: what is strange
    """

    program: Program
    path: str
    aside: str
    keeper: IKeeper
    kept: bool
    launcher: str | None
    state: State
    remark: str = ""

    @property
    def words(self) -> str:
        """What is there, for people."""
        return self.program.words(self.state)

    def refuse_strange(self) -> None:
        """Touch nothing that others have made."""
        if self.state is State.STRANGE:
            raise Refused(f"{self.path} is {self.words}: {self.remark}")

    def keep(self) -> None:
        """Let the keeper see to what is aside from now on."""
        self.keeper.keep(self.path, self.aside)

    def give_up(self) -> None:
        """Let the keeper do so no more."""
        self.keeper.give_up(self.path, self.aside)

    @property
    def command(self) -> str:
        """What the launcher runs."""
        assert self.launcher is not None
        return self.launcher.split("\n")[2].removeprefix("exec ").removesuffix(' "$@"')

    @property
    def runs(self) -> str:
        """The same for people, without the first words of ours that Python is told."""
        return self.command.partition(" -c ")[0]


def look_at(path: str, recorded: Installation | None, program: Program = TAPER) -> Place:
    """See what is there.

    :param recorded: by this installation of ours
    :param program: which of ours has its place there
    :raise Refused: this is not a path for us
    """
    if not os.path.isabs(path):
        raise Refused(f"{path} is not an absolute path")
    if os.path.islink(path):
        raise Refused(f"{path} is a symbolic link to {os.readlink(path)}; name the program itself")
    aside = f"{path}.amanda"
    keeper = keeper_for(recorded, program)
    kept, foreign = keeper.look(path, aside)
    launcher = launcher_text(path)
    state, remark = State.STRANGE, foreign
    if not foreign:
        state, remark = _judge(path, aside, keeper, kept, launcher is not None)
    return Place(program, path, aside, keeper, kept, launcher, state, remark)


def _judge(path: str, aside: str, keeper: IKeeper, kept: bool, ours: bool) -> tuple[State, str]:
    """The state, and a remark if that is strange."""
    if ours:
        if kept or not keeper.protects:
            return State.OURS, ""
        return State.STRANGE, "it is our launcher, but there is no diversion"
    if not os.path.exists(path):
        if kept:
            return State.GAP, ""
        if os.path.lexists(aside):
            return State.STRANGE, f"it is missing, but there is {aside}"
        return State.MISSING, ""
    if same_file(path, aside):
        return State.HALF, ""
    if os.path.lexists(aside):
        if kept and not keeper.protects:
            return State.OVERWRITTEN, ""
        return State.STRANGE, f"{aside} is there too, and is another program"
    if kept and keeper.protects:
        return State.STRANGE, f"it is diverted to {aside}, but is not our launcher"
    return State.STOCK, ""


def same_file(one: str, other: str) -> bool:
    return os.path.exists(one) and os.path.exists(other) and os.path.samefile(one, other)


def launcher_text(path: str) -> str | None:
    """Our launcher, if it is there."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            text = file.read(_LONGEST_LAUNCHER)
    except FileNotFoundError:
        return None
    return text if text.split("\n")[1:2] == [MARK] else None


def write_beside(path: str, text: str) -> str:
    """Write a launcher into the directory of ``path``, under a name of its own."""
    descriptor, name = tempfile.mkstemp(prefix=".taper.", dir=os.path.dirname(path))
    with open(descriptor, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)
        os.fchmod(descriptor, 0o755)
        file.flush()
        os.fsync(descriptor)
    return name


def interpreter(path: str, command: str) -> str:
    """The program that a launcher runs. :raise Refused: somebody else wrote it"""
    try:
        words = shlex.split(command)
    except ValueError:
        words = []
    if not words or not os.path.isabs(words[0]):
        raise Refused(f"{path} is not the launcher that was installed: it runs {command}")
    return words[0]
