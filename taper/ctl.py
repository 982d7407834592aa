"""``taperctl``: the command for people."""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from taper import __version__
from taper.last_words import guarded, tell
from taper.people.commands import COMMANDS, add_commands
from taper.run.late import execute_when_used

if TYPE_CHECKING:
    from taper.install import Wanted

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
the name taper.amanda (where there is dpkg by dpkg-divert, so that upgrades of
Amanda respect it). Where Amanda is and keeps things, and who the dump user is,
Amanda's amgetconf is asked; our taper reads it at every start. Before that it
is checked that the dump user can run this installation. Needs root.
"taperctl uninstall" goes back. With --recovery the same is done with
amidxtaped, which Amanda's amandad starts for amrecover."""

COMPLETION = """\
Prints a script for a shell, which lets it complete the command lines of our
programs: commands, options, and the names that a configuration has. The script
asks this installation. For the shell that runs now:

  bash  source <(taperctl completion bash)
  zsh   source <(taperctl completion zsh)
  fish  taperctl completion fish | source

For all to come, put that into its start file."""

MANUAL = """\
Writes the manual pages of our programs, made of the same texts as --help, below
a directory: man1/taperctl.1, man8/taper.8, man8/amdirecttar.8 and
man8/taper-recovery.8."""


EXPLAIN = """\
Every error of ours has a code. This tells what it means, where it comes from and what to do; the
same stands in docs/errors.md. Without a code, all are listed."""


def main() -> None:
    """Run the command line, and end with its exit status."""
    command = COMMANDS.get(sys.argv[1]) if len(sys.argv) > 1 else None
    if command is not None:
        # what a start makes is not garbage; collected is from the moment when the command begins
        gc.disable()
        execute_when_used()
    if command is not None and command.plugin:
        from taper.people.plugin import Parser, unknown

        sys.exit(guarded("taperctl", lambda: _run(command.name, Parser), fail=unknown))
    sys.exit(guarded("taperctl", lambda: _run(None if command is None else command.name)))


def _run(only: str | None, kind: type[argparse.ArgumentParser] = argparse.ArgumentParser) -> int:
    try:
        options = _parser(kind, only).parse_args()
        run: Callable[[argparse.Namespace], int] = options.run
        return run(options)
    except KeyboardInterrupt:
        return 130


class _Version(argparse.Action):
    """Tells the version; only who asks for it needs Amanda's."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from taper.version import answer

        sys.stdout.write(answer("taperctl", __version__))
        parser.exit()


def _parser(
    kind: type[argparse.ArgumentParser] = argparse.ArgumentParser, only: str | None = None
) -> argparse.ArgumentParser:
    """:param only: the one command for people that is called: no other need be known then"""
    parser = kind(
        prog="taperctl",
        description="Try taper, put it in Amanda's place, and see what it has written.",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="tell the version, and end")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    if only is not None:
        add_commands(commands, _people, [COMMANDS[only]])
        return parser

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
            help="the taper that Amanda's driver starts (default: Amanda is asked)",
        )
        command.add_argument(
            "--recovery",
            action="store_true",
            help="not the taper but, beside it, what serves amrecover (amidxtaped)",
        )
        _add_amgetconf(command)
        command.set_defaults(run=run)
    for command in (install, status):
        command.add_argument(
            "--user", help="the dump user, who runs it (default: the one Amanda is built for)"
        )
    install.add_argument(
        "--daemon",
        metavar="unix:PATH",
        help='let the daemon at this socket serve Amanda\'s driver where it can ("none": no more)',
    )
    _add_application(commands)
    explain = commands.add_parser(
        "explain",
        help="say what the code of an error means, and what to do",
        description=EXPLAIN,
    )
    explain.add_argument("codes", metavar="CODE", nargs="*", help="as TAPER-1001, or 1001")
    explain.set_defaults(run=_explain)
    add_commands(commands, _people, COMMANDS.values())
    _add_usage(commands, lambda: parser)
    return parser


def _add_amgetconf(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--amgetconf",
        metavar="PATH",
        help="the program of the Amanda to work for, which is asked where it keeps things "
        "(default: the first one in PATH)",
    )


def _add_application(commands: Any) -> None:
    application = commands.add_parser(
        "application", help="offer amdirecttar to Amanda's client, or take it back"
    )
    application.add_argument(
        "action",
        choices=("install", "uninstall", "status"),
        help="put it there, take it away, or say whether it is there",
    )
    application.add_argument(
        "--directory",
        metavar="DIR",
        help="where the client looks for applications (default: Amanda is asked)",
    )
    _add_amgetconf(application)
    application.set_defaults(run=_application)


def _add_usage(commands: Any, whole: Callable[[], argparse.ArgumentParser]) -> None:
    """What tells how all of it is called.

    :param whole: gives the parser that knows all commands
    """
    completion = commands.add_parser(
        "completion",
        help="print a script that lets a shell complete command lines",
        description=COMPLETION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    completion.add_argument("shell", choices=("bash", "zsh", "fish"), help="which shell reads it")
    completion.add_argument(
        "--taperctl", metavar="PATH", help="the program that it asks (default: this one)"
    )
    completion.set_defaults(run=_completion)
    manual = commands.add_parser("manual", help="write the manual pages", description=MANUAL)
    manual.add_argument("directory", metavar="DIR", help="where to, such as /usr/local/share/man")
    manual.set_defaults(run=lambda options: _manual(whole(), options))
    complete = commands.add_parser("complete")  # for the scripts; people are told nothing of it
    complete.add_argument("line", nargs=argparse.REMAINDER)
    complete.set_defaults(run=lambda options: _complete(whole(), options))


def _completion(options: argparse.Namespace) -> int:
    from taper.usage.shells import script

    ours = [sys.executable, "-I", "-m", "taper.ctl"]
    sys.stdout.write(script(options.shell, [options.taperctl] if options.taperctl else ours))
    return 0


def _complete(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    from taper.usage.asked import answer

    for line in answer(parser, options.line):
        print(line)
    return 0


def _manual(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    from taper.usage.manual import write_pages

    for path in write_pages(parser, options.directory):
        print(path)
    return 0


def _people(options: argparse.Namespace) -> int:
    from taper.people.running import run

    return run(options)


def _explain(options: argparse.Namespace) -> int:
    from taper.people.explain import explain

    return explain(options.codes)


def _demo(options: argparse.Namespace) -> int:
    from taper.demo.play import demo

    return demo(options.source, options.keep)


def _install(options: argparse.Namespace) -> int:
    from taper.install import install, run

    return run(lambda say: install(_wanted(options), say))


def _uninstall(options: argparse.Namespace) -> int:
    from taper.install import run, uninstall

    return run(lambda say: uninstall(_wanted(options), say))


def _status(options: argparse.Namespace) -> int:
    from taper.install import run, status

    return run(lambda say: status(_wanted(options), say))


def _wanted(options: argparse.Namespace) -> Wanted:
    from taper.install import RECOVERY, TAPER, Wanted

    names = ("taper", "user", "amgetconf", "daemon")
    program = RECOVERY if getattr(options, "recovery", False) else TAPER
    return Wanted(program=program, **{name: getattr(options, name, None) for name in names})


def _application(options: argparse.Namespace) -> int:
    from taper.application.link import LinkRefused, check, link, unlink
    from taper.install import Refused, application_directory, record_for_application
    from taper.installation import Unusable

    wanted = _wanted(options)
    try:
        directory = options.directory or application_directory(wanted)
        if options.action == "install":
            if options.directory is None:
                record_for_application(wanted)
            print(f"{link(directory)} runs this installation's application now.")
        elif options.action == "uninstall":
            gone = unlink(directory)
            print("amdirecttar is gone." if gone else f"No amdirecttar of ours is in {directory}.")
        else:
            there = check(directory)
            print(f"amdirecttar is {'' if there else 'not '}in {directory}.")
    except (LinkRefused, Refused, Unusable, OSError) as fault:
        return tell("taperctl", str(fault), fault)
    return 0


if __name__ == "__main__":
    main()
