"""Does a host's name fit an expression of amanda.conf, as those of ``recovery-limit``?

Facts: [recovery 6.6]. An expression fits whole words of the name, which dots divide; ``^`` and
``$`` bind it to the beginning and the end; case does not matter, except behind ``=``.
"""

from __future__ import annotations

from collections.abc import Iterator

from protocols.ere import Ere, EreError

MAX_EXPRESSION = 1024
"""Characters of an expression that are looked at; a longer one fits nothing."""

_WILD = {"**": ".*", "*": "[^.]*", "?": "[^.]"}


def match_host(expression: str, name: str) -> bool:
    """Whether ``name`` fits; an expression that makes no sense fits nothing."""
    if expression.startswith("="):
        return expression[1:] == name
    if len(expression) > MAX_EXPRESSION:
        return False
    begins, ends = expression.startswith("^"), expression.endswith("$")
    core = expression.removeprefix("^").removesuffix("$").strip(".")
    if not core:
        return False
    pattern = "".join(_translate(token) for token in _tokens(core.lower()))
    head = "^" if begins else r"(^|\.)"
    tail = "$" if ends else r"($|\.)"
    try:
        return Ere(f"{head}{pattern}{tail}").search(name.lower())
    except EreError:
        return False


def _tokens(core: str) -> Iterator[str]:
    """Characters, protected ones with their backslash, wildcards, and sets in brackets."""
    last = core.rfind("]")
    at = 0
    while at < len(core):
        end = at + 1
        if core[at] == "\\" or core.startswith("**", at):
            end += 1
        elif core[at] == "[":
            inner = at + 2 if core[at + 1 : at + 2] in ("!", "^") else at + 1
            if last > inner:
                end = core.index("]", inner + 1) + 1
        yield core[at:end]
        at = end


def _translate(token: str) -> str:
    if token in _WILD:
        return _WILD[token]
    if len(token) > 1 and token[0] == "[":
        return f"[^{token[2:]}" if token[1] == "!" else token
    character = token[-1]
    return character if character.isalnum() else f"\\{character}"
