"""The command line of ``twistd taper``."""

from __future__ import annotations

import os
import sys
from typing import Any, ClassVar

from twisted.python.usage import Options as CommandLine
from twisted.python.usage import UsageError

from protocols.errorcode import WRONG_WORDS, coded
from taper.run.paths import paths_from
from taper.version import answer

STDIO = "stdio"
SYSTEMD = "systemd"

MOST_WAITING = 100
"""Drivers that may wait in turn, at most."""

UNSAFE = str.maketrans("/:\\", "___")


class TaperOptions(CommandLine):
    """Options of ``twistd taper``."""

    synopsis = "[options]"
    longdesc = "The volume writer of the Amanda backup system."
    optParameters: ClassVar = [
        [
            "config",
            "c",
            None,
            "name of the Amanda configuration for drivers that come by themselves (required with "
            "--driver stdio; without it only the taper that Amanda starts is served)",
        ],
        [
            "driver",
            "d",
            STDIO,
            "where the driver talks to us: stdio, an endpoint to listen on (unix:PATH, mtls:...), "
            "or systemd: the socket that it has opened for us",
        ],
        [
            "waiting",
            "w",
            0,
            "so many drivers may wait until the one that is served is done; others are refused",
            int,
        ],
        ["storage-name", "s", None, "the storage to serve; default: the configuration's first"],
        ["log-filename", "l", None, "the trace log; default: 'log' in the configuration's logdir"],
    ]

    optFlags: ClassVar = [
        [
            "keep-volume",
            "k",
            "between two drivers keep the volume that was written last loaded, its drive reserved",
        ],
    ]

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.overrides: list[str] = []

    def opt_override(self, text: str) -> None:
        """Replace one value of the configuration: KEY=VALUE"""
        if "=" not in text:
            raise UsageError(f"Must specify a value for {text}.")
        self.overrides.append(text)

    opt_o = opt_override

    def opt_version(self) -> None:
        """Print the version, and end."""
        sys.stdout.write(answer("taper"))
        sys.exit(0)

    def parseOptions(self, options: Any = None) -> None:
        """Read the command line; a wrong one ends the process with a failing status, which it does
        not where Twisted tells of it."""
        try:
            super().parseOptions(options)  # type: ignore[no-untyped-call]
        except UsageError as fault:
            sys.exit(coded(f"taper: {fault}\nTry: twistd taper --help", WRONG_WORDS))

    def postOptions(self) -> None:
        if not self["config"]:
            self._refuse_without_configuration()
        if not 0 <= self["waiting"] <= MOST_WAITING:
            raise UsageError(f"--waiting {self['waiting']}: expected 0 to {MOST_WAITING}")
        self._place_files()

    def _refuse_without_configuration(self) -> None:
        if self["driver"] == STDIO:
            raise UsageError("--config is required: the name of an Amanda configuration")
        for name in ("storage-name", "log-filename"):
            if self[name] is not None:
                raise UsageError(f"--{name} needs --config")
        if self.overrides:
            raise UsageError("--override needs --config")

    def _place_files(self) -> None:
        """Let twistd's pid and log file go where the dump user can write, unless told otherwise."""
        parent = getattr(self, "parent", None)
        if parent is None:
            return
        words = ("twistd-taper", self["config"], self["storage-name"])
        name = "-".join(word.translate(UNSAFE) for word in words if word)
        path = os.path.join(paths_from(os.environ).dbgdir, name)
        if parent["pidfile"] == "twistd.pid":
            parent["pidfile"] = f"{path}.pid"
        if not parent["nodaemon"] and not parent["logfile"]:
            parent["logfile"] = f"{path}.log"
