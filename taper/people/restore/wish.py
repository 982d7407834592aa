"""What a person wants restored."""

from __future__ import annotations

import argparse
import shlex

from protocols.records import Record
from taper.last_words import CannotStart
from taper.people.choosing import drives_of
from taper.people.restore.finding import plain_path
from taper.people.restore.plan import latest
from taper.people.restore.target import STDOUT, FarTarget, far_target

USUAL_DRIVES = 2
"""One that is read, and one in which the next volume is loaded meanwhile."""


class Wish(Record, kw_only=True):
    """What the command line says.

    :ivar until: the last datestamp that counts; None: any.
    :ivar to: a directory, as it was said; ``-``: standard output.
    :ivar far: the directory, where it is one of another host.
    :ivar ssh: the program that reaches it, with options.
    :ivar level: only this one.
    :ivar paths: below the disk's directory; none: everything.
    :ivar by_index: dumps that have none of the paths by their indexes are not read.
    :ivar storage: of the copies that will do; None: any.
    :ivar partial: go on without volumes that are not there.
    :ivar overwrite: the directory need not be empty.
    :ivar trust: programs that may be run.
    :ivar drives: that may be used at a time.
    """

    host: str
    disk: str
    to: str
    far: FarTarget | None = None
    ssh: tuple[str, ...] = ("ssh",)
    until: str | None = None
    level: int | None = None
    paths: tuple[str, ...] = ()
    by_index: bool = True
    storage: str | None = None
    dry_run: bool = False
    partial: bool = False
    overwrite: bool = False
    trust: tuple[str, ...] = ()
    drives: int = USUAL_DRIVES

    @property
    def to_stdout(self) -> bool:
        return self.to == STDOUT


def read_wish(options: argparse.Namespace) -> Wish:
    """Make sense of the parsed options.

    :raise CannotStart: they make none
    """
    try:
        paths = tuple(dict.fromkeys(plain_path(path) for path in options.path))
        until = None if options.date is None else latest(options.date)
        far = None if options.to is None else far_target(options.to)
        ssh = _ssh_words(options.ssh)
    except ValueError as fault:
        raise CannotStart(str(fault), code=1001) from fault
    if options.to is None:
        raise CannotStart(
            "--to is missing: a directory to restore into, HOST:DIR for one of another host, or - "
            "for standard output",
            code=1001,
        )
    if options.to == STDOUT and paths:
        raise CannotStart(
            "--path needs a directory to restore into: it does not go with --to -", code=1001
        )
    if options.ssh is not None and far is None:
        raise CannotStart("--ssh needs a directory of another host: --to HOST:DIR", code=1001)
    if options.level is not None and not 0 <= options.level < 1000:
        raise CannotStart(f"--level {options.level}: 0 to 999 expected", code=1001)
    return Wish(
        host=options.host,
        disk=options.disk,
        to=options.to,
        far=far,
        ssh=ssh,
        until=until,
        level=options.level,
        paths=paths,
        by_index=not options.no_index,
        storage=options.storage,
        dry_run=options.dry_run,
        partial=options.partial,
        overwrite=options.overwrite,
        trust=tuple(options.trust),
        drives=drives_of(options.drives, USUAL_DRIVES),
    )


def _ssh_words(text: str | None) -> tuple[str, ...]:
    """``ssh -p 2222`` as words, without a shell.

    :raise ValueError: it has none
    """
    if text is None:
        return ("ssh",)
    try:
        words = tuple(shlex.split(text))
    except ValueError as fault:
        raise ValueError(f"--ssh {text}: {fault}") from fault
    if not words or not words[0]:
        raise ValueError("--ssh names no program: 'ssh -p 2222', for example, is expected")
    return words
