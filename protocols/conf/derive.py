"""From drafts to a configuration: what Amanda derives [config 1.10, 2.7]."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, TypeVar

from protocols.conf.config import Config
from protocols.conf.draft import Draft, Drafts
from protocols.conf.grammar import GLOBAL, SECTIONS
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
    Settings,
    Storage,
    Taperscan,
    Tapetype,
)
from protocols.conf.settings import GlobalSettings, defaults_of
from protocols.conf.storages import NO_AUTOLABEL, finish_storage
from protocols.conf.values import AutoLabel, LabelStr, Properties
from protocols.installation import Installation

DEFAULT_TAPETYPE = "DEFAULT_TAPE"

_CLASSES: dict[str, type[Section]] = {
    "application": Application,
    "changer": ChangerSection,
    "device": DeviceSection,
    "dumptype": Dumptype,
    "holdingdisk": Holdingdisk,
    "interactivity": Interactivity,
    "interface": Interface,
    "policy": Policy,
    "script": Script,
    "storage": Storage,
    "taperscan": Taperscan,
    "tapetype": Tapetype,
}
_UNLIMITED_CHUNK = 9007199254740896
"""KiB; what stock makes of ``chunksize 0``."""


def make_implicit(drafts: Drafts, name: str) -> list[Draft]:
    """Add the storage and the policy that are named like the configuration, if they are missing;
    the new ones [config 2.7]."""
    made = []
    if drafts.find("policy", name) is None:
        made.append(Draft("policy", name))
    if not drafts.general.values.get("storage"):
        drafts.general.derived["storage"] = (name,)
        if drafts.find("storage", name) is None:
            made.append(Draft("storage", name))
    for draft in made:
        draft.derived["comment"] = "implicit from global config"
        drafts.add(draft)
    return made


def derive(drafts: Drafts, name: str, directory: str, installation: Installation) -> Config:
    """The configuration, with every derived value; contradictions become messages."""
    _complete_globals(drafts)
    general = _freeze(GlobalSettings, drafts.general, defaults_of(installation))
    _complete_sections(drafts, general)
    for storage in drafts.of_kind("storage"):
        finish_storage(storage, drafts, general, name)
    sections = {
        cls.__name__: MappingProxyType(
            {draft.name.lower(): _freeze(cls, draft) for draft in drafts.of_kind(kind)}
        )
        for kind, cls in _CLASSES.items()
    }
    _check_storages(drafts, general)
    overridden = frozenset(_attribute(key) for key in drafts.general.overridden)
    return Config(name, directory, general, MappingProxyType(sections), overridden)


_T = TypeVar("_T", bound=Settings)
_NO_DEFAULTS: Mapping[str, str] = MappingProxyType({})


def _attribute(keyword: str) -> str:
    return keyword.replace("-", "_")


def _freeze(cls: type[_T], draft: Draft, defaults: Mapping[str, str] = _NO_DEFAULTS) -> _T:
    """:param defaults: of parameters whose default is not the class's"""
    table = SECTIONS.get(draft.kind, GLOBAL)
    values: dict[str, Any] = dict(defaults)
    for keyword, value in {**draft.values, **draft.derived}.items():
        type_ = table[keyword][0]
        if type_ == "prop":
            value = Properties(
                {key: each.values for key, each in value.items()},
                {key for key, each in value.items() if each.priority},
                {key: each.place for key, each in value.items()},
            )
        elif type_ == "exinc":
            value = MappingProxyType(value)
        values[_attribute(keyword)] = value
    given = [_attribute(keyword) for keyword in draft.values]
    return cls(draft.name, given=given, place=draft.place, **values)


def _complete_globals(drafts: Drafts) -> None:
    values, derived = drafts.general.values, drafts.general.derived
    _choose_tapetype(drafts)
    for name in drafts.used_holding:
        if drafts.find("holdingdisk", name) is None:
            drafts.error(f"parse error: holdingdisk {name} is not defined")
    derived["holdingdisk"] = tuple(drafts.used_holding)
    if "label-new-tapes" in values:
        if "autolabel" in values:
            drafts.error("parse error: Can't specify both label-new-tapes and autolabel")
        else:
            template = values["label-new-tapes"]
            on = bool(template)
            derived["autolabel"] = AutoLabel(template or None, empty=on, volume_error=on)
    if "max-dle-by-volume" in values:
        for keyword in ("report-use-media", "report-next-media"):
            if keyword not in values:
                derived[keyword] = False
    _choose_labelstr(drafts)
    if "displayunit" in values:
        derived["displayunit"] = values["displayunit"].upper()
    derived["usetimestamps"] = True
    storage = derived.get("storage") or values["storage"]
    active = values.get("active-storage") or ()
    if "active-storage" not in drafts.general.overridden:
        active = (*active, *(name for name in storage if name not in active))
    derived["active-storage"] = active


def _choose_tapetype(drafts: Drafts) -> None:
    chosen = drafts.general.values.get("tapetype")
    if chosen is None:
        if drafts.find("tapetype", DEFAULT_TAPETYPE) is None:
            drafts.add(Draft("tapetype", DEFAULT_TAPETYPE))
    elif drafts.find("tapetype", chosen) is None:
        drafts.error(f"parse error: tapetype {chosen} is not defined")


def _choose_labelstr(drafts: Drafts) -> None:
    values, derived = drafts.general.values, drafts.general.derived
    autolabel = values.get("autolabel")
    if "labelstr" not in values:
        if autolabel is not None:
            derived["labelstr"] = LabelStr(autolabel.template or "", match_autolabel=True)
    elif values["labelstr"].match_autolabel:
        if autolabel is None:
            drafts.error(NO_AUTOLABEL)
        else:
            derived["labelstr"] = LabelStr(autolabel.template or "", match_autolabel=True)


def _complete_sections(drafts: Drafts, general: GlobalSettings) -> None:
    if drafts.find("interface", "default") is None:
        interface = Draft("interface", "default")
        interface.derived.update(comment="implicit from NETUSAGE", use=general.netusage)
        drafts.add(interface)
    for changer in drafts.of_kind("changer"):
        if changer.values.get("changerfile"):
            for keyword in ("changerfile", "tpchanger"):
                value = changer.values.get(keyword, "")
                changer.derived[keyword] = value.replace("$t", changer.name, 1)
    for policy in drafts.of_kind("policy"):
        if "retention-tapes" not in policy.values:
            policy.derived["retention-tapes"] = general.tapecycle - 1
    for tapetype in drafts.of_kind("tapetype"):
        values = tapetype.values
        blocksize = values.get("blocksize", Tapetype.blocksize)
        if values.get("readblocksize", Tapetype.readblocksize) < blocksize:
            tapetype.derived["readblocksize"] = blocksize
    for disk in drafts.of_kind("holdingdisk"):
        _round_holdingdisk(disk)


def _round_holdingdisk(disk: Draft) -> None:
    for keyword, zero in (("use", 0), ("chunksize", _UNLIMITED_CHUNK)):
        if keyword in disk.values:
            value = disk.values[keyword]
            rounded = abs(value) // 32 * 32
            disk.derived[keyword] = (rounded if value > 0 else -rounded) if value else zero


def _check_storages(drafts: Drafts, general: GlobalSettings) -> None:
    """Names that no storage has: errors where stock checks, warnings where it does not."""
    named = dict.fromkeys((*general.storage, *general.active_storage))
    for name in named:
        if drafts.find("storage", name) is None:
            drafts.error(f"parse error: storage '{name}' is not defined")
    for name in general.vault_storage:
        if drafts.find("storage", name) is None:
            drafts.warning(f"warning: vault-storage '{name}' is not defined")
