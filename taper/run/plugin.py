"""What ``twistd`` looks for: ``Options`` and ``makeService``."""

from taper.run.service import TaperOptions as Options
from taper.run.service import make_service as makeService

__all__ = ["Options", "makeService"]
