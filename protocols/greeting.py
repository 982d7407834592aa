"""The greeting of :mod:`protocols.daemon`, as the daemon reads it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

from protocols.daemon import LONGEST, SETTINGS, VERSION, WORD
from protocols.records import Record

_LONGEST_HEAD = len(WORD) + 16
_TEXTS = ("program", "record", "directory")
_LISTS = ("word", "setting")
_LONGEST_NUMBER = 6


class GreetingError(ValueError):
    """This is no greeting of ours; the text says why."""


class Greeting(Record, kw_only=True):
    """What the daemon must know to be what the command would be.

    Texts are as the file system has them: decoded as names of files are, with surrogates for
    what cannot be.

    :ivar program: release of ours; a daemon of another one is another program
    :ivar record: stamp of the installation's record
    :ivar directory: in which the command was started; empty: it is gone
    :ivar words: of the command line, without the program's name
    :ivar settings: names and values of the environment that concern us
    """

    program: str
    record: str
    directory: str
    words: tuple[str, ...]
    settings: tuple[tuple[str, str], ...]


def begins_greeting(data: bytes) -> bool:
    """What was said so far is, or may become, a greeting."""
    return data[: len(WORD) + 1] == (WORD + b" ")[: len(data)]


def parse(data: bytes) -> Greeting | None:
    """The greeting; None: more of it is to come.

    :raise GreetingError: it is none, of another version, or there is more than it
    """
    head, newline, body = data.partition(b"\n")
    if len(head) > _LONGEST_HEAD:
        raise GreetingError("its first line is too long")
    if not newline:
        return None
    words = head.split(b" ")
    if len(words) != 3 or words[0] != WORD or not all(map(_is_number, words[1:])):
        raise GreetingError("its first line is none of a greeting")
    version, length = int(words[1]), int(words[2])
    if version != VERSION:
        raise GreetingError(f"it is of version {version}, expected {VERSION}")
    if length + len(head) + 1 > LONGEST:
        raise GreetingError(f"it has {length} bytes, expected less than {LONGEST}")
    if len(body) > length:
        raise GreetingError("more was said than a greeting")
    return _read_fields(body) if len(body) == length else None


def _is_number(word: bytes) -> bool:
    return word.isdigit() and len(word) <= _LONGEST_NUMBER


def _read_fields(body: bytes) -> Greeting:
    *fields, rest = body.decode(sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()).split(
        "\0"
    )
    if rest:
        raise GreetingError("its last field has no end")
    texts: dict[str, str] = {}
    lists: dict[str, list[str]] = {name: [] for name in _LISTS}
    for field in fields:
        name, equals, value = field.partition("=")
        if not equals or name in texts or name not in (*_TEXTS, *_LISTS):
            raise GreetingError(f"it has a field {name[:40]!r} that is unknown or there twice")
        if name in lists:
            lists[name].append(value)
        else:
            texts[name] = value
    missing = [name for name in _TEXTS if name not in texts]
    if missing:
        raise GreetingError(f"it has no field {missing[0]!r}")
    settings = tuple(_pairs(lists["setting"]))
    return Greeting(**texts, words=tuple(lists["word"]), settings=settings)


def _pairs(settings: Iterable[str]) -> Iterator[tuple[str, str]]:
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or name not in SETTINGS:
            raise GreetingError(f"it has a setting {name[:40]!r} that is unknown or has no value")
        yield name, value
