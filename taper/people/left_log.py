"""Where a command that may be left says all that it says, besides: a debug log of its own."""

from __future__ import annotations

import os
import pwd
import sys
import time
from typing import TYPE_CHECKING

from taper.people.telling import printable
from taper.run.debug_log import DebugLog
from taper.run.paths import make_private

if TYPE_CHECKING:
    from taper.people.site import Site


def keep_what_is_said(site: Site, command: str) -> str | None:
    """Let all that the command says go to a log as well, and go on there when nobody is left who
    reads it.

    :return: its path; None: none can be made, and stderr has said why
    """
    general = site.config.general
    log = DebugLog(_directory(site.paths.dbgdir), time.time(), f"taperctl-{command}")
    log.begin(sys.argv[1:])
    log.move_to(site.config.name, general.dumpuser)
    log.write_from_now_on_beside()

    def over(status: int) -> None:
        log.write(f"exit status {status}")
        log.close(general.debug_days, time.time())

    site.screen.may_be_left = True
    site.screen.heard = log.write
    site.screen.over = over
    return log.path


def may_be_left(log: str) -> str:
    """What a person is told of it.

    :param log: its path
    """
    return (
        "It may be left: it goes on when the terminal goes away. All that it says is in "
        f"{printable(log)}, and taperctl watch shows it."
    )


def _directory(usual: str) -> str:
    """Amanda's directory of debug logs; where it cannot be used, as there is no Amanda, the user's
    own for such things."""
    try:
        make_private(os.path.join(usual, "server"))
    except OSError:
        home = pwd.getpwuid(os.geteuid()).pw_dir
        return os.path.join(home, ".local", "state", "taper")
    return usual
