"""What a value must be besides well formed [config 1.11, 2]. Texts are stock's."""

from collections.abc import Callable
from typing import Any

from protocols.conf.values import AutoLabel, LabelStr

Check = Callable[[str, Any], str | None]
"""Keyword and value to the text of an error, or None."""

_COLUMNS = (
    "compress",
    "dumprate",
    "dumptime",
    "disk",
    "hostname",
    "level",
    "origkb",
    "outkb",
    "taperate",
    "tapetime",
)


def _title(keyword: str) -> str:
    return keyword.upper().replace("-", "_")


def _nonnegative(keyword: str, value: int) -> str | None:
    return f"{_title(keyword)} must be nonnegative" if value < 0 else None


def _positive(keyword: str, value: int) -> str | None:
    return f"{_title(keyword)} must be positive" if value < 1 else None


def _nonzero(keyword: str, value: int) -> str | None:
    return None if value else f"{_title(keyword)} must not be 0"


def _percent(keyword: str, value: int) -> str | None:
    return None if 0 <= value <= 100 else f"{keyword} must be between 0 and 100"


def _runspercycle(_keyword: str, value: int) -> str | None:
    return "runspercycle must be >= -1" if value < -1 else None


def _bumpmult(_keyword: str, value: float) -> str | None:
    return "bumpmult must one or more" if value < 0.999 else None


def _rate(_keyword: str, value: tuple[float, float]) -> str | None:
    if value[0] < 0:
        return "full compression rate must be >= 0"
    return "incremental compression rate must be >= 0" if value[1] < 0 else None


def _debug(_keyword: str, value: int) -> str | None:
    return None if 0 <= value <= 9 else "Debug must be between 0 and 9"


def _blocksize(_keyword: str, value: int) -> str | None:
    return "Tape blocksize must be at least 32 KBytes" if value < 32 else None


def _chunksize(_keyword: str, value: int) -> str | None:
    if value < 0:
        return f"Negative chunksize ({value}) is no longer supported"
    return "chunksize must be at least 64kb" if 0 < value // 32 * 32 < 64 else None


def _ports(low: int, high: int) -> Check:
    def check(_keyword: str, value: tuple[int, int]) -> str | None:
        if not low <= value[0] <= high:
            return f"portrange must be in the range {low} to {high}, inclusive"
        if value[0] > value[1]:
            return "portranges must be in order from low to high"
        return None

    return check


def _label(keyword: str, value: str) -> str | None:
    return _template_error(_title(keyword), value)


def template_error(keyword: str, value: object) -> str | None:
    """What is wrong with the template of a labelstr or autolabel value, if anything."""
    template = value.template if isinstance(value, LabelStr | AutoLabel) else None
    return _template_error(f"{_title(keyword)} template", template or "")


def _template_error(title: str, text: str) -> str | None:
    if any(char in " \t\n\r\f\v" for char in text):
        return f"{title} must not contains space"
    return f"{title} must not contains double quotes" if '"' in text else None


def _program(_keyword: str, value: str) -> str | None:
    if value in ("DUMP", "GNUTAR", "STAR", "APPLICATION"):
        return None
    return 'program must be "DUMP", "GNUTAR", "STAR" or "APPLICATION"'


def _displayunit(_keyword: str, value: str) -> str | None:
    return None if value.upper() in ("K", "M", "G", "T") else "displayunit must be k,m,g or t."


def _dump_limit(_keyword: str, value: tuple[str, ...]) -> str | None:
    if all(limit in ("SAME-HOST", "SERVER") for limit in value):
        return None
    return "dump-limit can't specify hostname"


def _columnspec(_keyword: str, value: str) -> str | None:
    for column in value.split(",") if value else ():
        name, equals, numbers = column.partition("=")
        if not equals:
            return f"invalid columnspec: {column}"
        if name.lower() not in _COLUMNS:
            return f"invalid column name: '{name}'"
        parts = numbers.split(":")
        if len(parts) > 1:  # the width may be negative: wide as the longest value
            parts[1] = parts[1].removeprefix("-")
        if len(parts) > 3 or not all(not part or _is_number(part) for part in parts):
            return f"invalid format: {numbers}"
    return None


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


CHECKS: dict[str, Check] = {
    "nonnegative": _nonnegative,
    "positive": _positive,
    "nonzero": _nonzero,
    "percent": _percent,
    "runspercycle": _runspercycle,
    "bumpmult": _bumpmult,
    "rate": _rate,
    "debug": _debug,
    "blocksize": _blocksize,
    "chunksize": _chunksize,
    "reserved": _ports(1, 1023),
    "unreserved": _ports(1024, 65535),
    "label": _label,
    "program": _program,
    "displayunit": _displayunit,
    "dumplimit": _dump_limit,
    "columnspec": _columnspec,
}
