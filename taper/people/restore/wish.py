"""What a person wants restored."""

from __future__ import annotations

import argparse

from attrs import frozen

from taper.last_words import CannotStart
from taper.people.choosing import drives_of
from taper.people.restore.finding import plain_path
from taper.people.restore.plan import latest

USUAL_DRIVES = 2
"""One that is read, and one in which the next volume is loaded meanwhile."""


@frozen(kw_only=True)
class Wish:
    """What the command line says.

    :ivar until: the last datestamp that counts; None: any.
    :ivar to: a directory; ``-``: standard output.
    :ivar level: only this one.
    :ivar paths: below the disk's directory; none: everything.
    :ivar storage: of the copies that will do; None: any.
    :ivar partial: go on without volumes that are not there.
    :ivar overwrite: the directory need not be empty.
    :ivar trust: programs that may be run.
    :ivar drives: that may be used at a time.
    """

    host: str
    disk: str
    to: str
    until: str | None = None
    level: int | None = None
    paths: tuple[str, ...] = ()
    storage: str | None = None
    dry_run: bool = False
    partial: bool = False
    overwrite: bool = False
    trust: tuple[str, ...] = ()
    drives: int = USUAL_DRIVES


def read_wish(options: argparse.Namespace) -> Wish:
    """Make sense of the parsed options.

    :raise CannotStart: they make none
    """
    try:
        paths = tuple(dict.fromkeys(plain_path(path) for path in options.path))
        until = None if options.date is None else latest(options.date)
    except ValueError as fault:
        raise CannotStart(str(fault), code=1001) from fault
    if options.to is None:
        raise CannotStart(
            "--to is missing: a directory to restore into, or - for standard output", code=1001
        )
    if options.to == "-" and paths:
        raise CannotStart(
            "--path needs a directory to restore into: it does not go with --to -", code=1001
        )
    if options.level is not None and not 0 <= options.level < 1000:
        raise CannotStart(f"--level {options.level}: 0 to 999 expected", code=1001)
    return Wish(
        host=options.host,
        disk=options.disk,
        to=options.to,
        until=until,
        level=options.level,
        paths=paths,
        storage=options.storage,
        dry_run=options.dry_run,
        partial=options.partial,
        overwrite=options.overwrite,
        trust=tuple(options.trust),
        drives=drives_of(options.drives, USUAL_DRIVES),
    )
