"""amanda.conf: lexer, grammar, typed sections, loader."""

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
