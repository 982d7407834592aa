"""What programs of ours answer to ``--version``."""

from __future__ import annotations

import functools

from taper import __version__
from taper.run.amanda_version import version_text

USUAL = "3.5.1"
"""What we say where no Amanda is found, as on a client."""
OURS = f"twisted-taper {__version__}"


@functools.cache
def amanda() -> str:
    """The version of the Amanda that we work for."""
    return version_text() or USUAL


def answer(program: str, version: str | None = None) -> str:
    """Two lines: the first as Amanda's own programs put it, the second tells whose program it is.

    :param version: in the first line; None: Amanda's, of a program in the place of one of hers
    """
    return f"{program}-{version or amanda()}\n{OURS}, for Amanda {amanda()}\n"
