"""What every way of asking an operator has in common."""

from __future__ import annotations

ABORTED = "Aborted by user"
LONGEST_REPLY = 4096
"""Bytes of a reply; what is longer is no name of a changer."""


def insert_line(changer_name: str) -> str:
    """What the operator is to do."""
    return f"Insert a new volume in {changer_name}"
