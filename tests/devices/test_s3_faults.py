"""The device ``s3:`` when requests fail: each at any moment, finally or for a while."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from attrs import evolve
from zope.interface.verify import verifyObject

from devices.errors import DeviceError, Status
from devices.interfaces import AccessMode, IHurries, WriteEnd
from devices.s3 import S3Device
from devices.s3_asking import Terms
from protocols.header import HeaderType
from protocols.s3answers import S3Error
from tests.contract.device import PART, STAMP, read_rest, some_bytes, write_part
from tests.devices.s3_world import AT_ONCE, BLOCK, PART_SIZE, SOON, contents, opened, started
from tests.fakes.s3_store import Fault, MemoryStore, denied, reset, slow_down


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that objects of few blocks are made of several parts."""
    monkeypatch.setattr("devices.s3_writing.LEAST_PART", PART_SIZE)
    monkeypatch.setattr("devices.s3_reading.LEAST_AT_ONCE", PART_SIZE)


@pytest.fixture
def store() -> Iterator[MemoryStore]:
    store = MemoryStore()
    yield store
    store.answer.set()


@pytest.fixture(params=[False, True], ids=["blocks", "whole"])
def whole(request: pytest.FixtureRequest) -> bool:
    """The data of a file are one object."""
    return bool(request.param)


def wait_for(reached: Callable[[], bool]) -> None:
    """Until another thread has come so far."""
    end = time.monotonic() + 60
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.002)


# -- any request may fail -------------------------------------------------------------------------


class Night:
    """A volume is labelled and written, later appended to and read.

    :ivar good: data of the files that were finished, by number
    """

    def __init__(self, store: MemoryStore, whole: bool, terms: Terms) -> None:
        self.store = store
        self.whole = whole
        self.terms = terms
        self.good: dict[int, bytes] = {}
        self.labelled = False
        self.read: dict[int, bytes] = {}

    def device(self) -> S3Device:
        return opened(self.store, whole=self.whole, terms=self.terms)

    def run(self) -> None:
        """:raise DeviceError: it was cut short"""
        device = self.device()
        device.read_label()
        device.start(AccessMode.WRITE, "TAPE-01", STAMP)
        self.labelled = True
        self.write(device, 0)
        self.write(device, 7 * BLOCK + 5)
        self.write(device, BLOCK)
        device.finish()
        device = self.device()
        device.start(AccessMode.APPEND)
        self.write(device, 8 * BLOCK)
        device.finish()
        device.start(AccessMode.READ)
        for number in range(1, 6):
            header = device.seek_file(number)
            if header is not None and header.type is not HeaderType.TAPEEND:
                self.read[number] = read_rest(device)
        device.finish()

    def write(self, device: S3Device, size: int) -> None:
        data = some_bytes(size)
        number = device.start_file(evolve(PART, partnum=len(self.good) + 1)).number
        try:
            if size:
                written = device.write_blocks(data)
                if written.end is not WriteEnd.NONE:
                    raise DeviceError(device.error or "")
        finally:
            device.finish_file()
        self.good[number] = bytes(data)

    def check(self) -> None:
        """What was called good is there, whatever else is."""
        for number, data in self.good.items():
            assert contents(self.store, number) == data
        for number, data in self.read.items():
            assert data == self.good[number]


@pytest.mark.parametrize(("error", "terms"), [(denied, SOON), (slow_down, AT_ONCE)])
def test_a_final_fault_at_any_request(
    whole: bool, error: Callable[[], S3Error], terms: Terms
) -> None:
    """Is told, in full, or it harms nothing; and what was told to be good is good."""
    at = 0
    while True:
        store = MemoryStore(page_size=4)
        number = 0

        failing: list[tuple[str, str]] = []

        def hang(operation: str, key: str) -> bool:
            nonlocal number
            with store.lock:  # noqa: B023
                if failing:  # noqa: B023
                    failed = (operation, key) == failing[0]  # noqa: B023
                else:
                    number += 1
                    failed = number > at  # noqa: B023
                    if failed:
                        failing.append((operation, key))  # noqa: B023
                if failed:
                    raise error()
            return False

        store.hang = hang
        night = Night(store, whole, terms)
        try:
            night.run()
            cut_short = False
        except DeviceError as fault:
            cut_short = True
            text = fault.text
        store.hang = lambda operation, key: False
        night.check()
        if not failing:
            assert not cut_short
            assert sorted(night.read) == [1, 2, 3, 4]
            return
        if cut_short:
            operation, key = failing[0]
            assert "bucket 'bucket'" in text, (operation, text)
            assert f"({error().code}) (HTTP {error().http})" in text
            if key.endswith(("data", "filestart", "tapestart")) and operation != "delete":
                assert key in text or key.endswith("tapestart"), (operation, text)
        else:
            # only what is done at the end, or again at the next start, may fail silently
            assert failing[0][0] in ("abort", "get", "uploads"), failing
        at += 1


def test_a_fault_for_a_while_at_any_request(whole: bool) -> None:
    """Harms nothing, whether the request was done or not."""
    for done in (False, True):
        store = MemoryStore(page_size=4)
        store.faults = [
            Fault("*", "*", [error for _ in range(100) for error in (None, reset())], done)
        ]
        night = Night(store, whole, SOON)
        night.run()
        night.check()
        assert sorted(night.good) == [1, 2, 3, 4]
        assert night.read == night.good


def test_no_repetition_of_what_will_not_go_well(store: MemoryStore) -> None:
    """A refusal is told at once; what to look at is told as well."""
    store.faults = [Fault("put", "*tapestart", [denied(), denied()])]
    with pytest.raises(DeviceError) as caught:
        started(store)
    assert store.calls.count(("put", "slot-1-special-tapestart")) == 1
    assert caught.value.text == (
        "While writing amanda header: 'slot-1-special-tapestart' in bucket 'bucket': Access Denied "
        "(AccessDenied) (HTTP 403): look at what the policies of the access key and of the bucket "
        "allow"
    )
    assert caught.value.status is Status.DEVICE_ERROR | Status.VOLUME_ERROR


def test_repetitions_end(store: MemoryStore) -> None:
    """And are counted."""
    store.faults = [Fault("put", "*tapestart", [slow_down() for _ in range(10_000)])]
    with pytest.raises(
        DeviceError, match=r"\(SlowDown\) \(HTTP 503\) \(after [0-9]+ retr(y|ies)\)"
    ):
        started(store, terms=AT_ONCE)
    assert store.calls.count(("put", "slot-1-special-tapestart")) > 1


# -- a file counts when all of it does ------------------------------------------------------------


def test_a_block_that_is_not_stored(store: MemoryStore, whole: bool) -> None:
    """Is told at a later block, and at the end of the file; the next file is well."""
    device = started(store, whole=whole)
    pattern = "*f00000001-mp.data" if whole else "*f00000001-b0000000000000002.data"
    operation = "put_part" if whole else "put"
    store.faults = [Fault(operation, pattern, [denied()])]
    device.start_file(PART)
    end = WriteEnd.NONE
    for _ in range(200):
        end = device.write_blocks(some_bytes(BLOCK)).end
        if end is not WriteEnd.NONE:
            break
    assert end is WriteEnd.FAILED
    assert not device.is_eom
    text = device.error or ""
    assert text.startswith("While writing data block to S3: 'slot-1-f00000001-")
    assert "(AccessDenied)" in text
    with pytest.raises(DeviceError) as caught:
        device.finish_file()
    assert caught.value.text == text
    assert not device.in_file
    assert not store.uploads_begun
    data = some_bytes(10 * BLOCK)
    assert write_part(device, data) == 2
    device.finish()
    assert contents(store, 2) == data


def test_the_last_block_is_not_stored(store: MemoryStore, whole: bool) -> None:
    """Only the end of the file can tell, and it does."""
    device = started(store, whole=whole)
    store.faults = [Fault("put", "*data", [denied()])]
    device.start_file(PART)
    assert device.write_blocks(some_bytes(BLOCK)).end is WriteEnd.NONE
    with pytest.raises(DeviceError, match="AccessDenied"):
        device.finish_file()
    device.finish()


def test_no_thread_for_a_request(
    store: MemoryStore, whole: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails the part, never the taper; and no part is good that lacks a block."""
    device = started(store, whole=whole)
    device.start_file(PART)
    with monkeypatch.context() as patched:

        def none(*_: Any) -> None:
            raise RuntimeError("can't start new thread")

        patched.setattr(threading.Thread, "start", none)
        assert device.write_blocks(some_bytes(10 * BLOCK)).end is WriteEnd.FAILED
        with pytest.raises(DeviceError, match="cannot start thread"):
            device.finish_file()
    assert write_part(device, some_bytes(BLOCK)) == 2
    device.finish()


def test_a_completion_whose_answer_is_lost(store: MemoryStore) -> None:
    """Asked again, the server knows no such upload any more; the object tells."""
    device = started(store, whole=True)
    store.faults = [Fault("complete", "*", [reset()], done=True)]
    data = some_bytes(10 * BLOCK)
    assert write_part(device, data) == 1
    device.finish()
    assert contents(store, 1) == data


def test_an_upload_that_somebody_has_given_up(store: MemoryStore) -> None:
    """Is no object, and no part."""
    device = started(store, whole=True)
    device.start_file(PART)
    device.write_blocks(some_bytes(10 * BLOCK))

    def give_up(operation: str, key: str) -> bool:
        if operation == "complete":
            store.uploads_begun.clear()
        return False

    store.hang = give_up
    with pytest.raises(DeviceError, match="NoSuchUpload"):
        device.finish_file()
    device.finish()


def test_an_object_that_is_not_all_of_it(store: MemoryStore) -> None:
    """The server says that it is complete, and it is not."""
    device = started(store, whole=True)
    device.start_file(PART)
    device.write_blocks(some_bytes(10 * BLOCK))

    def cut(operation: str, key: str) -> bool:
        if operation == "size":
            store.objects[key] = store.objects[key][:-1]
        return False

    store.hang = cut
    with pytest.raises(DeviceError, match=f"has {10 * BLOCK - 1} bytes, {10 * BLOCK} were stored"):
        device.finish_file()


def test_more_parts_than_an_object_may_have(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The text says what to do; before it comes to that, parts grow."""
    monkeypatch.setattr("devices.s3_writing.MOST_PARTS", 6)
    monkeypatch.setattr("devices.s3_writing._GROWTH", 2)
    device = started(store, whole=True)
    device.start_file(PART)
    blocks = 3 * 2 * (1 + 2 + 3)
    data = some_bytes(blocks * BLOCK)
    assert device.write_blocks(data).end is WriteEnd.NONE
    sizes: list[int] = []

    def look(operation: str, key: str) -> bool:
        if operation == "complete":
            sizes.extend(len(part) for part in next(iter(store.uploads_begun.values()))[1].values())
        return False

    store.hang = look
    device.finish_file()
    assert sorted(sizes) == [PART_SIZE * n for n in (1, 1, 2, 2, 3, 3)]
    device.start_file(PART)
    assert device.write_blocks(data).end is WriteEnd.NONE
    assert device.write_blocks(some_bytes(30 * BLOCK)).end is WriteEnd.FAILED
    assert "raise BLOCK_SIZE" in (device.error or "")
    device.finish()
    assert contents(store, 1) == data


def test_as_many_requests_as_told(store: MemoryStore, whole: bool) -> None:
    """And no more blocks in memory: who offers more waits."""
    device = started(store, whole=whole, nb_threads_backup=2)
    device.start_file(PART)
    store.hang = lambda operation, key: operation in ("put", "put_part")
    over = threading.Event()

    def write() -> None:
        device.write_blocks(some_bytes(40 * BLOCK))
        over.set()

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    wait_for(lambda: store.at_once == 2)
    assert not over.is_set()
    store.answer.set()
    assert over.wait(60)
    device.finish_file()
    assert store.most_at_once == 2
    device.finish()


# -- all is to end --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "act"),
    [
        ("get", lambda device: device.read_label()),
        ("page", lambda device: device.start(AccessMode.WRITE, "TAPE-01", STAMP)),
        ("put", lambda device: device.start(AccessMode.WRITE, "TAPE-01", STAMP)),
        ("delete_one", lambda device: device.erase()),
    ],
)
def test_a_server_that_does_not_answer(
    store: MemoryStore, operation: str, act: Callable[[S3Device], object]
) -> None:
    """Keeps nobody waiting who is in a hurry; the device is finished, and is of use again."""
    device = opened(store)
    assert verifyObject(IHurries, device)
    store.hang = lambda asked, key: asked == operation
    error = in_a_hurry(device, store, operation, lambda: act(device))
    assert "no answer came, given up, as all is to end" in error
    device.finish()
    store.answer.set()
    store.hang = lambda asked, key: False
    device.reset()
    device.start(AccessMode.WRITE, "TAPE-02", STAMP)
    assert write_part(device, some_bytes(BLOCK)) == 1
    device.finish()


def in_a_hurry(
    device: S3Device, store: MemoryStore, operation: str, act: Callable[[], object]
) -> str:
    """Hurry once the server was asked. :return: what the device says"""
    over: list[str] = []

    def run() -> None:
        with suppress(DeviceError):
            act()
        over.append(device.error or "")

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    wait_for(lambda: any(asked == operation for asked, _ in store.calls))
    device.hurry()
    thread.join(60)
    assert over
    return over[0]


def test_a_server_that_does_not_take_the_data(store: MemoryStore, whole: bool) -> None:
    """Neither the blocks, nor the end of the file, nor giving up the upload keeps anybody."""
    device = started(store, whole=whole)
    device.start_file(PART)
    taken = ("put_part", "abort") if whole else ("put",)
    store.hang = lambda operation, key: operation in taken
    error = in_a_hurry(device, store, taken[0], lambda: device.write_blocks(some_bytes(99 * BLOCK)))
    assert "given up, as all is to end" in error
    with pytest.raises(DeviceError):
        device.finish_file()
    device.finish()
    assert device.access_mode is AccessMode.NULL


def test_no_pause_keeps_who_is_in_a_hurry(store: MemoryStore) -> None:
    """Nor is anything tried again."""
    slow = Terms(first=1000.0, longest=1000.0, repeat_for=1e6, most=1e6, grace=0.05)
    device = opened(store, terms=slow)
    store.faults = [Fault("get", "*", [slow_down() for _ in range(9)])]
    error = in_a_hurry(device, store, "get", device.read_label)
    assert error.startswith("While connecting to S3 bucket: bucket 'bucket': ")
    assert len(store.calls) == 1


def test_a_request_that_takes_too_long(store: MemoryStore) -> None:
    """Is given up without a hurry; nothing is written while it may still do something."""
    device = opened(store, terms=evolve(SOON, most=0.05))
    store.hang = lambda operation, key: True
    reading = device.read_label()
    assert "no answer came, it took too long" in (reading.error or "")
    store.answer.set()
    device.asking.terms = SOON
    device.reset()
    device.start(AccessMode.WRITE, "TAPE-01", STAMP)
    device.finish()


def test_a_file_that_is_given_up(store: MemoryStore) -> None:
    """Leaves no upload behind."""
    device = started(store, whole=True)
    device.start_file(PART)
    device.write_blocks(some_bytes(10 * BLOCK))
    assert store.uploads_begun
    device.finish()
    assert not store.uploads_begun
    assert "slot-1-f00000001-mp.data" not in store.objects
