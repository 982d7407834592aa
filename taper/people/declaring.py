"""How a command for people is declared: its arguments, its texts, and what runs it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from protocols.records import Record

if TYPE_CHECKING:
    import argparse
    from collections.abc import Awaitable, Callable

    from taper.people.telling import Answer


class Argument(Record, kw_only=True):
    """One argument of a command.

    :ivar names: options, which begin with ``-``; or the one name of a value that has its place.
    :ivar help: a clause, without a full stop.
    :ivar metavar: what a value is called; None: it is a switch, or its name says it.
    :ivar repeat: ``*`` or ``?``: how often a value that has its place may stand there; ``append``:
        an option may be given several times.
    :ivar kind: what a value is to completions: ``config``, ``label``, ``host``, ``disk``,
        ``host:disk``, ``storage``, ``slot``, ``directory``; "": anything.
    """

    names: tuple[str, ...]
    help: str
    metavar: str | None = None
    repeat: str | None = None
    type: type = str
    kind: str = ""

    @property
    def is_option(self) -> bool:
        return self.names[0].startswith("-")

    def add_to(self, parser: argparse.ArgumentParser) -> None:
        """Let a parser understand it."""
        settings: dict[str, Any] = {"help": self.help}
        if self.metavar is None and self.is_option:
            parser.add_argument(*self.names, action="store_true", **settings)
            return
        settings |= {"metavar": self.metavar, "type": self.type}
        if self.repeat == "append":
            settings |= {"action": "append", "default": []}
        elif self.repeat is not None:
            settings["nargs"] = self.repeat
        vars(parser.add_argument(*self.names, **settings))["kind"] = self.kind


class Command(Record, kw_only=True):
    """One command.

    :ivar help: what it does, in a clause.
    :ivar description: the same at length; paragraphs are divided by empty lines.
    :ivar run: ``module:function`` below this package; a coroutine of site, or of station, and
        options.
    :ivar arguments: besides those that every command has, in the order of the usage line.
    :ivar as_root: where root runs it, what it writes is root's; all else is the dump user's.
    :ivar configured: it works with a configuration; else naming one only limits what it shows.
    :ivar leavable: it goes on to its end when its terminal goes away.
    :ivar plugin: a monitoring system runs it: it ends as :mod:`taper.people.plugin` says.
    """

    name: str
    help: str
    description: str
    run: str
    arguments: tuple[Argument, ...] = ()
    as_root: bool = False
    configured: bool = True
    plugin: bool = False
    leavable: bool = False

    @property
    def all_arguments(self) -> tuple[Argument, ...]:
        if self.configured:
            return (CONFIG, *self.arguments, *EVERYWHERE, OVERRIDE)
        return (ANY_CONFIG, *self.arguments, *EVERYWHERE)

    def load(self) -> Callable[[Any, argparse.Namespace], Awaitable[Answer]]:
        """Import what runs it."""
        module, _, function = self.run.partition(":")
        found: Any = getattr(import_module(f"taper.people.{module}"), function)
        return found  # type: ignore[no-any-return]


CONFIG = Argument(
    names=("config",),
    metavar="CONFIG",
    help='name of a configuration of Amanda\'s; "." is the working directory',
    kind="config",
)
ANY_CONFIG = Argument(
    names=("config",),
    metavar="CONFIG",
    repeat="?",
    help="only what belongs to this configuration",
    kind="config",
)
EVERYWHERE = (
    Argument(names=("--json",), help="say it as one JSON object"),
    Argument(names=("--plain",), help="say it in lines, on a terminal too"),
)
OVERRIDE = Argument(
    names=("-o",),
    metavar="KEY=VALUE",
    repeat="append",
    help="replace one value of the configuration",
)
STORAGE = Argument(
    names=("--storage",),
    metavar="NAME",
    help="look at this storage alone (default: all that the configuration uses)",
    kind="storage",
)
