"""Modules that others import and no start of ours needs: there at once, executed when used.

Twisted and Automat import more than a conversation on stdio uses: a store of cookies and below it a
whole web client with mail and TLS, an event loop beside Twisted's own, and what some function here
or there may want. Each start would execute it all, a sixth of what Python has to do until the
driver is served. So these modules are made, but not executed; the first use of one executes it.
Until then a package may hand out what stands in modules of its own, by a table.
"""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

LATE: dict[str, dict[str, str]] = {
    "asyncio": {
        "AbstractEventLoop": "asyncio.events",
        "Future": "asyncio.futures",
        "iscoroutine": "asyncio.coroutines",
    },
    "automat": {
        "NoTransition": "automat._core",
        "TypeMachineBuilder": "automat._typed",
    },
    "http.cookiejar": {},
    "ipaddress": {},
    "locale": {},
    "pickle": {},
    "random": {},
}
"""The modules, and which of a package's names can be had from which of its modules alone.

None of them tells of trouble, as what makes tracebacks does: that must work where no further file
can be opened."""

ABSENT = ("OpenSSL", "ctypes")
"""What Twisted does without where it is not installed, and no conversation on stdio needs: TLS,
which alone takes some 60 ms, and the texts of the errors of Windows."""


def execute_when_used() -> None:
    """From now on let the modules of the table be executed when they are used."""
    sys.meta_path.insert(0, _Finder())


@contextmanager
def without_optional() -> Iterator[None]:
    """Let what Twisted does not need look as if it was not installed; who needs it later can have
    it."""
    hidden = [name for name in ABSENT if name not in sys.modules]
    assert "OpenSSL" in hidden, "too late to do without"
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


class _Finder:
    """Finds the modules of the table as Python does, and keeps them from being executed."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in LATE:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, LATE[name])  # type: ignore[assignment]
        return spec


class _Loader:
    """Makes a module, and leaves it to that to be executed."""

    def __init__(self, loader: Any, parts: Mapping[str, str]) -> None:
        self._loader = loader
        self._parts = parts

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """The usual module. See importlib.abc.Loader."""
        made: ModuleType | None = self._loader.create_module(spec)
        return made

    def exec_module(self, module: ModuleType) -> None:
        """See importlib.abc.Loader."""
        assert module.__spec__ is not None
        module.__spec__.loader = module.__loader__ = self._loader
        module.__dict__["__late__"] = _Late(self._parts)
        module.__class__ = _LateModule


class _Late:
    """What a module that was not executed yet needs to know.

    :ivar busy: the module, or one of its package, is being executed.
    """

    def __init__(self, parts: Mapping[str, str]) -> None:
        self.parts = parts
        self.lock = threading.RLock()
        self.busy = False


class _LateModule(ModuleType):
    """A module that was not executed yet; what has no attribute of this name asks here."""

    def __getattribute__(self, name: str) -> Any:
        found = ModuleType.__getattribute__(self, name)
        if name.startswith("__"):
            return found
        late: _Late = ModuleType.__getattribute__(self, "__dict__")["__late__"]
        if late.busy and not late.parts:
            # what stands there while another thread executes the module may need what does not yet
            with late.lock:
                return ModuleType.__getattribute__(self, name)
        return found

    def __getattr__(self, name: str) -> Any:
        late: _Late = self.__dict__["__late__"]
        with late.lock:
            if late.busy:
                # what is being executed asks so before it imports a module of the package
                raise AttributeError(f"module {self.__name__!r} has no attribute {name!r} yet")
            if type(self) is _LateModule:
                late.busy = True
                try:
                    if name in late.parts:
                        return getattr(importlib.import_module(late.parts[name]), name)
                    self._execute()
                finally:
                    late.busy = False
        return getattr(self, name)

    def _execute(self) -> None:
        """Become the usual module. What fails will be tried again at the next use."""
        assert self.__spec__ is not None
        assert self.__spec__.loader is not None
        self.__spec__.loader.exec_module(self)
        self.__class__ = ModuleType  # type: ignore[assignment]
