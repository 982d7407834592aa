"""What every message of the driver conversation is: a name and fields declared once.

The annotation of a field says how it stands on the wire (:mod:`protocols.driver.codec`):
``str``, ``int``, ``Crc``, ``SplitFields`` (eight words) or ``tuple[str, ...]`` (joined by ``;``).
"""

from __future__ import annotations

from typing import ClassVar

from protocols.records import Record


class SplitFields(Record):
    """The eight SPLIT fields of a write command [protocol 3.1]; None: an empty field.

    The ``dle_`` ones come from the dumptype, the others from the storage's tapetype.

    :ivar dle_tape_splitsize: bytes
    :ivar dle_split_diskbuffer: directory
    :ivar dle_fallback_splitsize: bytes
    :ivar part_size: bytes
    :ivar part_cache_type: ``none``, ``memory`` or ``disk``
    :ivar part_cache_dir: directory
    :ivar part_cache_max_size: bytes
    """

    dle_tape_splitsize: int | None = None
    dle_split_diskbuffer: str | None = None
    dle_fallback_splitsize: int | None = None
    dle_allow_split: bool | None = None
    part_size: int | None = None
    part_cache_type: str | None = None
    part_cache_dir: str | None = None
    part_cache_max_size: int | None = None


_WIRE_NAMES = {
    "allow": "allow_take_scribe_from",
    "from_worker": "from_worker_name",
    "header_port": "port",
    "tape": "taper",
    "taper": "taper_name",
    "text": "message",
    "worker": "worker_name",
}


def wire_name(field: str) -> str:
    """The name of a field in BAD-COMMAND texts [protocol 3.5]."""
    return _WIRE_NAMES.get(field, field)


class Message(Record):
    """One line of the conversation [protocol 3].

    :cvar name: the first word of the line, e.g. ``FILE-WRITE``.
    :cvar words: what the other words are called in BAD-COMMAND texts.
    :cvar unquoted: fields whose sender never quotes them, though others would.
    """

    name: ClassVar[str] = ""
    words: ClassVar[tuple[str, ...]] = ()
    unquoted: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, name: str) -> None:
        super().__init_subclass__()
        cls.name = name
        words: list[str] = []
        for field, kind in cls.kinds.items():
            words.extend(SplitFields.fields if kind == "SplitFields" else (wire_name(field),))
        cls.words = tuple(words)
