"""What ``twistd`` looks for: ``Options`` and ``makeService``."""

from taper.tapeserver.service import ServerOptions as Options
from taper.tapeserver.service import make_service as makeService

__all__ = ["Options", "makeService"]
