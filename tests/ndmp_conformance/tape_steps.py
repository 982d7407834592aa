"""Steps: drives, tapes and records."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from protocols.ndmp import messages as m
from protocols.ndmp.codes import UNKNOWN, ErrorCode, Mtio, TapeMode
from tests.ndmp_conformance.scene import (
    OK,
    RECORD,
    Scene,
    Step,
    _request,
    ask,
    before4,
    check,
    tries,
)


def tape_open(
    mode: TapeMode = TapeMode.RDWR, device: str = "drive", *errors: Any, patient: bool = True
) -> Step:
    """TAPE_OPEN; whoever had the drive before may be about to leave it."""
    request = m.TapeOpen(device=device, mode=mode)

    def step(scene: Scene) -> None:
        asked = _request(scene, request)
        for _ in tries(scene):
            got = scene.talk.request(asked)
            if not patient or got.error != ErrorCode.DEVICE_BUSY:
                break
        check(scene, asked, got, errors or (OK,))

    return step


def mtio(op: Mtio, count: int = 1, *errors: Any, resid: Any = 0) -> Step:
    """TAPE_MTIO."""
    return ask(m.TapeMtio(op=op, count=count), *errors, resid=resid)


REWIND = mtio(Mtio.REW)
FILEMARK = mtio(Mtio.EOF)
TAPE: tuple[Step, ...] = (tape_open(), REWIND)


_PATTERN = bytes((index * 7 + index // 251 + index // 60013) % 256 for index in range(1 << 19))


def bytes_of(size: int, seed: int = 0) -> bytes:
    """Data unlike that of another seed."""
    start = seed * 211 % (1 << 18)
    return _PATTERN[start : start + size]


def write(size: int = RECORD, *errors: Any, seed: int = 0) -> Step:
    """TAPE_WRITE of one record."""
    fields = {} if errors else {"count": size}
    return ask(m.TapeWrite(data=bytes_of(size, seed)), *errors, **fields)


def read(count: int = RECORD, size: int | None = None, *, seed: int = 0) -> Step:
    """TAPE_READ of one record, of which so many bytes come."""
    size = count if size is None else size
    return ask(m.TapeRead(count=count), data=bytes_of(max(count, size), seed)[:size])


def reads_nothing(*errors: Any, count: int = RECORD) -> Step:
    """TAPE_READ with an error."""
    return ask(m.TapeRead(count=count), *errors)


END = before4((ErrorCode.EOF, ErrorCode.EOM), ErrorCode.EOM)
"""Of reading behind everything."""


def at(file_num: int, blockno: Any) -> Step:
    """TAPE_GET_STATE tells this position."""
    return ask(m.TapeGetState(), file_num=file_num, blockno=blockno)


def unknown_or(value: int) -> tuple[int, int]:
    """A number that the server need not know."""
    return value, UNKNOWN


def files(*sizes: Iterable[int]) -> tuple[Step, ...]:
    """From the beginning: files, each of records of these sizes, and a filemark behind each."""
    steps: list[Step] = [*TAPE]
    for number, records in enumerate(sizes):
        steps += [write(size, seed=number + size) for size in records]
        steps.append(FILEMARK)
    return tuple(steps)
