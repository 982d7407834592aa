"""Does a host's name fit an expression of amanda.conf, as those of ``recovery-limit``?

Facts: [recovery 6.6]. An expression fits whole words of the name, which dots divide; ``^`` and
``$`` bind it to the beginning and the end; case does not matter, except behind ``=``.
"""

from __future__ import annotations

import re

MAX_EXPRESSION = 1024
"""Characters of an expression that are looked at; a longer one fits nothing."""

_TOKEN = re.compile(r"\\.|\*\*|\[[!^]?\]?[^\]]*\]|.", re.DOTALL)


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
    pattern = "".join(_translate(token) for token in _TOKEN.findall(core))
    head = r"\A" if begins else r"(?:\A|(?<=\.))"
    tail = r"\Z" if ends else r"(?:\Z|(?=\.))"
    try:
        return re.search(head + pattern + tail, name, re.IGNORECASE) is not None
    except re.error:
        return False


def _translate(token: str) -> str:
    if token == "**":
        return ".*"
    if token == "*":
        return "[^.]*"
    if token == "?":
        return "[^.]"
    if len(token) > 1 and token[0] == "[":
        inner = token[1:-1].replace("\\", r"\\")
        return f"[^{inner[1:]}]" if inner[:1] == "!" else f"[{inner}]"
    return re.escape(token[1:] if len(token) > 1 and token[0] == "\\" else token)
