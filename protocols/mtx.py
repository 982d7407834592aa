"""What the program ``mtx`` is asked, and what it says [changers 3.8].

Pure. Its arguments are words of a list and never pass a shell; what it says is read line by line,
and all that is no slot, drive or barcode is passed over.
"""

from __future__ import annotations

import re

from protocols.library import Place, RobotStatus, clean_number

MAX_OUTPUT = 4 * 2**20
"""Bytes that it may say: the status of 65535 slots has some 3.5 MiB."""

_LONGEST_LINE = 1000
_LONGEST_TEXT = 1000

_DRIVE = re.compile(r"[ \t]*Data Transfer Element[ \t]*(?:([0-9]+)[ \t]*)?:[ \t]*(.*)", re.I | re.A)
_SLOT = re.compile(
    r"[ \t]*Storage Element[ \t]*([0-9]+)[ \t]*(?:(IMPORT/EXPORT)[ \t]*)?:[ \t]*(.*)", re.I | re.A
)
_TAG = re.compile(r":VolumeTag[ \t]*=[ \t]*([^ \t]+)", re.I | re.A)
_SOURCE = re.compile(r"\(Storage Element ([0-9]+) Loaded\)", re.I | re.A)
_SENSE_KEY = "mtx: Request Sense: Sense Key="


class MtxError(Exception):
    """What it says cannot be what it was asked for; the message says why."""

    taper_code = 3010


def status_arguments(device: str, *, barcodes: bool) -> list[str]:
    """Ask what is where."""
    return ["-f", device, *([] if barcodes else ["nobarcode"]), "status"]


def inquiry_arguments(device: str) -> list[str]:
    """Ask who made the robot."""
    return ["-f", device, "inquiry"]


def move_arguments(device: str, move: str, first: str, second: str) -> list[str]:
    """Have a volume moved.

    :param move: ``load`` and ``unload``: slot, drive; ``transfer``: slot, slot
    :raise MtxError: a slot or drive is not a number
    """
    for number in (first, second):
        if clean_number(number) != number:
            raise MtxError(f"'{number}' is no slot or drive, a number from 0 to 65535 expected")
    return ["-f", device, move, first, second]


def parse_status(output: str, *, barcodes: bool = True) -> RobotStatus:
    """What is where.

    :param barcodes: read those of slots; drives tell theirs all the same, if at all
    :raise MtxError: there is neither a slot nor a drive in it
    """
    slots: dict[str, Place] = {}
    drives: dict[str, Place] = {}
    for line in _lines(output):
        if match := _DRIVE.match(line):
            full, number = _is_full(match[2]), clean_number(match[1] or "0")
            if full is not None and number is not None:
                drives[number] = _drive(match[2]) if full else Place(full=False)
        elif match := _SLOT.match(line):
            full, number = _is_full(match[3]), clean_number(match[1])
            if full is not None and number is not None:
                tag = _TAG.search(match[3]) if full and barcodes else None
                slots[number] = Place(
                    full=full, barcode=tag and tag[1], import_export=match[2] is not None
                )
    if not slots and not drives:
        said = _one_line(output) or "nothing"
        raise MtxError(f"no slot and no drive in what it says of them: {said}")
    return RobotStatus(slots, drives)


def _drive(told: str) -> Place:
    tag, source = _TAG.search(told), _SOURCE.search(told)
    return Place(full=True, barcode=tag and tag[1], source=source and clean_number(source[1]))


def _is_full(told: str) -> bool | None:
    word = told[:5].lower()
    return word[:4] == "full" if word[:4] == "full" or word == "empty" else None


def parse_inquiry(output: str) -> str:
    """The names of maker and product, ``<unknown>`` for one that is not told."""
    told: dict[str, str] = {}
    for line in _lines(output):
        key, colon, value = line.rpartition(":")
        if colon:
            told[key.strip().lower()] = value.strip().strip("'").strip()
    names = (told.get("vendor id"), told.get("product id"))
    return " ".join(name or "<unknown>" for name in names)


def sense_key(output: str) -> str | None:
    """Of the SCSI error that a failed mtx tells of; None: it tells of none."""
    for line in _lines(output):
        if line.startswith(_SENSE_KEY):
            return line.removeprefix(_SENSE_KEY).strip() or None
    return None


def describe_failure(output: str, ended: str, *, of_status: bool = False) -> str:
    """Why mtx failed, as one line of limited length.

    :param ended: how it ended, if it said nothing
    :param of_status: a SCSI error is then told by its sense key alone, as stock does
    """
    key = sense_key(output) if of_status else None
    told = f"SCSI error; Sense Key={key}" if key else _one_line(output) or ended
    return f"error from mtx: {told}"


def _lines(output: str) -> list[str]:
    return [line[:_LONGEST_LINE].rstrip() for line in output.split("\n")]


def _one_line(output: str) -> str:
    joined = " ".join(output[: 2 * _LONGEST_TEXT].split())
    return joined if len(joined) <= _LONGEST_TEXT else f"{joined[:_LONGEST_TEXT]}..."
