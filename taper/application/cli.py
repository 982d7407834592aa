"""``amdirecttar``: the command that Amanda's client runs."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from types import FrameType

from protocols.application import COMMANDS, SUPPORT, Request, one_line, parse_request
from taper import __version__
from taper.application.errors import ApplicationError, reason
from taper.installation import installation
from taper.last_words import guarded, sentence, tell

DESCRIPTION = """\
GNU tar as an application of Amanda's client, whose dumps go by DirectTCP straight to the tape
server. The client starts it, and passes the properties of the dumptype's application as options;
for people there is "taperctl application".
"""
HELP = f"""\
USAGE: amdirecttar {{{"|".join(COMMANDS)}}} [OPTION]...
       amdirecttar --help
       amdirecttar --version

{DESCRIPTION}"""


def main() -> None:
    """Run the command line, and end with its exit status."""
    sys.exit(guarded("amdirecttar", lambda: run(sys.argv[1:])))


def run(arguments: Sequence[str]) -> int:
    """Do one command. :return: the exit status; 1: it failed, and the reason was told"""
    if "--version" in arguments[:1]:
        from taper.version import answer

        print(answer("amdirecttar", __version__), end="")
        return 0
    if "--help" in arguments[:1]:
        print(HELP, end="")
        return 0
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _stop)
    try:
        try:
            return _run(parse_request(arguments, installation()))
        except OSError as error:
            raise ApplicationError(f"failed: {reason(error)}") from error
    except (ApplicationError, ValueError) as error:
        _tell(str(error), arguments[:1], error)
        return 1
    except Exception as error:
        _tell(sentence(error), arguments[:1], error)
        return 1


def _stop(number: int, _frame: FrameType | None) -> None:
    raise ApplicationError(f"stopped by {signal.Signals(number).name}", code=4011)


def _tell(text: str, command: Sequence[str], fault: BaseException) -> None:
    """Say what failed where it is read for this command, even if the rest was not understood. Its
    code is for people, and in nothing that Amanda's client reads."""
    if command == ["backup"]:
        from taper.application.messages import Messages

        try:
            Messages().error(text)
        except OSError as error:
            tell("amdirecttar", f"{text}; and no message goes out: {reason(error)}", fault)
    elif command in (["estimate"], ["selfcheck"]):
        print(f"ERROR {one_line(text)}", flush=True)
    else:
        tell("amdirecttar", text, fault)


def _run(request: Request) -> int:
    # each command imports only its own
    if request.command == "support":
        print("\n".join(SUPPORT))
    elif request.command == "selfcheck":
        from taper.application.selfcheck import selfcheck

        selfcheck(request)
    elif request.command == "estimate":
        from taper.application.estimate import estimate

        estimate(request)
    elif request.command == "backup":
        from taper.application.backup import backup
        from taper.application.messages import Messages

        backup(request, Messages())
    else:
        from taper.application import restore

        {
            "restore": restore.restore,
            "validate": restore.validate,
            "index": restore.index,
        }[request.command](request)
    return 0


if __name__ == "__main__":
    main()
