"""Our programs, from what their parsers are made of."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from attrs import evolve

from protocols.application import COMMANDS, OPTIONS, PROPERTIES
from taper.application import cli as amdirecttar_cli
from taper.people.commands import COMMANDS as PEOPLE
from taper.people.exits import MEANINGS, STATES, Exit, State
from taper.recovery import cli as recovery_cli
from taper.run.options import ARGUMENTS, DESCRIPTION
from taper.usage.program import KINDS, Program, Word, of_parser

NAMES = ("taperctl", "taper", "amdirecttar", "taper-recovery")

_HELP = Word(names=("--help",), help="show how it is called, and end")
_VERSION = Word(names=("--version",), help="tell the version, and end")
_EXITS = ((0, "all was done"), (1, "it could not be done, or not begun; the reason was told"))
_KINDS = {"CONFIG": "config", "--storage-name": "storage"}


def program(name: str, parser: argparse.ArgumentParser) -> Program:
    """The program of that name.

    :param name: one of :data:`NAMES`
    :param parser: taperctl's
    """
    if name == "taperctl":
        return _taperctl(parser)
    if name == "taper":
        return _taper()
    if name == "amdirecttar":
        return _amdirecttar()
    return Program(
        name=name,
        help="serve amrecover from the volumes of taper",
        description=recovery_cli.DESCRIPTION,
        words=(_HELP, _VERSION),
        exits=_EXITS,
    )


def _taperctl(parser: argparse.ArgumentParser) -> Program:
    found = of_parser("taperctl", "see, restore and verify what taper has written", parser)
    commands = (
        evolve(command, exits=_numbers(STATES))
        if command.name in PEOPLE and PEOPLE[command.name].plugin
        else command
        for command in found.commands
    )
    return evolve(found, commands=tuple(commands), exits=_numbers(MEANINGS))


def _numbers(texts: Mapping[Exit, str] | Mapping[State, str]) -> tuple[tuple[int, str], ...]:
    return tuple((int(number), text) for number, text in texts.items())


def _taper() -> Program:
    words = tuple(
        Word(
            names=(name,) if name.startswith("-") else (),
            metavar=value or name,
            help=help,
            repeat="append" if name == "-o" else "",
            kind=_KINDS.get(name) or KINDS.get(value, ""),
        )
        for name, value, help in ARGUMENTS
    )
    return Program(
        name="taper",
        help="the volume writer of the Amanda backup system",
        description=DESCRIPTION,
        words=(*words, _HELP, _VERSION),
        commands=(_tape_server(),),
        exits=(
            (0, "the conversation with the driver is over, however it went"),
            (1, "it could not begin, or go on; trace log and stderr say why"),
        ),
    )


def _tape_server() -> Program:
    from taper.tapeserver.service import ServerOptions

    words = tuple(
        Word(names=(f"--{name}",), metavar="FILE", help=str(help), kind="file")
        for name, _, _, help in ServerOptions.optParameters
    )
    return Program(
        name="ndmp-tape",
        help="serve vtapes and tapes to others by NDMP",
        description=ServerOptions.longdesc,
        words=(*words, _HELP, _VERSION),
    )


def _amdirecttar() -> Program:
    properties = dict.fromkeys(PROPERTIES, "a property of the dumptype's application")
    options = tuple(
        Word(
            names=(f"--{name}",),
            metavar="VALUE",
            help=help,
            repeat="append",
            kind="directory" if name in ("target", "directory") else "",
        )
        for name, help in {**OPTIONS, **properties}.items()
    )
    return Program(
        name="amdirecttar",
        help="GNU tar as an application of Amanda's client, by DirectTCP",
        description=amdirecttar_cli.DESCRIPTION,
        words=(_HELP, _VERSION),
        exits=_EXITS,
        commands=tuple(
            Program(name=name, help=help, words=options) for name, help in COMMANDS.items()
        ),
    )
