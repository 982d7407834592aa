"""Why the application cannot do what it was asked."""

from __future__ import annotations

import os


class ApplicationError(Exception):
    """The text is for the report: what failed, on what, and why."""


def reason(error: OSError) -> str:
    """The system's words for an error."""
    if error.errno is None:
        return str(error) or type(error).__name__
    return os.strerror(error.errno)
