"""A configuration as devices and changers see it, made of keyword arguments."""

from __future__ import annotations

from typing import Any


class FakeSection:
    """A section: what a test gives is set, the rest has the defaults."""

    def __init__(self, name: str, defaults: dict[str, Any], given: dict[str, Any]) -> None:
        unknown = set(given) - set(defaults)
        assert not unknown, f"no such parameters: {unknown}"
        self.name = name
        self._given = set(given)
        self.__dict__.update(defaults, **given)

    def is_set(self, name: str) -> bool:
        return name in self._given


def storage_section(name: str, **given: Any) -> Any:
    """A storage after derivation, as far as changers look at it."""
    return FakeSection(name, {"tpchanger": "", "tapedev": "", "tapetype": "", "runtapes": 1}, given)


class FakeConfig:
    """A configuration called ``name``; sections are found without regard to case."""

    def __init__(self, name: str = "DailySet", directory: str = "/etc/amanda/DailySet") -> None:
        self.name = name
        self.directory = directory
        self.general: Any = FakeSection(
            "", {"tpchanger": "", "tapedev": "", "tapetype": "", "device_property": {}}, {}
        )
        self._sections: dict[tuple[str, str], Any] = {}

    def path(self, text: str) -> str:
        return text if text.startswith("/") else f"{self.directory}/{text}"

    def _define(self, kind: str, name: str, defaults: dict[str, Any], given: Any) -> None:
        self._sections[kind, name.lower()] = FakeSection(name, defaults, given)

    def define_changer(self, name: str, **given: Any) -> None:
        defaults = {"property": {}, "device_property": {}}
        defaults |= {"tpchanger": "", "tapedev": "", "changerfile": "", "changerdev": ""}
        self._define("changer", name, defaults, given)

    def define_device(self, name: str, **given: Any) -> None:
        self._define("device", name, {"tapedev": "", "device_property": {}}, given)

    def define_tapetype(self, name: str, **given: Any) -> None:
        defaults = {"length": 2000, "blocksize": 32, "readblocksize": 32}
        self._define("tapetype", name, defaults, given)

    def changer(self, name: str) -> Any:
        return self._sections.get(("changer", name.lower()))

    def device(self, name: str) -> Any:
        return self._sections.get(("device", name.lower()))

    def tapetype(self, name: str) -> Any:
        return self._sections.get(("tapetype", name.lower()))
