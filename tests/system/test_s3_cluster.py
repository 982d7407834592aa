"""Two tapers of two storages write into one distributed store, of which a server is lost."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from devices.interfaces import AccessMode
from devices.registry import open_blocking_device
from tests.conformance.harness import ETC, STAMP, Options, World
from tests.conformance.harness_files import Dump, dump_header
from tests.conformance.harness_talk import DEADLINE, WORKER, Conversation, split_by
from tests.conformance.harness_text import crc, payload
from tests.contract.device import read_rest
from tests.fakes.ndmp_runs import Outcome, carry_on
from tests.fakes.weed import Process, WeedCluster, why_no_weed
from tests.system.ndmp_world import MakeWorld, make_world

__all__ = ["make_world"]
pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(why_no_weed() is not None, reason=str(why_no_weed())),
]

BLOCK = 32768
PART = 16 * BLOCK
STORAGES = ("NEAR", "FAR")
STORAGE = """
define changer {name}-cloud {{
  tpchanger "chg-multi:s3:{bucket}/{name}-{{1,2,3}}-"
  changerfile "{etc}/{name}-state"
  {properties}
}}
define storage {name} {{
  tpchanger "{name}-cloud"
  tapetype "T"
  tapepool "{name}"
  labelstr "^{name}-[0-9]$"
  autolabel "{name}-%" any
}}
"""


@pytest.fixture
def cluster() -> Iterator[WeedCluster]:
    with WeedCluster() as cluster:
        yield cluster


def begin(world: World, storage: str) -> Conversation:
    """Start the taper of a storage, and its worker."""
    log = f"/var/log/amanda/log.{storage}.0"
    talk = world.start(arguments=["--storage", storage, "--log-filename", log])
    talk.send(f"START-TAPER taper0 {WORKER} {storage} {STAMP}")
    talk.expect(f"TAPER-OK {WORKER} ALLOW-TAKE-SCRIBE-FROM")
    return talk


class Night:
    """A dump to each storage, which comes to a stop in the middle until a server is lost."""

    def __init__(self, cluster: WeedCluster, world: World, bucket: str) -> None:
        self.cluster = cluster
        self.bucket = bucket
        self.data = {name: payload(6 * PART + 1001, seed) for seed, name in enumerate(STORAGES)}
        self.lost: Process | None = None
        self._world = world
        self._in_the_middle = threading.Barrier(len(STORAGES), self._lose_a_server, DEADLINE)
        self._go_on = threading.Event()

    def dump(self, storage: str) -> Outcome:
        """One dump from its beginning to its end, and that of the taper."""
        talk = begin(self._world, storage)
        dumper = talk.port_write(split_by(PART))
        dumper.header(dump_header(Dump()))
        with dumper.connect() as connection:
            send = threading.Thread(target=self._send, args=(connection, self.data[storage]))
            send.start()
            try:
                return carry_on(talk, on_part=lambda number: self._stop_at(number == 1))
            finally:
                self._go_on.set()
                send.join()
                talk.quit()

    def _send(self, connection: socket.socket, data: bytes) -> None:
        # a taper that has given up is found out by the conversation
        with contextlib.suppress(OSError):
            connection.settimeout(None)
            connection.sendall(data[: 2 * PART])
            self._go_on.wait()
            connection.sendall(data[2 * PART :])
            connection.shutdown(socket.SHUT_WR)

    def _stop_at(self, here: bool) -> None:
        if here:
            self._in_the_middle.wait()

    def _lose_a_server(self) -> None:
        """Kill the server that holds most of what is there so far."""
        held = [self.held_by(number) for number in range(len(self.cluster.volumes))]
        assert sum(size > 0 for size in held) >= 2, held
        self.lost = self.cluster.volumes[held.index(max(held))]
        self.lost.kill()
        self._go_on.set()

    def held_by(self, number: int) -> int:
        """Bytes of the bucket on a volume server; the beginning of a file is no object."""
        files = Path(self.cluster.directory / f"volume{number}").glob(f"{self.bucket}_*.dat")
        return sum(path.stat().st_size - 8 for path in files)

    def read(self, storage: str, parts: list[tuple[str, int, int]]) -> bytes:
        """What the volumes hold of these parts."""
        data = b""
        for label in dict.fromkeys(label for label, _, _ in parts):
            device = open_blocking_device(f"s3:{self.bucket}/{storage}-{label[-1]}-")
            for name, value in self.cluster.properties(self.cluster.taper).items():
                device.properties.set(name, value)
            assert device.read_label().label == label
            device.start(AccessMode.READ)
            for number in [number for volume, number, _ in parts if volume == label]:
                assert device.seek_file(number) is not None
                data += read_rest(device)
            device.finish()
        return data


def test_a_server_is_lost_in_the_middle(make_world: MakeWorld, cluster: WeedCluster) -> None:
    """Each object is on two of three: both dumps end well, and every byte is read back."""
    world = make_world()
    bucket = cluster.make_bucket()
    properties = cluster.properties(cluster.taper)
    lines = "\n  ".join(f'device-property "{key}" "{text}"' for key, text in properties.items())
    storages = [
        STORAGE.format(name=name, bucket=bucket, etc=ETC, properties=lines) for name in STORAGES
    ]
    world.configure(
        Options(
            slots=0,
            usage_kib=None,
            leom=None,
            changer="",
            labels="",
            tapetype=f"blocksize {BLOCK} bytes",
            extra="".join(storages),
        )
    )
    night = Night(cluster, world, bucket)
    with ThreadPoolExecutor(len(STORAGES)) as threads:
        outcomes = dict(zip(STORAGES, threads.map(night.dump, STORAGES), strict=True))
    assert night.lost is not None
    for storage, outcome in outcomes.items():
        data = night.data[storage]
        assert outcome.word == "DONE", outcome.words
        assert outcome.words[3:6] == ["INPUT-GOOD", "TAPE-GOOD", crc(data)]
        assert sum(size for _, _, size in outcome.parts) == len(data)
        assert night.read(storage, outcome.parts) == data
