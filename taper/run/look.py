"""Looking at files and directories beside everything else."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from zope.interface import implementer

from taper.core.interfaces import ILook
from taper.core.splitting import DirectoryFacts

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from devices.interfaces import ILane


def look_at_directory(path: str) -> DirectoryFacts:
    """Whether ``path`` is a directory, and bytes free in it for ordinary users; blocks."""
    if not os.path.isdir(path):
        return DirectoryFacts(exists=False)
    try:
        found = os.statvfs(path)
    except OSError:
        return DirectoryFacts(exists=True)
    return DirectoryFacts(exists=True, free=found.f_frsize * found.f_bavail)


@implementer(ILook)
class Look:
    """Looks in a lane.

    :param lane: whoever makes us stops it
    """

    def __init__(self, lane: ILane) -> None:
        self._lane = lane

    def directory_facts(self, directory: str) -> Deferred[DirectoryFacts]:
        return self._lane.call(look_at_directory, directory)
