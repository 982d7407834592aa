"""Conversations about volumes in a bucket, on a real store."""

import contextlib
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.harness import ETC, STAMP, Options, World
from tests.conformance.harness_files import Dump, dump_header
from tests.conformance.harness_talk import HANDLE, WORKER, Conversation, split_by
from tests.conformance.harness_text import crc, payload
from tests.fakes.preloaded import why_no_library
from tests.fakes.stock_uploads import made_library
from tests.fakes.weed import Weed

BLOCK = 32768
STORAGE = """
define changer cloud {{
  tpchanger "chg-multi:s3:{bucket}/slot-{{01,02,03}}-"
  changerfile "{etc}/s3-state"
  {properties}
}}
tpchanger "cloud"
"""
ONE_OBJECT = {"S3_MULTI_PART_UPLOAD": "yes"}
UNFINISHED = "a store refuses stock's small blocks as parts, and stock says DONE"


class Bucket:
    """A world whose volumes are in a new bucket."""

    def __init__(self, world: World, weed: Weed, *, lock: bool = False) -> None:
        self.world = world
        self.weed = weed
        self.name = weed.make_bucket(lock=lock)

    def begin(self, *, stamp: str = STAMP, tapecycle: int = 20, **properties: str) -> Conversation:
        """Configure, and start a taper and its worker."""
        given = {**self.weed.properties(self.weed.taper), **properties}
        lines = [f'device-property "{name}" "{value}"' for name, value in given.items()]
        changer = STORAGE.format(bucket=self.name, etc=ETC, properties="\n  ".join(lines))
        self.world.configure(
            Options(
                slots=0,
                usage_kib=None,
                leom=None,
                changer=changer,
                tapecycle=tapecycle,
                tapetype=f"blocksize {BLOCK} bytes",
            )
        )
        talk = self.world.start()
        talk.start_taper(stamp=stamp)
        return talk

    def stored(self, slot: int, number: int) -> bytes:
        """The data of a file, whatever its layout; read here with nothing of any taper's."""
        file = f"slot-0{slot}-f{number:08x}-"
        header = self.weed.content(self.name, f"{file}filestart")
        assert header.startswith(b"AMANDA: SPLIT_FILE ")
        assert header.endswith(b"\f\n")
        keys = [key for key in self.weed.keys_in(self.name, file) if key.endswith(".data")]
        names = [key.removeprefix(file) for key in keys]
        blocks = [f"b{number:016x}.data" for number in range(len(names))]
        assert names in (["mp.data"], blocks)
        return b"".join(self.weed.content(self.name, key) for key in keys)

    def check(self, data: bytes, parts: list[tuple[int, int]]) -> None:
        """These files (slot, number) hold these bytes."""
        assert b"".join(self.stored(*part) for part in parts) == data

    def label(self, slot: int) -> str:
        """The label of the volume in a slot."""
        words = self.weed.content(self.name, f"slot-0{slot}-special-tapestart").split()
        assert words[:2] == [b"AMANDA:", b"TAPESTART"]
        return words[-1].decode()


@pytest.fixture(scope="module")
def library() -> Iterator[Path | None]:
    if why_no_library() is not None:
        yield None
        return
    with made_library() as library:
        yield library


@pytest.fixture
def bucket(
    world: World, weed: Weed, library: Path | None, monkeypatch: pytest.MonkeyPatch
) -> Bucket:
    if world.program.stock:
        if library is None:
            pytest.skip(str(why_no_library()))
        monkeypatch.setenv("LD_PRELOAD", str(library))
    return Bucket(world, weed)


def a_dump(bucket: Bucket, talk: Conversation) -> None:
    """One dump in three parts, DONE, and stored."""
    data = payload(20 * BLOCK + 100)
    talk.file_write(bucket.world.holding(data), split_by(8 * BLOCK))
    talk.grant("PROTO01")
    talk.ready()
    for number, size in enumerate([8 * BLOCK, 8 * BLOCK, 4 * BLOCK + 100], 1):
        talk.part("PROTO01", number, size)
    talk.done(crc(data))
    talk.quit()
    bucket.check(data, [(1, 1), (1, 2), (1, 3)])
    assert bucket.label(1) == "PROTO01"


def test_a_dump(bucket: Bucket) -> None:
    """In an object for each block."""
    a_dump(bucket, bucket.begin())


@pytest.mark.known_stock_failure(UNFINISHED)
def test_a_dump_in_one_object_for_each_file(bucket: Bucket) -> None:
    """Blocks are gathered until they are as large as a part of an upload must be."""
    a_dump(bucket, bucket.begin(**ONE_OBJECT))


@pytest.mark.parametrize("threads", [1, 3])
def test_a_dump_over_two_volumes(bucket: Bucket, threads: int) -> None:
    """The warning comes while there is room for the blocks that are on their way."""
    limit = (20 + 4 + threads) * BLOCK
    talk = bucket.begin(
        ENFORCE_MAX_VOLUME_USAGE="yes", MAX_VOLUME_USAGE=str(limit), NB_THREADS_BACKUP=str(threads)
    )
    data = payload(30 * BLOCK + 100)
    dumper = talk.port_write(split_by(100 * BLOCK))
    dumper.header(dump_header(Dump()))
    sender = dumper.data(data)
    talk.grant("PROTO01")
    talk.ready()
    talk.expect(f"PARTDONE {WORKER} {HANDLE} PROTO01 1 <*>")
    talk.grant("PROTO02")
    talk.expect(f"PARTDONE {WORKER} {HANDLE} PROTO02 1 <*>")
    sender.join(60)
    talk.dumper_done()
    talk.done(crc(data))
    talk.quit()
    bucket.check(data, [(1, 1), (2, 1)])
    assert len(bucket.stored(1, 1)) == 20 * BLOCK


def sent(connection: socket.socket, data: bytes) -> None:
    """Send, as far as the taper lets us."""
    with contextlib.suppress(OSError):
        connection.settimeout(None)
        connection.sendall(data)


@pytest.mark.known_stock_failure("stock dies of QUIT while it writes, or waits for the store")
@pytest.mark.parametrize("stopped", [False, True])
def test_quit_in_the_middle(bucket: Bucket, stopped: bool) -> None:
    """Whether the store answers or not: the end comes soon, and what was told is there."""
    store = bucket.weed.process
    assert store is not None
    talk = bucket.begin()
    dumper = talk.port_write(split_by(8 * BLOCK))
    dumper.header(dump_header(Dump()))
    data = payload(24 * BLOCK)
    with dumper.connect() as connection:
        threading.Thread(target=sent, args=(connection, data[: 20 * BLOCK]), daemon=True).start()
        talk.grant("PROTO01")
        talk.ready()
        for number in (1, 2):
            talk.part("PROTO01", number, 8 * BLOCK, None)
        try:
            if stopped:
                store.signal(signal.SIGSTOP)
                sent(connection, data[20 * BLOCK :])
            talk.send("QUIT")
            talk.expect(f"PARTIAL {WORKER} {HANDLE} <*>")
            talk.expect_end()
        finally:
            store.signal(signal.SIGCONT)
    # its servers have missed one another for as long as it stood, and find together again first
    assert bucket.weed.wait_until_it_stores([store])
    bucket.check(data[: 16 * BLOCK], [(1, 1), (1, 2)])


@pytest.mark.known_stock_failure("stock knows no locks")
def test_a_locked_volume_is_passed_over(world: World, weed: Weed) -> None:
    """The tapelist would let it be written over; the log says until when the server does not."""
    bucket = Bucket(world, weed, lock=True)
    data = payload(3 * BLOCK)
    for stamp, label in ((STAMP, "PROTO01"), ("20260102000000", "PROTO02")):
        talk = bucket.begin(
            stamp=stamp, tapecycle=1, S3_RETENTION_MODE="compliance", S3_RETENTION="4 weeks"
        )
        talk.file_write(world.holding(data))
        if label == "PROTO02":
            talk.expect(f"REQUEST-NEW-TAPE {WORKER} {HANDLE}")
            talk.send(f"START-SCAN {WORKER} {HANDLE}", f"NEW-TAPE {WORKER} {HANDLE}")
            talk.expect(f"NO-NEW-TAPE {WORKER} {HANDLE}")
        talk.grant(label)
        talk.ready()
        talk.part(label, 1, len(data))
        talk.done(crc(data))
        talk.quit()
    world.check_logged(
        "INFO taper while labeling new volume: The volume cannot be written over: "
        "'slot-01-special-tapestart' in bucket <*> is locked until 20<*> UTC (compliance mode)"
    )
    bucket.check(data * 2, [(1, 1), (2, 1)])
    assert (bucket.label(1), bucket.label(2)) == ("PROTO01", "PROTO02")
