"""Where our programs raise errors, and of which classes."""

from __future__ import annotations

import ast
import builtins
import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from attrs import field, frozen

from tests.docs.markdown import ROOT

PACKAGES = ("taper", "devices", "protocols")


@frozen
class Site:
    """One ``raise`` of a new error.

    :ivar words: what is raised, as it stands there.
    :ivar kinds: the classes that it may be of; none: they cannot be found out.
    """

    place: str
    words: str
    kinds: tuple[type[BaseException], ...]


@frozen
class Source:
    """A module, read and imported.

    :ivar late: the names that are imported from modules within functions.
    """

    path: Path
    tree: ast.Module
    module: ModuleType
    late: dict[str, str]

    def resolve(self, words: str) -> Any:
        """What a name means there; None: nothing that is known."""
        first, *rest = words.split(".")
        value = getattr(self.module, first, None) or getattr(builtins, first, None)
        if value is None and first in self.late:
            value = getattr(importlib.import_module(self.late[first]), first, None)
        for word in rest:
            value = getattr(value, word, None)
        return value


@frozen
class Sources:
    """All modules.

    :ivar returning: the classes that functions of a name return.
    """

    all: tuple[Source, ...]
    returning: dict[str, set[type[BaseException]]] = field(factory=dict)


def read() -> Sources:
    """Read and import all modules."""
    found = []
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            module = importlib.import_module(name.removesuffix(".__init__"))
            tree = ast.parse(path.read_text())
            late = {
                alias.name: node.module
                for node in ast.walk(tree)
                if isinstance(node, ast.ImportFrom) and node.module is not None
                for alias in node.names
            }
            found.append(Source(path, tree, module, late))
    sources = Sources(tuple(found))
    for source in found:
        for node in ast.walk(source.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.returns:
                for words in ast.unparse(node.returns).strip("'\"").split(" | "):
                    kind = source.resolve(words)
                    if _is_error(kind):
                        sources.returning.setdefault(node.name, set()).add(kind)
    return sources


def sites(sources: Sources) -> Iterator[Site]:
    """Every raise of a new error, and every other place where one is made; what is only raised
    again was found where it was made."""
    for source in sources.all:
        raised: set[ast.expr] = set()
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Raise) and node.exc is not None:
                raised.add(node.exc)
                maker, called = node.exc, False
                if isinstance(maker, ast.Call):
                    maker, called = maker.func, True
                kinds = _kinds(sources, source, maker, called)
            elif isinstance(node, ast.Call) and node not in raised:
                maker, kind = node.func, source.resolve(ast.unparse(node.func))
                kinds = (kind,) if _is_error(kind) else None
            else:
                continue
            if kinds is not None:
                place = f"{source.path.relative_to(ROOT)}:{node.lineno}"
                yield Site(place, ast.unparse(maker), kinds)


def _kinds(
    sources: Sources, source: Source, maker: ast.expr, called: bool
) -> tuple[type[BaseException], ...] | None:
    kind = source.resolve(ast.unparse(maker))
    if _is_error(kind):
        return (kind,)
    if not called:
        return None  # a variable: the error was made elsewhere
    name = maker.attr if isinstance(maker, ast.Attribute) else ast.unparse(maker)
    return tuple(sorted(sources.returning.get(name, ()), key=lambda each: each.__name__))


def codes_said(sources: Sources) -> dict[int, str]:
    """The numbers that stand as codes in the modules, each with one place of it."""
    found: dict[int, str] = {}
    for source in sources.all:
        for node in ast.walk(source.tree):
            values: list[ast.expr] = []
            if isinstance(node, ast.Call):
                values = [word.value for word in node.keywords if word.arg == "code"]
            elif isinstance(node, ast.Assign) and "taper_code" in map(ast.unparse, node.targets):
                values = [node.value]
            for value in values:
                if isinstance(value, ast.Constant) and isinstance(value.value, int):
                    place = f"{source.path.relative_to(ROOT)}:{node.lineno}"
                    found.setdefault(value.value, place)
    return found


def _is_error(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, BaseException)
