"""``taperctl``: the command for people."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from taper import __version__
from taper.last_words import guarded
from taper.version import answer

if TYPE_CHECKING:
    from taper.install import Program

DEMO = """\
Writes a real directory to small volumes by way of a real taper process,
restores it from them and compares every file. Needs GNU tar, no Amanda, no
root. All happens in a temporary directory that is deleted in the end.

exit status:
  0    every file was restored as it is in the source
  1    something failed
  3    the taper did all right, but files of the source changed meanwhile
  130  interrupted"""

INSTALL = """\
Puts this taper in the place of Amanda's own, which is kept beside it under
the name taper.amanda (by dpkg-divert, so that upgrades of Amanda respect it).
Before that it is checked that the dump user can run this installation. Needs
root. "taperctl uninstall" goes back. With --recovery the same is done with
amidxtaped, which Amanda's amandad starts for amrecover."""


def main() -> None:
    """Run the command line, and end with its exit status."""
    sys.exit(guarded("taperctl", _run))


def _run() -> int:
    options = _parser().parse_args()
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        return run(options)
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="taperctl",
        description="Try taper, or put it in Amanda's place.",
        formatter_class=argparse.RawDescriptionHelpFormatter,  # the version has two lines
    )
    version = answer("taperctl", __version__).rstrip()
    parser.add_argument("--version", action="version", version=version)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    demo = commands.add_parser(
        "demo",
        help="watch a real taper write, span and restore real files",
        description=DEMO,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    demo.add_argument("--source", metavar="DIR", help="what to dump (default: Python's library)")
    demo.add_argument(
        "--keep", metavar="DIR", help="a new or empty directory; keep everything in it"
    )
    demo.set_defaults(run=_demo)

    install = commands.add_parser(
        "install",
        help="put this taper in the place of Amanda's",
        description=INSTALL,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    uninstall = commands.add_parser("uninstall", help="give Amanda's own taper its place back")
    status = commands.add_parser("status", help="say which taper is in place")
    for command, run in ((install, _install), (uninstall, _uninstall), (status, _status)):
        command.add_argument(
            "--taper",
            metavar="PATH",
            default="/usr/lib/amanda/taper",
            help="the taper that Amanda's driver starts (default: %(default)s)",
        )
        command.add_argument(
            "--recovery",
            action="store_true",
            help="not the taper but, beside it, what serves amrecover (amidxtaped)",
        )
        command.set_defaults(run=run)
    for command in (install, status):
        command.add_argument(
            "--user", default="backup", help="the dump user, who runs it (default: %(default)s)"
        )
    _add_application(commands)
    return parser


def _add_application(commands: Any) -> None:
    application = commands.add_parser(
        "application", help="offer amdirecttar to Amanda's client, or take it back"
    )
    application.add_argument("action", choices=("install", "uninstall", "status"))
    application.add_argument(
        "--directory",
        metavar="DIR",
        default="/usr/lib/amanda/application",
        help="where the client looks for applications (default: %(default)s)",
    )
    application.set_defaults(run=_application)


def _demo(options: argparse.Namespace) -> int:
    from taper.demo.play import demo

    return demo(options.source, options.keep)


def _install(options: argparse.Namespace) -> int:
    from taper.install import install, run

    path, program = _program(options)
    return run(lambda say: install(path, options.user, say, program))


def _uninstall(options: argparse.Namespace) -> int:
    from taper.install import run, uninstall

    path, program = _program(options)
    return run(lambda say: uninstall(path, say, program))


def _status(options: argparse.Namespace) -> int:
    from taper.install import run, status

    path, program = _program(options)
    return run(lambda say: status(path, options.user, say, program))


def _program(options: argparse.Namespace) -> tuple[str, Program]:
    """Which of our programs is meant, and where its place is."""
    from taper.install import RECOVERY, TAPER

    if not options.recovery:
        return options.taper, TAPER
    return os.path.join(os.path.dirname(options.taper), RECOVERY.name), RECOVERY


def _application(options: argparse.Namespace) -> int:
    from taper.application.link import LinkRefused, check, link, unlink

    directory = options.directory
    try:
        if options.action == "install":
            print(f"{link(directory)} runs this installation's application now.")
        elif options.action == "uninstall":
            gone = unlink(directory)
            print("amdirecttar is gone." if gone else f"No amdirecttar of ours is in {directory}.")
        else:
            there = check(directory)
            print(f"amdirecttar is {'' if there else 'not '}in {directory}.")
    except (LinkRefused, OSError) as fault:
        print(f"taperctl: {fault}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    main()
