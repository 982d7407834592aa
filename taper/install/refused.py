"""What ``taperctl`` answers instead of doing something."""

from __future__ import annotations


class Refused(Exception):
    """It cannot be done, and nothing was changed; the text says why."""

    taper_code = 8008
