"""Why the application cannot do what it was asked."""

from __future__ import annotations

import os

from protocols.errorcode import Coded


class ApplicationError(Coded):
    """The text is for the report: what failed, on what, and why."""

    taper_code = 4020


def reason(error: OSError) -> str:
    """The system's words for an error."""
    if error.errno is None:
        return str(error) or type(error).__name__
    return os.strerror(error.errno)
