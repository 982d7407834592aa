"""What amrecover asks for, read line by line [recovery 6.3]."""

from __future__ import annotations

import re

from attrs import field, frozen

from protocols.recovery.features import OLD, Features

MAX_FILES = 1_000_000
"""Files on volumes that one request may name."""

HOLDING = "HOLDING"
"""The storage of a dump that is on no volume yet."""

_DIGITS = re.compile(r"[0-9]{1,9}\Z")
_CONFIG = re.compile(r"[^/\s.][^/\s]{0,254}\Z")
"""A name and no path: the peer chooses one of the configurations of this host, nothing else."""
_PROTECTED = re.compile(r"\\(.)", re.DOTALL)
_BETWEEN = {at: re.compile(rf"(?:[^{at}\\]|\\.)+|\\\Z", re.DOTALL) for at in (";", ":")}
_LINE = re.compile(r"([A-Z]+)(?:=(.*))?\Z", re.DOTALL)
_KNOWN = frozenset(
    ("HOST", "DISK", "DATESTAMP", "LABEL", "DEVICE", "FSF", "HEADER", "FEATURES", "CONFIG")
)


class BadRequest(Exception):
    """The request makes no sense; the text is for the person at amrecover."""

    taper_code = 7007


@frozen
class Place:
    """Files on one volume.

    :ivar storage: its name; empty: not told.
    """

    storage: str
    label: str
    files: tuple[int, ...]


@frozen(kw_only=True)
class Request:
    """What is to be recovered.

    :ivar config: name of the configuration.
    :ivar places: where the dump is said to lie, in order of reading.
    :ivar holding: path of its first holding file, if it is on no volume.
    :ivar device: the changer or storage that the volumes shall be looked for in; None: the usual.
    :ivar fsf: number of the first file, where the places name none.
    :ivar host: as a match expression, as ``disk``; empty: any.
    :ivar datestamp: of the dump; empty: any.
    :ivar header: a header is wanted before the data.
    """

    config: str
    places: tuple[Place, ...] = ()
    holding: str | None = None
    device: str | None = None
    fsf: int = 0
    host: str = ""
    disk: str = ""
    datestamp: str = ""
    header: bool = False
    features: Features = field(default=OLD)


def parse_packet(text: str) -> dict[str, str]:
    """The options of the packet that amandad gives to a service: ``OPTIONS key=value;...``."""
    for line in text.splitlines():
        if line.startswith("OPTIONS "):
            words = (word.partition("=") for word in line[8:].split(";") if word)
            return {key: value for key, _, value in words}
    return {}


def parse_places(text: str, *, with_storage: bool) -> tuple[Place, ...]:
    """Read ``STORAGE:LABEL:FILE,FILE;...``; a backslash takes the meaning from what follows it.

    :param with_storage: the storages are told
    :raise BadRequest: it is no such text
    """
    places = []
    count = 0
    for piece in _split(text, ";"):
        fields = [_plain(word) for word in _split(piece, ":")]
        if with_storage and len(fields) > 2:
            storage, label, *rest = fields
        else:
            storage, label, *rest = "", *(fields or [""])
        if len(rest) > 1 or not label:
            raise BadRequest(f"LABEL has '{piece[:200]}', expected a volume and its files")
        numbers = rest[0].split(",") if rest and rest[0] else []
        count += len(numbers)
        if count > MAX_FILES:
            raise BadRequest(f"LABEL has more than {MAX_FILES} files")
        for number in numbers:
            if not _DIGITS.match(number):
                raise BadRequest(f"LABEL has the file '{number[:40]}', expected a number")
        places.append(Place(storage, label, tuple(int(number) for number in numbers)))
    return tuple(places)


def _split(text: str, at: str) -> list[str]:
    """The pieces between separators that no backslash protects; backslashes stay."""
    return _BETWEEN[at].findall(text)


def _plain(word: str) -> str:
    return _PROTECTED.sub(r"\1", word)


def exactly(expression: str) -> str:
    """The one name that a match expression ``^NAME$`` stands for; other texts are names already."""
    if expression.startswith("^") and expression.endswith("$"):
        return _plain(expression[1:-1])
    if expression.startswith("="):
        return _plain(expression[1:])
    return expression


class RequestReader:
    """Gathers the lines of a request."""

    def __init__(self) -> None:
        self._values: dict[str, str] = {}
        self.features = OLD

    def line(self, text: str) -> bool:
        """Take one line, without its end.

        :return: it was FEATURES, which is to be answered
        :raise BadRequest: there is no such line
        """
        found = _LINE.match(text)
        if found is None:
            return False  # stock takes no offence either
        key, value = found.groups()
        if key not in _KNOWN:
            raise BadRequest(f"invalid command '{key[:40]}'")
        self._values.setdefault(key, value or "")
        if key != "FEATURES":
            return False
        try:
            self.features = Features.parse(value or "")
        except ValueError as error:
            raise BadRequest(str(error)) from None
        return True

    def request(self, correct_quoting: bool, storage_told: bool) -> Request:
        """What the lines say.

        :param correct_quoting: the disk is quoted so that it can be believed
        :param storage_told: LABEL tells storages
        :raise BadRequest: something is missing, or makes no sense
        """
        values = self._values
        config = values.get("CONFIG", "")
        if not _CONFIG.match(config):
            raise BadRequest(f"CONFIG is '{config[:40]}', expected the name of a configuration")
        device = values.get("DEVICE") or None
        holding = None
        if "LABEL" not in values or f"{HOLDING}:/" in (device or ""):
            holding = _holding_file(device or "")
        fsf = values.get("FSF") or "0"
        if not _DIGITS.match(fsf):
            raise BadRequest(f"FSF is '{fsf[:40]}', expected a number")
        label = "" if holding else values.get("LABEL", "")
        return Request(
            config=config,
            places=parse_places(label, with_storage=storage_told),
            holding=holding,
            device=device,
            fsf=int(fsf),
            host=values.get("HOST", ""),
            disk=values.get("DISK", "") if correct_quoting else "",
            datestamp=values.get("DATESTAMP", ""),
            header="HEADER" in values,
            features=self.features,
        )


def _holding_file(text: str) -> str:
    """The path in ``HOLDING:PATH:0``."""
    word = text.removeprefix(f"{HOLDING}:").removesuffix(":0")
    path = _plain(word)
    if not path.startswith("/"):
        raise BadRequest(f"DEVICE is '{text[:200]}', expected a holding file where no LABEL is")
    return path
