"""What volumes of ``s3:`` devices may look like, and what of it is cleaned up."""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path

import pytest

from devices.errors import DeviceError, Status
from devices.interfaces import AccessMode
from devices.s3 import S3Device
from protocols.header import HeaderType
from protocols.s3answers import S3Error
from tests.contract.device import PART, STAMP, read_rest, some_bytes, write_part
from tests.devices.s3_world import BLOCK, contents, opened, started
from tests.fakes.s3_store import Fault, MemoryStore, denied, slow_down

P = "slot-1-"
LABEL = f"{P}special-tapestart"


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def block(number: int, block: int) -> str:
    return f"{P}f{number:08x}-b{block:016x}.data"


def header(number: int) -> str:
    return f"{P}f{number:08x}-filestart"


def written(store: MemoryStore, *parts: memoryview) -> None:
    """Label the volume, and write these files."""
    device = started(store)
    for number, data in enumerate(parts, 1):
        assert write_part(device, data) == number
    device.finish()


def reader(store: MemoryStore) -> S3Device:
    device = opened(store)
    device.start(AccessMode.READ)
    return device


# -- the label ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "found", "text"),
    [
        (b"", None, "Empty header file"),
        (b"no header", HeaderType.WEIRD, "Invalid amanda header"),
        (b"AMANDA: NOOP\n\f\n", HeaderType.NOOP, "Invalid amanda header"),
    ],
)
def test_labels_that_are_none(
    store: MemoryStore, data: bytes, found: HeaderType | None, text: str
) -> None:
    """In stock's words."""
    store.objects[LABEL] = data
    reading = opened(store).read_label()
    assert (reading.status, reading.header_type) == (Status.VOLUME_ERROR, found)
    assert reading.error == text


def test_a_volume_without_a_label(store: MemoryStore) -> None:
    reading = opened(store).read_label()
    assert (reading.status, reading.header_type) == (Status(25), None)
    assert reading.error == "Amanda header not found -- unlabeled volume?"


def test_a_label_that_is_no_label_by_its_size(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not even read."""
    monkeypatch.setattr("devices.s3_link.LARGEST_HEADER", 1000)
    store.objects[LABEL] = bytes(1001)
    error = opened(store).read_label().error or ""
    assert "has 1001 bytes, expected a header" in error


def test_headers_have_their_natural_length(store: MemoryStore) -> None:
    """Without padding, and without a block size in the restore text [volumes 1.8, 5.6]."""
    written(store, some_bytes(10))
    assert store.objects[LABEL] == b"AMANDA: TAPESTART DATE %s TAPE TAPE-01\n\f\n" % STAMP.encode()
    text = store.objects[header(1)]
    assert text.startswith(b"AMANDA: SPLIT_FILE 20240102030405 client.example.com /home  part 1/-1")
    assert text.endswith(b"\tdd if=<tape> skip=1 | \n\f\n")


# -- the bucket -----------------------------------------------------------------------------------


def test_a_bucket_is_made_when_it_is_written(store: MemoryStore) -> None:
    """And not by looking; where it may not be made that is told."""
    store.exists = False
    assert opened(store).read_label().status & Status.VOLUME_UNLABELED
    assert not store.exists
    device = opened(store, create_bucket=False)
    text = (
        "Can't list bucket: bucket 'bucket': The specified bucket does not exist (NoSuchBucket) "
        "(HTTP 404): make the bucket, or set CREATE_BUCKET"
    )
    reading = device.read_label()
    assert (reading.status, reading.error) == (Status.DEVICE_ERROR, text)
    device.reset()
    with pytest.raises(DeviceError, match="Can't list bucket"):
        device.start(AccessMode.WRITE, "TAPE-01", STAMP)
    assert not store.exists
    written(store, some_bytes(BLOCK))
    assert store.exists


def test_a_bucket_cannot_be_made(store: MemoryStore) -> None:
    store.exists = False
    store.faults = [Fault("create_bucket", "*", [denied()])]
    device = opened(store)
    with pytest.raises(DeviceError) as caught:
        device.start(AccessMode.WRITE, "TAPE-01", STAMP)
    assert caught.value.text.startswith(
        "While creating new S3 bucket: bucket 'bucket': Access Denied (AccessDenied) (HTTP 403): "
    )
    assert caught.value.status is Status.DEVICE_ERROR


def test_a_bucket_is_where_it_should_be(store: MemoryStore) -> None:
    """One that was made is looked at."""
    store.exists = False
    store.place = "us-west-2"
    device = opened(store, s3_bucket_location="eu-west-1")
    with pytest.raises(DeviceError, match="is in 'us-west-2', but S3_BUCKET_LOCATION is 'eu-west"):
        device.start(AccessMode.WRITE, "TAPE-01", STAMP)
    other = MemoryStore(exists=False)
    device = opened(other, s3_bucket_location="eu-west-1")
    device.start(AccessMode.WRITE, "TAPE-01", STAMP)
    assert other.place == "eu-west-1"
    device.finish()


def test_erasing_leaves_the_bucket(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some servers delete one that is not empty; and for a volume in no bucket none is made, even
    if the server finds nothing wrong with deleting there."""
    written(store, some_bytes(BLOCK))
    store.objects["slot-2-special-tapestart"] = b"of another volume"
    device = opened(store)
    device.erase()
    assert (device.status, device.error) == (Status.VOLUME_UNLABELED, "Unlabeled volume")
    assert set(store.objects) == {"slot-2-special-tapestart"}
    assert store.exists
    store.exists = False
    device.erase()
    monkeypatch.setattr(MemoryStore, "delete_one", lambda *_: None)
    device.erase()
    assert not store.exists


# -- what is left, and what is not ours -----------------------------------------------------------


def test_strangers_stay(store: MemoryStore, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever begins like a file of the volume and is none, and other volumes."""
    written(store, some_bytes(BLOCK))
    others = {f"{P}fotos/1.jpg": b"x", "slot-10-f00000001-filestart": b"y", f"{P}readme": b"z"}
    store.objects.update(others)
    with caplog.at_level(logging.WARNING):
        written(store)
    assert set(store.objects) == {*others, LABEL}
    assert f"1 objects with the same prefix are none of Amanda's, '{P}fotos/1.jpg'" in caplog.text


def test_uploads_that_were_left(store: MemoryStore) -> None:
    """Those of this volume are given up when it is written again, and no others."""
    written(store)
    store.uploads_begun = {f"u{n}": (f"{P}f{n:08x}-mp.data", {}) for n in range(1, 9)}
    others = {"a": ("slot-2-f00000001-mp.data", {}), "b": (f"{P}fotos.tar", {})}
    store.uploads_begun.update(others)
    reader(store).finish()
    assert len(store.uploads_begun) == 10
    store.page_size = 20
    device = opened(store)
    device.start(AccessMode.APPEND)
    assert store.uploads_begun == others
    device.finish()


def test_uploads_that_cannot_be_listed(
    store: MemoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    """Not every store can do so, and not everybody may: they cost room only."""
    store.faults = [Fault("uploads", "*", [S3Error("not here", "NotImplemented", 501), denied()])]
    with caplog.at_level(logging.WARNING):
        written(store, some_bytes(BLOCK))
    assert (
        "uploads that earlier writers have left in bucket 'bucket' stay there: not" in caplog.text
    )
    device = opened(store)
    device.start(AccessMode.APPEND)
    device.finish()
    assert "(AccessDenied)" in caplog.text


def test_a_start_that_was_cut_off(store: MemoryStore) -> None:
    """Half of the old files are gone; the next start does the rest."""
    written(store, *(some_bytes(3 * BLOCK) for _ in range(3)))
    store.faults = [Fault("delete", "*", [None, None, None, slow_down(), denied()])]
    device = opened(store)
    with pytest.raises(DeviceError, match="While deleting S3 keys: bucket 'bucket': "):
        device.start(AccessMode.WRITE, "TAPE-02", STAMP)
    device.finish()
    assert len(store.objects) > 1
    again = opened(store)
    assert again.read_label().label == "TAPE-01"
    again.start(AccessMode.WRITE, "TAPE-02", STAMP)
    again.finish()
    assert set(store.objects) == {LABEL}


def test_data_without_a_header(store: MemoryStore) -> None:
    """Nobody can read them: they go when the volume is written, and number no file."""
    first = some_bytes(BLOCK)
    written(store, first)
    store.objects[block(5, 0)] = b"left"
    device = opened(store)
    device.start(AccessMode.APPEND)
    assert block(5, 0) not in store.objects
    assert write_part(device, some_bytes(BLOCK)) == 6
    device.finish()
    assert contents(store, 1) == first


def test_a_listing_that_lacks_something(store: MemoryStore) -> None:
    """Neither is a file deleted that has a header, nor is one written over."""
    parts = [some_bytes(BLOCK) for _ in range(3)]
    written(store, *parts)
    store.hidden = {header(2), header(3), block(3, 0)}
    device = opened(store)
    device.start(AccessMode.APPEND)
    assert block(2, 0) in store.objects
    with pytest.raises(DeviceError, match="f00000003-filestart' in bucket 'bucket' is there"):
        device.start_file(PART)
    device.finish()
    assert [contents(store, number) for number in (1, 2, 3)] == parts


def test_a_listing_that_does_not_end(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its end is an error."""
    monkeypatch.setattr("devices.s3_volume._MOST_PAGES", 10)
    monkeypatch.setattr(MemoryStore, "page", lambda _, prefix, after="": ([], f"{after}x"))
    with pytest.raises(DeviceError, match=r"While listing S3 keys: .*: the listing does not end"):
        started(store)


@pytest.mark.parametrize(
    "refusal",
    [
        S3Error("not here", "NotImplemented", 501),
        S3Error("no POST", "MethodNotAllowed", 405),
        S3Error("no sum", "MissingContentMD5", 400),
    ],
)
def test_a_store_that_deletes_one_by_one(store: MemoryStore, refusal: S3Error) -> None:
    """Is asked to do so from then on."""
    written(store, some_bytes(3 * BLOCK))
    error = S3Error(refusal.message, refusal.code, 501)
    store.faults = [Fault("delete", "*", [error])]
    written(store)
    assert set(store.objects) == {LABEL}
    device = opened(store, s3_multi_delete=False)
    device.start(AccessMode.WRITE, "TAPE-01", STAMP)
    device.finish()


def test_the_next_file_behind_a_hole(store: MemoryStore) -> None:
    """Where files were recycled reading goes on with the next; the end is where it was."""
    parts = [some_bytes(BLOCK) for _ in range(4)]
    written(store, *parts)
    for number in (1, 2):
        del store.objects[header(number)]
        del store.objects[block(number, 0)]
    device = reader(store)
    for wanted, found in ((1, 3), (2, 3), (3, 3), (4, 4)):
        assert device.seek_file(wanted) is not None
        assert device.file == found
        assert read_rest(device) == parts[found - 1]
    end = device.seek_file(5)
    assert end is not None
    assert end.type is HeaderType.TAPEEND
    assert device.seek_file(6) is None
    assert device.seek_file(2**40) is None
    device.finish()


# -- data that are not what they should be --------------------------------------------------------


def read_error(store: MemoryStore) -> str:
    """What is said when the first file is read to its end."""
    device = reader(store)
    assert device.seek_file(1) is not None
    with pytest.raises(DeviceError) as caught:
        read_rest(device)
    assert caught.value.status is Status.VOLUME_ERROR
    device.finish()
    return caught.value.text


def test_a_block_is_missing(store: MemoryStore) -> None:
    """That is not the end of the data."""
    written(store, some_bytes(20 * BLOCK))
    del store.objects[block(1, 5)]
    text = read_error(store)
    assert text.startswith("While reading data block from S3: ")
    assert f"'{block(1, 5)}' in bucket 'bucket': it is missing, though '{block(1, 6)}' is" in text


def test_a_block_is_short(store: MemoryStore) -> None:
    written(store, some_bytes(20 * BLOCK))
    store.objects[block(1, 5)] = bytes(10)
    text = f"'{block(1, 5)}' has 10 bytes, the blocks before it 1024, and it is not the last"
    assert text in read_error(store)


def test_a_block_is_empty(store: MemoryStore) -> None:
    written(store, some_bytes(2 * BLOCK))
    store.objects[block(1, 1)] = b""
    assert f"'{block(1, 1)}' in bucket 'bucket': it is empty" in read_error(store)


def test_larger_blocks_than_ours(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Are read, unless the memory would be too small; then the text says what to set."""
    data = some_bytes(50 * BLOCK)
    device = opened(store, block_size=10 * BLOCK)
    device.start(AccessMode.WRITE, "TAPE-01", STAMP)
    write_part(device, data)
    device.finish()
    assert contents(store, 1) == data
    monkeypatch.setattr("devices.s3_reading.LARGEST_OBJECT", 2 * BLOCK)
    assert "it has 10240 bytes, expected 2048 at most: set BLOCK_SIZE to 10240" in read_error(store)


def test_an_object_that_is_replaced_meanwhile(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("devices.s3_reading.LEAST_AT_ONCE", BLOCK)
    device = started(store, whole=True)
    write_part(device, some_bytes(20 * BLOCK))
    device.finish()
    device = reader(store)
    assert device.seek_file(1) is not None
    buffer = memoryview(bytearray(BLOCK))
    assert device.read_blocks(buffer) == BLOCK
    store.objects[f"{P}f00000001-mp.data"] += b"more"
    with pytest.raises(DeviceError, match="it was changed meanwhile: it had 20480 bytes, and now"):
        read_rest(device)
    device.finish()


def test_etags_that_are_something_else(store: MemoryStore) -> None:
    """Data that do not fit their ETag are read again; the same data twice are what there is."""
    data = some_bytes(3 * BLOCK)
    written(store, data)
    store.unsound = {block(1, 1)}
    assert contents(store, 1) == data
    assert store.calls.count(("get", block(1, 1))) == 2


def test_one_reads_what_the_other_layout_is(store: MemoryStore) -> None:
    """Both layouts on one volume, whatever the reader's own settings are."""
    first, second = some_bytes(9 * BLOCK + 1), some_bytes(7 * BLOCK + 1)
    device = started(store)
    write_part(device, first)
    device.finish()
    device = opened(store, whole=True)
    device.start(AccessMode.APPEND)
    assert write_part(device, second) == 2
    device.finish()
    assert set(store.objects) >= {block(1, 9), f"{P}f00000002-mp.data"}
    for whole in (False, True):
        device = opened(store, whole=whole, nb_threads_recovery=2)
        device.start(AccessMode.READ)
        for number, data in ((1, first), (2, second)):
            assert device.seek_file(number) is not None
            assert read_rest(device) == data
        device.finish()
    assert not store.uploads_begun


# -- stock's note of the label --------------------------------------------------------------------


def note(tmp_path: Path) -> Path:
    return tmp_path / "bucket-bucket" / P


def test_the_note_of_the_label(store: MemoryStore, tmp_path: Path) -> None:
    """As stock writes and believes it: made by a label and by reading one, gone with it."""
    directory = str(tmp_path)
    started(store, directory=directory).finish()
    text = 'LABEL: TAPE-01\nHEADER: "AMANDA: TAPESTART DATE 20240102030405 TAPE TAPE-01\\n\\f\\n"\n'
    path = note(tmp_path)
    assert path.read_text() == text
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    path.write_text("LABEL: OLD-01\n")
    assert opened(store, directory=directory).read_label().label == "TAPE-01"
    assert path.read_text() == text
    before = path.stat().st_ino
    opened(store, directory=directory).read_label()
    assert path.stat().st_ino == before
    opened(store, directory=directory).erase()
    assert not path.exists()
    path.write_text(text)
    assert opened(store, directory=directory).read_label().status & Status.VOLUME_UNLABELED
    assert not path.exists()


@pytest.mark.parametrize("node", ["bucket", "bucket/a/b-"])
def test_volumes_without_a_note(store: MemoryStore, tmp_path: Path, node: str) -> None:
    started(store, directory=str(tmp_path), node=node).finish()
    assert not any(tmp_path.iterdir())


def test_a_note_that_cannot_be_written(
    store: MemoryStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Is warned of; the old one goes, as stock would believe it. No link is followed."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("of somebody else")
    note(tmp_path).parent.mkdir()
    os.symlink(elsewhere, note(tmp_path).with_name(f"{P}.new-{os.getpid()}"))
    note(tmp_path).write_text("LABEL: OLD-01\n")
    with caplog.at_level(logging.WARNING):
        started(store, directory=str(tmp_path)).finish()
    assert "cannot note the label 'TAPE-01'" in caplog.text
    assert not note(tmp_path).exists()
    assert elsewhere.read_text() == "of somebody else"
