"""A vtape behaves as a tape does, and stays a volume of ``file:``."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.errors import Status
from devices.file import FileDevice
from devices.interfaces import AccessMode
from protocols.header import Header, HeaderType, build_header
from protocols.ndmp_server.interfaces import Refused, TapeEnd, Unfit
from taper.tapeserver.vtape_tape import VtapeTape
from tests.fakes.medium import Medium

BLOCK = 32768
STAMP = "20260102030405"


def label(name: str = "VOL-1") -> bytes:
    return build_header(Header(type=HeaderType.TAPESTART, label=name, datestamp=STAMP), BLOCK, None)


def header(part: int = 1, disk: str = "/home") -> bytes:
    made = Header(
        type=HeaderType.SPLIT_DUMPFILE,
        datestamp=STAMP,
        host="client",
        disk=disk,
        partnum=part,
        totalparts=-1,
        program="GNUTAR",
    )
    return build_header(made, BLOCK, None)


@contextmanager
def directory() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="vtape.") as path:
        yield path


@pytest.fixture
def node() -> Iterator[str]:
    with directory() as path:
        yield path


def record(number: int, size: int = BLOCK) -> bytes:
    return number.to_bytes(4, "big") * (size // 4)


def write_volume(tape: Any, *files: int) -> None:
    """A label, and so many records of data in each file."""
    assert tape.write(label()) is None
    tape.write_filemark()
    for number, records in enumerate(files, 1):
        assert tape.write(header(number)) is None
        for count in range(records):
            assert tape.write(record(100 * number + count)) is None
        tape.write_filemark()


MOTIONS = ("forward_records", "back_records", "forward_filemarks", "back_filemarks")
STEPS = st.one_of(
    st.tuples(st.sampled_from(MOTIONS), st.integers(0, 6)),
    st.tuples(st.sampled_from(("rewind", "read", "read", "write", "mark", "run"))),
)


@settings(max_examples=120)
@given(
    files=st.lists(st.integers(0, 3), max_size=4), steps=st.lists(STEPS, min_size=1, max_size=25)
)
def test_it_is_a_tape(files: list[int], steps: list[tuple[Any, ...]]) -> None:
    """Whatever a client does, position and contents are those of a tape with the same records."""
    with directory() as path:
        tape, model = VtapeTape(path), Medium()
        for one in (tape, model):
            write_volume(one, *files)
        for count, (name, *arguments) in enumerate(steps):
            if name in MOTIONS:
                assert getattr(tape, name)(*arguments) == getattr(model, name)(*arguments)
            elif name == "rewind":
                _leave(model, tape)
                tape.rewind()
                model.rewind()
            elif name == "read":
                assert tape.read() == model.read()
            elif name == "run":
                one, other = bytearray(3 * BLOCK), bytearray(3 * BLOCK)
                got = _whole_run(tape, one)
                assert got == _whole_run(model, other)
                assert one == other
            elif name == "mark":
                if model.index:
                    tape.write_filemark()
                    model.write_filemark()
            else:
                _write(tape, model, count)
            assert (tape.file_num, tape.blockno) == (model.file_num, model.blockno)
            assert (tape.at_filemark, tape.behind_filemark) == (
                model.at_filemark,
                model.behind_filemark,
            )
        _leave(model, tape)
        tape.flush()
        assert _contents(VtapeTape(path)) == _without_last_empty(model.files())


def _leave(model: Medium, tape: VtapeTape) -> None:
    """A drive's client ends the file that it was writing; marks behind it are lost then."""
    files, where = model.files(), model.index
    model.go_to(10**6)
    if not model.behind_filemark:
        model.write_filemark()
    keep = len(_without_last_empty(files))
    model.rewind()
    model.forward_filemarks(keep - 1)
    while model.forward_records(1) == 0:
        pass
    model.write_filemark()
    model.go_to(min(where, model.index))


def _without_last_empty(files: list[list[bytes]]) -> list[list[bytes]]:
    files = list(files)
    while files and not files[-1]:
        files.pop()
    return files


def _whole_run(tape: Any, buffer: bytearray) -> int | TapeEnd:
    """As much as the buffer takes, or up to the end, in as many calls as the tape wants."""
    view, done = memoryview(buffer), 0
    while done + BLOCK <= len(buffer):
        got = tape.read_run(view[done:], BLOCK)
        if isinstance(got, TapeEnd):
            return done or got
        done += got
    return done


def _write(tape: VtapeTape, model: Medium, count: int) -> None:
    """What may stand here: a label, a header, or data; nothing behind a label."""
    if not model.file_num:
        if model.blockno:
            with pytest.raises(Unfit):
                tape.write(record(count))
            return
        wanted = label(f"NEW-{count}")
    else:
        wanted = record(count) if model.blockno else header(count + 1)
    assert tape.write(wanted) is None
    assert model.write(wanted) is None


def _contents(tape: VtapeTape) -> list[list[bytes]]:
    files: list[list[bytes]] = [[]]
    while True:
        found = tape.read()
        if isinstance(found, bytes):
            files[-1].append(found)
        elif tape.forward_filemarks(1):
            return files[:-1]
        else:
            files.append([])


def test_what_is_written_as_records_is_read_as_a_volume(node: str) -> None:
    """Our own device finds label, parts and data; the last record may be short."""
    tape = VtapeTape(node)
    write_volume(tape, 2)
    tape.write(header(2))
    wrote, end = tape.write_run(memoryview(record(7) + record(8)), BLOCK)
    assert (wrote, end) == (2 * BLOCK, None)
    tape.write(b"tail")
    tape.write_filemark()
    tape.flush()
    device = FileDevice(f"file:{node}", node)
    assert device.read_label().label == "VOL-1"
    device.start(AccessMode.READ)
    found = device.seek_file(2)
    assert found is not None
    assert (found.host, found.partnum) == ("client", 2)
    buffer = bytearray(BLOCK)
    data = b""
    while got := device.read_blocks(memoryview(buffer)):
        data += buffer[:got]
    assert data == record(7) + record(8) + b"tail"
    device.finish()


def test_a_volume_is_read_as_records(node: str) -> None:
    """What ``file:`` wrote, an NDMP client reads: header, blocks, short tail, filemark, end."""
    device = FileDevice(f"file:{node}", node)
    device.start(AccessMode.WRITE, "VOL-9", STAMP)
    device.start_file(
        Header(type=HeaderType.DUMPFILE, datestamp=STAMP, host="h", disk="/d", program="GNUTAR")
    )
    device.write_blocks(memoryview(record(1)))
    device.write_blocks(memoryview(b"the end"))
    device.finish_file()
    device.finish()
    files = _contents(VtapeTape(node))
    assert files[0][0].startswith(b"AMANDA: TAPESTART DATE 20260102030405 TAPE VOL-9")
    assert files[1][1:] == [record(1), b"the end"]
    assert len(files) == 2


def test_larger_records_hold_the_same_bytes(node: str) -> None:
    """The header is filled up, and record boundaries are not stored."""
    large = VtapeTape(node, 2 * BLOCK)
    large.write(label().ljust(2 * BLOCK, b"\0"))
    large.write_filemark()
    large.write(header().ljust(2 * BLOCK, b"\0"))
    large.write(record(5, 2 * BLOCK))
    large.write_filemark()
    large.flush()
    assert _contents(VtapeTape(node)) == [[label()], [header(), record(5), record(5)]]
    assert _contents(VtapeTape(node, 2 * BLOCK))[1][1] == record(5, 2 * BLOCK)


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        (b"dump of a filer".ljust(BLOCK), "file 1, record 0: no header of an Amanda dump"),
        (label("OTHER"), "file 1, record 0: no header of an Amanda dump"),
        (header()[:512], "file 1, record 0: 512 bytes; the first record of a file has 32768"),
    ],
    ids=["no header", "a label", "a short header"],
)
def test_what_a_directory_cannot_hold_is_refused(node: str, wanted: bytes, text: str) -> None:
    """In a text that names file and record; nothing is lost by it."""
    tape = VtapeTape(node)
    write_volume(tape, 1)
    tape.rewind()
    tape.forward_filemarks(1)
    with pytest.raises(Unfit, match=text):
        tape.write(wanted)
    assert tape.forward_filemarks(1) == 0
    assert len(_contents(VtapeTape(node))) == 2


def test_records_behind_a_short_one_are_refused(node: str) -> None:
    """Its length is its identity, which a directory could not tell afterwards."""
    tape = VtapeTape(node)
    write_volume(tape)
    tape.write(header())
    tape.write(b"short")
    with pytest.raises(Unfit, match="file 1, record 2: the record before it is short"):
        tape.write(record(1))
    with pytest.raises(Unfit, match="file 1, record 2"):
        tape.write(b"long".ljust(BLOCK + 1))


@pytest.mark.parametrize("name", ["../escape", "x" * 253])
def test_a_label_that_is_no_file_name_is_refused_before_the_wipe(node: str, name: str) -> None:
    tape = VtapeTape(node)
    write_volume(tape, 1)
    tape.rewind()
    with pytest.raises(Unfit, match="cannot be the name of a file"):
        tape.write(label(name))
    assert len(_contents(VtapeTape(node))) == 2


def test_a_blank_directory_takes_a_label_first(node: str) -> None:
    """Before that there is nothing to read, and no mark to write."""
    tape = VtapeTape(node)
    assert tape.read() is TapeEnd.NOTHING
    with pytest.raises(Unfit, match="would erase the volume"):
        tape.write_filemark()
    with pytest.raises(Unfit, match="no label of an Amanda volume"):
        tape.write(header())
    with pytest.raises(Refused, match="Error checking directory"):
        VtapeTape(f"{node}/none")


def test_the_limit_is_warned_of_once_and_then_meant(node: str) -> None:
    """Early warning refuses one write; the physical end refuses all."""
    tape = VtapeTape(node, limit=10 * BLOCK)
    write_volume(tape, 2)
    assert tape.space == (10 * BLOCK, 6 * BLOCK)
    tape.write(header(2))
    wrote, end = tape.write_run(memoryview(record(1) * 8), BLOCK)
    assert end is TapeEnd.EARLY
    again, end = tape.write_run(memoryview(record(1) * (8 - wrote // BLOCK)), BLOCK)
    assert end is TapeEnd.FULL
    assert wrote + again == 5 * BLOCK
    assert tape.write_filemark() is None
    assert Path(node, "00002.client._home.0").stat().st_size == 6 * BLOCK


def test_a_record_is_read_by_stock_names_only(node: str) -> None:
    """A number that is missing is an empty file, as a tape would have it."""
    tape = VtapeTape(node)
    write_volume(tape, 1, 1, 1)
    Path(node, "00002.client._home.0").unlink()
    tape.opened()
    tape.rewind()
    assert [len(file) for file in _contents(tape)] == [1, 2, 0, 2]


def test_two_files_of_one_number_are_both_cut(node: str) -> None:
    """What is written there now is what is read there later."""
    tape = VtapeTape(node)
    write_volume(tape, 1, 1)
    Path(node, "00002.a.b.0").write_bytes(header(9) + record(9))
    tape.rewind()
    tape.forward_filemarks(2)
    tape.write(header(2))
    tape.write_filemark()
    assert sorted(path.name[:7] for path in Path(node).iterdir()) == [
        "00000.V",
        "00001.c",
        "00002.c",
    ]
    assert FileDevice(f"file:{node}", node).read_label().status is Status.SUCCESS
