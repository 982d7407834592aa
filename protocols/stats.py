"""The statistics of a part or a dump: ``[sec S bytes B kps K orig-kb O]`` [protocol 3.3]."""

from __future__ import annotations

from protocols.records import Record

_MAX_DIGITS = 19
_MAX_NUMBER = 400  # the longest %f of a double has 309 digits before the point
_SIZES = {"bytes": 1, "kb": 1024}


class Stats(Record):
    """Statistics as read.

    :ivar size: bytes; from ``kb`` words a multiple of 1024.
    :ivar orig_kb: the text as it stands, None if absent.
    """

    seconds: float
    size: int
    kps: float
    orig_kb: str | None


def format_stats(seconds: float, size: int, orig_kb: str | None) -> str:
    """The statistics text, brackets included, not quoted.

    :param seconds: 0 and less count as 0.1.
    :param size: bytes; the rate counts whole KiB only.
    :param orig_kb: as given, perhaps empty; None: not known, leave it out.
    """
    if seconds <= 0:
        seconds = 0.1
    rate = (size // 1024) / seconds
    text = f"[sec {seconds:f} bytes {size} kps {rate:f}"
    return f"{text}]" if orig_kb is None else f"{text} orig-kb {orig_kb}]"


def parse_stats(text: str) -> Stats | None:
    """Read what :func:`format_stats` or a stock program wrote; None if it is something else."""
    if not (text.startswith("[") and text.endswith("]")):
        return None
    words = text[1:-1].split(" ", 7)
    if len(words) not in (6, 8) or words[0] != "sec" or words[4] != "kps":
        return None
    unit = _SIZES.get(words[2])
    seconds, kps = _number(words[1]), _number(words[5])
    if unit is None or seconds is None or kps is None or not _is_count(words[3]):
        return None
    if len(words) == 6:
        return Stats(seconds, int(words[3]) * unit, kps, None)
    return Stats(seconds, int(words[3]) * unit, kps, words[7]) if words[6] == "orig-kb" else None


def _is_count(word: str) -> bool:
    return word.isascii() and word.isdigit() and len(word) <= _MAX_DIGITS


def _number(word: str) -> float | None:
    whole, _, fraction = word.partition(".")
    if len(word) > _MAX_NUMBER or not whole.isascii() or not whole.isdigit():
        return None
    if fraction and not (fraction.isascii() and fraction.isdigit()):
        return None
    return float(word)
