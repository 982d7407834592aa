"""One whole configuration, read and derived, and what was said while reading it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar, cast

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
from protocols.records import Record

_S = TypeVar("_S", bound=Section)


class ConfMessage(Record):
    """An error or warning; ``text`` is the line for standard error, without the line end."""

    level: str
    text: str


class Config(Record):
    """A configuration. Section names are looked up without case, as everywhere in Amanda."""

    name: str
    directory: str
    general: GlobalSettings
    sections: Mapping[str, Mapping[str, Section]]
    """By kind, then by lower-case name, in the order of definition."""
    overrides: frozenset[str] = frozenset()

    def path(self, text: str) -> str:
        """The absolute path of a file parameter: relative ones start at the config directory."""
        return text if text.startswith("/") else f"{self.directory}/{text}"

    def overridden(self, name: str) -> bool:
        """Whether an override of the command line set this global parameter."""
        return name.replace("-", "_") in self.overrides

    def _find(self, kind: type[_S], name: str | None) -> _S | None:
        found = self.sections.get(kind.__name__, {}).get(name.lower()) if name else None
        return cast("_S | None", found)

    def _all(self, kind: type[_S]) -> tuple[_S, ...]:
        return cast("tuple[_S, ...]", tuple(self.sections.get(kind.__name__, {}).values()))

    def tapetype(self, name: str | None) -> Tapetype | None:
        """The tapetype of that name; None if there is none, like all look-ups here."""
        return self._find(Tapetype, name)

    def device(self, name: str | None) -> DeviceSection | None:
        """The device section (alias) of that name."""
        return self._find(DeviceSection, name)

    def changer(self, name: str | None) -> ChangerSection | None:
        """The changer section of that name."""
        return self._find(ChangerSection, name)

    def storage(self, name: str | None) -> Storage | None:
        """The storage of that name; the implicit one too."""
        return self._find(Storage, name)

    def policy(self, name: str | None) -> Policy | None:
        """The policy of that name; the implicit one too."""
        return self._find(Policy, name)

    def taperscan(self, name: str | None) -> Taperscan | None:
        """The taperscan section of that name."""
        return self._find(Taperscan, name)

    def interactivity(self, name: str | None) -> Interactivity | None:
        """The interactivity section of that name."""
        return self._find(Interactivity, name)

    def holdingdisk(self, name: str | None) -> Holdingdisk | None:
        """The holding disk of that name, in use or not."""
        return self._find(Holdingdisk, name)

    def dumptype(self, name: str | None) -> Dumptype | None:
        """The dumptype of that name; the ten built-in ones too."""
        return self._find(Dumptype, name)

    def interface(self, name: str | None) -> Interface | None:
        """The network interface of that name."""
        return self._find(Interface, name)

    def application(self, name: str | None) -> Application | None:
        """The application section of that name."""
        return self._find(Application, name)

    def script(self, name: str | None) -> Script | None:
        """The script section of that name."""
        return self._find(Script, name)

    def storages(self) -> tuple[Storage, ...]:
        """Every storage, used or not, in the order of definition, the implicit one last."""
        return self._all(Storage)

    def policies(self) -> tuple[Policy, ...]:
        """Every policy, in the order of definition, the implicit one last."""
        return self._all(Policy)

    def dumptypes(self) -> tuple[Dumptype, ...]:
        """Every dumptype, the built-in ones too."""
        return self._all(Dumptype)

    def applications(self) -> tuple[Application, ...]:
        """Every application section."""
        return self._all(Application)

    def default_storage_name(self) -> str | None:
        """The first name of ``storage``: what a taper without ``--storage`` writes to."""
        return self.general.storage[0] if self.general.storage else None


class Loaded(Record):
    """What reading gave: a configuration in every case, though only one without errors is fit
    to be used, and the messages for standard error, in order."""

    config: Config
    messages: tuple[ConfMessage, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether there was an error: the program must print the messages and end."""
        return any(message.level == "error" for message in self.messages)
