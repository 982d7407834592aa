"""Who sees to it that Amanda's own program stays where it was put aside.

With dpkg it is a diversion, which upgrades of Amanda respect. Elsewhere (Fedora, FreeBSD, built
from source) there is no such thing: an upgrade puts its program over ours. So it is recorded that
what is aside was put there by us, and ``taperctl status`` tells what has happened since.
"""

from __future__ import annotations

import subprocess

from zope.interface import Attribute, Interface, implementer

from protocols.installation import Installation
from taper.install.programs import find
from taper.install.record import evolve, write_record
from taper.install.refused import Refused
from taper.install.standin import TAPER, Program
from taper.installation import record_path

_DIVERT = "dpkg-divert"


class IKeeper(Interface):
    """One way to keep Amanda's own program."""

    protects: bool = Attribute("whether upgrades of Amanda go to where it is kept")

    def look(path: str, aside: str) -> tuple[bool, str]:
        """Whether the program of ``path`` is kept as ``aside``, by us; and what else was done with
        it, by somebody else."""

    def keep(path: str, aside: str) -> None:
        """Begin to. :raise Refused: it cannot be done"""

    def give_up(path: str, aside: str) -> None:
        """Cease to. :raise Refused: it cannot be done"""


def keeper_for(recorded: Installation | None, program: Program = TAPER) -> IKeeper:
    """How it is done on this machine."""
    divert = find(_DIVERT)
    return Recorded(recorded, program) if divert is None else Diversion(divert)


@implementer(IKeeper)
class Diversion:
    """By ``dpkg-divert``.

    :param program: its path
    """

    protects = True

    def __init__(self, program: str) -> None:
        self._program = program

    def look(self, path: str, aside: str) -> tuple[bool, str]:
        owner, truename = self._divert("--listpackage", path), self._divert("--truename", path)
        kept = owner == "LOCAL" and truename == aside
        if owner and not kept:
            return False, f"it is diverted to {truename} by {owner}"
        return kept, ""

    def keep(self, path: str, aside: str) -> None:
        self._divert("--quiet", "--local", "--no-rename", "--divert", aside, "--add", path)

    def give_up(self, path: str, aside: str) -> None:
        self._divert("--quiet", "--local", "--no-rename", "--divert", aside, "--remove", path)

    def _divert(self, *arguments: str) -> str:
        done = subprocess.run(
            [self._program, *arguments],
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
        )
        if done.returncode:
            raise Refused(f"{_DIVERT} {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout.strip()


@implementer(IKeeper)
class Recorded:
    """By its name alone, which our record of the installation has.

    :param recorded: the record; None: there is none
    :param program: which of Amanda's is kept; each has a value of its own in the record
    """

    protects = False

    def __init__(self, recorded: Installation | None, program: Program = TAPER) -> None:
        self._recorded = recorded
        self._name = program.kept

    def look(self, path: str, aside: str) -> tuple[bool, str]:
        return self._recorded is not None and self._kept(self._recorded) == aside, ""

    def keep(self, path: str, aside: str) -> None:
        self._write(aside)

    def give_up(self, path: str, aside: str) -> None:
        self._write("")

    def _write(self, kept: str) -> None:
        if self._recorded is not None and self._kept(self._recorded) != kept:
            self._recorded = evolve(self._recorded, **{self._name: kept})
            write_record(record_path(), self._recorded)

    def _kept(self, recorded: Installation) -> str:
        return recorded.values()[self._name]
