"""The kinds of volumes that a conversation can be held on: a changer of each, and what is on it.

A case asks its :class:`tests.conformance.harness.World` for volumes by their slots, from 1, and the
world asks its kind. A new kind is one class and one line in :data:`KINDS`.
"""

from __future__ import annotations

from tests.conformance.kind import Kind
from tests.conformance.kinds_disk import Aggregate, Multi, Vtapes
from tests.conformance.kinds_dvdrw import Discs
from tests.conformance.kinds_rait import Mixed, Rait
from tests.conformance.kinds_s3 import Bucket
from tests.conformance.kinds_tape import Robot, Tape

DIRECTORIES = ("file", "multi", "aggregate", "robot")
"""Kinds whose volumes are directories."""
AT_ONCE = (*DIRECTORIES, "rait", "mixed")
"""Kinds that take the first bytes as they come; a tape is begun when the buffer is full."""
ANY_BUT_DISCS = (*AT_ONCE, "tape", "s3")
"""Kinds that need no mounting, and keep no volume that is still to be burned."""
EXACT = (*DIRECTORIES, "tape")
"""Kinds whose volumes end where those of ``file:`` do, to the block."""

KINDS: dict[str, type[Kind]] = {
    "file": Vtapes,
    "tape": Tape,
    "rait": Rait,
    "s3": Bucket,
    "dvdrw": Discs,
    "robot": Robot,
    "multi": Multi,
    "aggregate": Aggregate,
    "mixed": Mixed,
}
