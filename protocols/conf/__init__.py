"""amanda.conf, read as stock Amanda reads it: ``load`` gives a ``Config`` and the messages.

From text to values: ``lexer`` (tokens), ``cursor`` (reading them), ``grammar`` (tables of all
parameters), ``readers`` and ``choices`` (values), ``checks``, ``parser`` (statements), ``draft``
(what was read so far), ``loader`` (files, includes, overrides), ``derive`` and ``storages`` (what
follows from it), ``sections``, ``settings`` and ``config`` (the typed result).
"""

from protocols.conf.config import Config, ConfMessage, Loaded
from protocols.conf.loader import load
from protocols.conf.sections import (
    Application,
    ChangerSection,
    DeviceSection,
    Dumptype,
    Holdingdisk,
    Interactivity,
    Interface,
    Policy,
    Script,
    Section,
    Storage,
    Taperscan,
    Tapetype,
)
from protocols.conf.settings import GlobalSettings
from protocols.conf.values import AutoLabel, LabelStr, Properties

__all__ = [
    "Application",
    "AutoLabel",
    "ChangerSection",
    "Config",
    "ConfMessage",
    "DeviceSection",
    "Dumptype",
    "GlobalSettings",
    "Holdingdisk",
    "Interactivity",
    "Interface",
    "LabelStr",
    "Loaded",
    "Policy",
    "Properties",
    "Script",
    "Section",
    "Storage",
    "Taperscan",
    "Tapetype",
    "load",
]
