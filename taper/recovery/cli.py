"""``taper-recovery``: started by amandad in the place of ``amidxtaped``."""

from __future__ import annotations

import os
import sys

from taper.last_words import guarded, tell

PROGRAM = "taper-recovery"
DESCRIPTION = f"""\
{PROGRAM} is started by Amanda's amandad in the place of amidxtaped, for amrecover:
"taperctl install --recovery" puts it there. It serves recoveries from every device and changer
of the taper's. What it does not serve is left to Amanda's own program, which is kept beside it.
"""


def main() -> None:
    """Run the command line, and end with its exit status."""
    sys.exit(guarded(PROGRAM, lambda: run(sys.argv[1:])))


def run(arguments: list[str]) -> int:
    """Serve one recovery. :return: the exit status"""
    stock = None
    if arguments[:1] == ["--amanda"] and len(arguments) > 1:
        stock, arguments = arguments[1], arguments[2:]
    if arguments[:1] == ["--version"]:
        from taper.version import answer

        print(answer(PROGRAM), end="")
        return 0
    if arguments[:1] == ["--help"]:
        print(DESCRIPTION, end="")
        return 0
    if len(arguments) < 2 or arguments[0] != "amandad":
        return _leave_to(stock, arguments)
    from taper.recovery.serving import serve

    return serve(PROGRAM, arguments[1])


def _leave_to(stock: str | None, arguments: list[str]) -> int:
    """The conversation of old clients, over inetd, is Amanda's own business.

    :param stock: Amanda's own program; None: where ``taperctl install --recovery`` puts it
    """
    if stock is None:
        from taper.installation import installation

        stock = f"{installation().amidxtaped}.amanda"
    try:
        os.execv(stock, [stock, *arguments])
    except OSError as fault:
        return tell(
            PROGRAM,
            f"only amandad may start this program, and Amanda's own cannot be run: {stock}: "
            f"{fault.strerror}",
            fault,
        )


if __name__ == "__main__":
    main()
