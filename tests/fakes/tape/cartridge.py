"""Cartridges: a file in ndmjob's format, and beside it what else is to be known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from attrs import asdict, frozen

from tests.fakes.medium import Medium


@frozen(kw_only=True)
class CartridgeFacts:
    """What is to be known of a cartridge besides what is on it.

    :ivar capacity: bytes of all records; None: without end.
    :ivar early: bytes of all records behind which the drive warns; None: it never does.
    :ivar write_protected: its tab is set.
    :ivar cleaning: it holds no tape at all.
    :ivar load_polls: after it was loaded, a drive is not ready for so many questions.
    :ivar unreadable: file and number of records that no drive can read, only pass.
    """

    capacity: int | None = None
    early: int | None = None
    write_protected: bool = False
    cleaning: bool = False
    load_polls: int = 0
    unreadable: tuple[tuple[int, int], ...] = ()


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def read_facts(path: Path | str) -> CartridgeFacts:
    """What stands beside a cartridge's file."""
    beside = _beside(Path(path))
    facts: dict[str, Any] = json.loads(beside.read_text()) if beside.exists() else {}
    facts["unreadable"] = tuple(map(tuple, facts.get("unreadable", ())))
    return CartridgeFacts(**facts)


def write_facts(path: Path | str, facts: CartridgeFacts) -> None:
    """Put it there."""
    _beside(Path(path)).write_text(json.dumps(asdict(facts)))


def make_cartridge(path: Path | str, *, fresh: bool = False, **facts: Any) -> Path:
    """Make a cartridge with nothing on it.

    :param fresh: never written: reading it is an error. Others have one filemark at their
        beginning, as after ``mt weof``
    :param facts: of :class:`CartridgeFacts`
    """
    path = Path(path)
    path.write_bytes(b"")
    write_facts(path, CartridgeFacts(**facts))
    if not fresh:
        medium = Medium.in_file(path)
        medium.write_filemark()
        medium.close()
    return path


def files_on(path: Path | str) -> list[list[bytes]]:
    """The records of each file on a cartridge, the label's first."""
    medium = Medium.in_file(path)
    try:
        return medium.files()
    finally:
        medium.close()


def records_on(path: Path | str, number: int) -> bytes:
    """The data of a file, header excluded, padding included."""
    return b"".join(files_on(path)[number][1:])
