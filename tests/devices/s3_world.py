"""A store in memory, and ``s3:`` devices on it."""

from __future__ import annotations

from typing import Any

from devices.interfaces import AccessMode
from devices.s3 import S3Device
from devices.s3_asking import Terms
from tests.contract.device import STAMP, read_rest
from tests.fakes.s3_store import MemoryStore

BLOCK = 1024
PART_SIZE = 3 * BLOCK
SOON = Terms(first=0.001, longest=0.002, repeat_for=600.0, most=600.0, grace=0.05)
AT_ONCE = Terms(first=0.001, longest=0.001, repeat_for=0.02, most=600.0, grace=0.05)


def opened(
    store: MemoryStore,
    *,
    whole: bool = False,
    terms: Terms = SOON,
    node: str = "bucket/slot-1-",
    directory: str | None = None,
    **properties: Any,
) -> S3Device:
    """A new device on the volume.

    :param whole: the data of a file are one object
    """
    device = S3Device(f"s3:{node}", node, directory, terms=terms)
    usual = {"block_size": BLOCK, "s3_multi_part_upload": whole, "nb_threads_backup": 3}
    for key, value in {**usual, **properties}.items():
        device.properties.set(key, value)
    device.store = store  # type: ignore[misc, assignment]
    return device


def started(store: MemoryStore, **more: Any) -> S3Device:
    """One that has labelled the volume."""
    device = opened(store, **more)
    device.start(AccessMode.WRITE, "TAPE-01", STAMP)
    return device


def contents(store: MemoryStore, number: int) -> bytes:
    """What another device reads of a file."""
    device = opened(store)
    device.start(AccessMode.READ)
    header = device.seek_file(number)
    assert header is not None
    assert device.file == number
    data = read_rest(device)
    device.finish()
    return data
