"""A configuration made of values, without a file."""

from __future__ import annotations

from typing import Any

from protocols.conf.config import Config
from protocols.conf.sections import Section
from protocols.conf.settings import GlobalSettings


def make_config(
    *sections: Section,
    name: str = "DailySet",
    directory: str = "/etc/amanda/DailySet",
    **general: Any,
) -> Config:
    """A configuration with these sections and global parameters; all else has its default."""
    kinds: dict[str, dict[str, Section]] = {}
    for section in sections:
        kinds.setdefault(type(section).__name__, {})[section.name.lower()] = section
    return Config(name, directory, GlobalSettings("", **general), kinds)
