"""Every regular expression that meets text from outside takes time in proportion to it.

State files, headers, configuration, log lines and driver lines are read with ``re``, which holds
the whole process while it tries. The steps are counted, for texts made of the expression's own
letters, and compared with those for texts of twice the length.
"""

from __future__ import annotations

import ast
import importlib
import itertools
import re
from pathlib import Path
from typing import Any

import pytest

from tests.protocols.backtracking import Counter, TooManySteps, alphabet, ways_in

_ROOT = Path(__file__).parents[2]
_PACKAGES = ("protocols", "devices", "taper")
_ANCHORED = {"match", "fullmatch"}
_SIZE = 24
_BUDGET = 200_000


class Use:
    """An expression of one module, and the ways in which it is used there."""

    def __init__(self, name: str, pattern: re.Pattern[Any], methods: set[str]) -> None:
        self.name = name
        self.pattern = pattern
        self.methods = methods


def _files() -> list[Path]:
    return [path for package in _PACKAGES for path in sorted((_ROOT / package).rglob("*.py"))]


def _calls(tree: ast.AST) -> list[tuple[str, str, ast.Call]]:
    """Calls of the form ``name.method()`` or ``name[...].method()``."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            value = node.func.value
            if isinstance(value, ast.Subscript):
                value = value.value
            if isinstance(value, ast.Name):
                found.append((value.id, node.func.attr, node))
    return found


def _uses() -> list[Use]:
    uses = []
    for path in _files():
        source = path.read_text()
        if "import re\n" not in source:
            continue
        module_name = ".".join(path.relative_to(_ROOT).with_suffix("").parts)
        module = importlib.import_module(module_name)
        calls = _calls(ast.parse(source))
        for name, value in vars(module).items():
            patterns = value.values() if isinstance(value, dict) else (value,)
            methods = {method for owner, method, _ in calls if owner == name}
            uses += [
                Use(f"{module_name}.{name}", pattern, methods)
                for pattern in patterns
                if isinstance(pattern, re.Pattern)
            ]
    return uses


_USES = _uses()


def _worst_growth(use: Use) -> tuple[float, str]:
    """How much more work twice the text is, at most, and which text shows it."""
    counter = Counter(use.pattern)
    letters = alphabet(use.pattern)
    pumps = [*letters, *map("".join, itertools.pairwise(letters))]
    starts = ways_in(use.pattern)
    worst = 0.0, ""
    for start, pump, end in itertools.product(starts, pumps, ("", "~", "\0\n")):
        work = []
        for size in (_SIZE, 2 * _SIZE):
            text = start + pump * (size // len(pump)) + end
            try:
                if use.methods <= _ANCHORED:
                    work.append(counter.match(text, _BUDGET, whole="fullmatch" in use.methods))
                else:
                    work.append(counter.scan(text, _BUDGET))
            except TooManySteps:
                return float("inf"), repr(start + pump) + " ..."
        worst = max(worst, (work[1] / max(work[0], 100), repr(start + pump) + " ..."))
    return worst


def test_every_expression_is_known_here() -> None:
    """Expressions are constants of their module, or this file would not find them."""
    inline = [
        f"{path.relative_to(_ROOT)}:{node.lineno}"
        for path in _files()
        for statement in ast.parse(path.read_text()).body
        for owner, method, node in _calls(statement)
        if owner == "re"
        if method != "compile" or isinstance(statement, ast.FunctionDef | ast.ClassDef)
    ]
    assert inline == []
    assert len(_USES) > 20
    assert [use.name for use in _USES if not use.methods] == []


@pytest.mark.parametrize("use", _USES, ids=lambda use: use.name)
def test_work_grows_with_the_text(use: Use) -> None:
    """Twice the text is twice the work and a little, never four times or more."""
    growth, text = _worst_growth(use)
    assert growth < 2.5, text


@pytest.mark.parametrize(
    "source",
    [
        r"(?:[ \t\r\n\f]+|\#[^\n]*)*x",
        r"do\{\s*=\s*[^()]*\)",
        r"(a|ab|b)*c",
        r"(?:a*)*b",
        r"[0-9]*[0-9a]*x",
    ],
)
def test_the_test_finds_what_it_looks_for(source: str) -> None:
    """Expressions with more than one way to match the same text, exponential and quadratic."""
    growth, _ = _worst_growth(Use("", re.compile(source), {"match"}))
    assert growth > 2.5


def test_the_counter_matches_as_re_does() -> None:
    """It walks the same ways, so that it comes to the same ends."""
    for use in _USES:
        counter = Counter(use.pattern)
        for start, letter in itertools.product(ways_in(use.pattern), alphabet(use.pattern)):
            text = start + letter + "~"
            raw = isinstance(use.pattern.pattern, bytes)
            found = use.pattern.match(text.encode("latin-1") if raw else text)
            counter.match(text, _BUDGET, whole=False)
            assert counter.end == (found.end() if found else None), (use.name, text)
