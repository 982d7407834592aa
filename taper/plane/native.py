"""Libraries of C that are loaded while others wait for nothing: read first, then loaded."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader
from typing import Any

from taper.plane.interfaces import ShortOfRoom

_PIECE = 1 << 20


def warm(name: str) -> None:
    """Have the libraries of a package in memory before it is imported, if it was not yet.

    Loading a library holds the interpreter lock, so while a busy disk reads it no thread of the
    process runs, the reactor's included. Reading it as a file holds nothing.
    """
    if name in sys.modules:
        return
    for path in libraries(name):
        with open(path, "rb", buffering=0) as file:
            while file.read(_PIECE):
                pass


def load(name: str, part: str | None = None) -> Any:
    """The package, imported without holding up anybody.

    :param part: the module of C in it that does the work: it is loaded alone, for the package may
        import much that nobody here needs; the package is given where it is there already, or has
        no such module
    :raise ShortOfRoom: it cannot be had, in words
    """
    try:
        warm(name)
        alone = None if part is None or name in sys.modules else _alone(name, part)
        return importlib.import_module(name) if alone is None else alone
    # without memory an import ends in a SystemError, or where a library is mapped, an ImportError
    except (MemoryError, SystemError, ImportError, OSError) as error:
        short = isinstance(error, MemoryError | SystemError)
        why = "not enough memory" if short else str(error)
        raise ShortOfRoom(f"cannot load the library {name}: {why}", code=8005) from error


def _alone(name: str, part: str) -> Any:
    """A module of C of a package, which is not imported; None: there is none."""
    full = f"{name}.{part}"
    if full in sys.modules:
        return sys.modules[full]
    for path in libraries(name):
        if os.path.basename(path).partition(".")[0] == part:
            loader = ExtensionFileLoader(full, path)
            spec = importlib.util.spec_from_file_location(full, path, loader=loader)
            assert spec is not None, "there is a loader"
            module = importlib.util.module_from_spec(spec)
            loader.exec_module(module)
            sys.modules[full] = module  # the package finds it there, when it is imported
            return module
    return None


def libraries(name: str) -> list[str]:
    """The files of C code of a package or module, by its full name; none if there is no such."""
    spec = importlib.util.find_spec(name)
    if spec is None:
        return []
    suffixes = tuple(EXTENSION_SUFFIXES)
    if spec.submodule_search_locations is None:
        return [spec.origin] if spec.origin and spec.origin.endswith(suffixes) else []
    return [
        os.path.join(directory, file)
        for directory in spec.submodule_search_locations
        for file in sorted(os.listdir(directory))
        if file.endswith(suffixes)
    ]
