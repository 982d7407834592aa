"""The command line of one program."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from attrs import frozen

KINDS = {"DIR": "directory", "PATH": "file", "FILE": "file"}
"""What a value is that no declaration tells of, by what it is called."""


@frozen(kw_only=True)
class Word:
    """One argument.

    :ivar names: options; none: a value that has its place
    :ivar metavar: what its value is called; "": it is a switch
    :ivar repeat: ``*`` or ``?``: how often a value that has its place may stand there; ``append``:
        an option may be given several times
    :ivar kind: as ``Argument.kind`` of :mod:`taper.people.declaring`, or ``file``
    :ivar choices: the only values that are understood; none: others are
    """

    help: str
    names: tuple[str, ...] = ()
    metavar: str = ""
    repeat: str = ""
    kind: str = ""
    choices: tuple[str, ...] = ()


@frozen(kw_only=True)
class Program:
    """A program, or one of its commands.

    :ivar help: what it does, in a clause
    :ivar description: the same at length; paragraphs are divided by empty lines
    :ivar exits: exit statuses, and what they mean; none: those of what it is a command of
    """

    name: str
    help: str
    description: str = ""
    words: tuple[Word, ...] = ()
    commands: tuple[Program, ...] = ()
    exits: tuple[tuple[int, str], ...] = ()

    @property
    def options(self) -> tuple[Word, ...]:
        return tuple(word for word in self.words if word.names)

    @property
    def places(self) -> tuple[Word, ...]:
        """The values that have their place, in their order."""
        return tuple(word for word in self.words if not word.names)


def of_parser(name: str, help: str, parser: argparse.ArgumentParser) -> Program:
    """What a parser understands.

    :param help: that was told to the parser of its parent
    """
    words: list[Word] = []
    commands: list[Program] = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            commands += _commands(action)
        elif action.help != argparse.SUPPRESS:
            words.append(_word(parser, action))
    return Program(
        name=name,
        help=help,
        description=parser.description or "",
        words=tuple(words),
        commands=tuple(commands),
    )


def _commands(action: argparse._SubParsersAction[argparse.ArgumentParser]) -> Iterator[Program]:
    """Those that have a help; what has none is not for people."""
    for told in action._choices_actions:
        yield of_parser(told.dest, told.help or "", action.choices[told.dest])


def _word(parser: argparse.ArgumentParser, action: argparse.Action) -> Word:
    metavar = ""
    if action.nargs != 0:
        metavar = str(action.metavar or action.dest.upper())
    return Word(
        help=parser._get_formatter()._expand_help(action) if action.help else "",
        names=tuple(action.option_strings),
        metavar=metavar,
        repeat=_repeat(action),
        kind=getattr(action, "kind", "") or KINDS.get(metavar, ""),
        choices=tuple(str(choice) for choice in action.choices or ()),
    )


def _repeat(action: argparse.Action) -> str:
    if isinstance(action, argparse._AppendAction):
        return "append"
    return action.nargs if isinstance(action.nargs, str) else ""
