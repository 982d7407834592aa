"""The command line, as the driver gives it [protocol 1], [config 1.1]."""

from __future__ import annotations

import getopt
from collections.abc import Sequence

from protocols.records import Record

USAGE = """\
USAGE: taper --log-filename FILE [--storage-name NAME] [-o KEY=VALUE]... CONFIG
       taper --help
       taper --version
"""
DESCRIPTION = """\
The volume writer of the Amanda backup system. Amanda's driver starts it, and talks to it on
standard input and output; for people there is taperctl.
"""
ARGUMENTS = (
    ("CONFIG", "", 'name of a configuration of Amanda\'s; "." is the working directory'),
    ("--log-filename", "FILE", "the trace log of the run"),
    ("--storage-name", "NAME", "the storage to serve; without it, the configuration's first"),
    ("-o", "KEY=VALUE", "replaces one value of the configuration"),
    (
        "--daemon",
        "unix:PATH",
        "lets the daemon (twistd taper) at this socket serve the driver, if it does",
    ),
)
"""Name, what its value is called, and what it means; one that is no option has its place."""
HELP = f"{USAGE}\n{DESCRIPTION}\n" + "".join(
    f"  {f'{name} {value}':<20} {help}\n" for name, value, help in ARGUMENTS
)
_LONG = [f"{name[2:]}=" for name, _, _ in ARGUMENTS if name.startswith("--")]
_SHORT = "".join(f"{name[1]}:" for name, _, _ in ARGUMENTS if name[0] == "-" and len(name) == 2)


class UsageError(Exception):
    """The command line is wrong; the text says how."""

    taper_code = 1001


class Options(Record, kw_only=True):
    """What the command line says.

    :ivar config_name: name of the configuration, or ``.``; empty with ``version`` and ``help``.
    :ivar storage: of the storage to serve; None: the configuration's first.
    :ivar log_filename: the trace log.
    :ivar overrides: ``KEY=VALUE`` texts, in order.
    """

    config_name: str = ""
    storage: str | None = None
    log_filename: str | None = None
    overrides: tuple[str, ...] = ()
    version: bool = False
    help: bool = False


def parse_options(arguments: Sequence[str]) -> Options:
    """Read the command line: options and the configuration's name, in any order.

    :raise UsageError: an unknown option, a missing value, not exactly one name
    """
    try:
        # which takes any unambiguous abbreviation, so --storage as well
        found, rest = getopt.gnu_getopt(list(arguments), _SHORT, [*_LONG, "help", "version"])
    except getopt.GetoptError as fault:
        raise UsageError(fault.msg) from fault
    values = dict(found)
    overrides = tuple(value for name, value in found if name == "-o")
    if "--help" in values:
        return Options(help=True)
    if "--version" in values:
        return Options(version=True)
    bad = next((text for text in overrides if "=" not in text), None)
    if bad is not None:
        raise UsageError(f"Must specify a value for {bad}.")
    if len(rest) != 1:
        raise UsageError(f"expected one configuration name, got {len(rest)}")
    return Options(
        config_name=rest[0],
        storage=values.get("--storage-name"),
        log_filename=values.get("--log-filename"),
        overrides=overrides,
    )
