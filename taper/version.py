"""What programs of ours answer to ``--version``."""

from __future__ import annotations

from taper import __version__

AMANDA = "3.5.1"
"""The version that Amanda's other programs are told."""
OURS = f"twisted-taper {__version__}"


def answer(program: str, version: str) -> str:
    """Two lines: the first as Amanda's own programs put it, the second tells whose program it is.

    :param version: in the first line
    """
    return f"{program}-{version}\n{OURS}, for Amanda {AMANDA}\n"
