"""Amanda's own S3 device, made to write with the libcurl of today [volumes 8].

A small library that its programs load keeps its uploads from leaving as requests of another kind;
all that they send is theirs.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from tests.fakes import preloaded

SOURCE = Path(__file__).with_suffix(".c")


def made_library() -> AbstractContextManager[Path]:
    """Compile the library, for everybody to use. :return: its path, for LD_PRELOAD"""
    return preloaded.made_library(SOURCE)
