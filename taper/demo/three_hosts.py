"""A DirectTCP dump between three hosts: what runs where, and what went over the server's cable."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import ExitStack
from typing import Self

from attrs import frozen

from protocols.directtcp import Address
from taper.demo.hosts import CLIENT, HOSTS, SERVER, TAPE, Carried, Hosts
from taper.demo.inetd import RELAY
from taper.demo.running import end
from taper.demo.screen import DemoFailed
from taper.demo.server_host import Outcome, Task
from taper.demo.stage import Stage

# a line with addresses comes in, the application's messages go out
_CLIENT = """
set -f
read -r where
for address in $where; do set -- "$@" --direct-tcp "$address"; done
"$@" </dev/null 3>&1 >&2 && echo "sendbackup: end"
"""
_TAPER_SECONDS = 30.0


@frozen
class Dumped:
    """A dump that came to its end, good or not.

    :ivar carried: what the cable of each host carried meanwhile
    """

    outcome: Outcome
    carried: dict[str, Carried]


class ThreeHosts:
    """Client, server and tape host at work; a context manager that ends all of their processes.

    :param stage: of the taper
    :param source: directory that the client dumps
    :param taper_host: where the taper runs: next to its volumes, or on the server, where it
        drives a tape server of its configuration
    :param data_path: as the driver says it
    """

    def __init__(
        self,
        hosts: Hosts,
        stage: Stage,
        source: str,
        taper_host: str,
        data_path: str = "DIRECTTCP",
    ) -> None:
        self._hosts = hosts
        self._stage = stage
        self._source = source
        self._taper_host = taper_host
        self._data_path = data_path
        self._cleanup = ExitStack()
        self._taper: subprocess.Popen[bytes] | None = None
        self._driver: subprocess.Popen[bytes] | None = None
        self._before: dict[str, Carried] = {}

    def __enter__(self) -> Self:
        """Start everything; the dump begins at once."""
        with self._cleanup:
            self._start()
            self._cleanup = self._cleanup.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._cleanup.close()

    def _start(self) -> None:
        self._before = {host: self._hosts.carried(host) for host in HOSTS}
        _, (client,) = self._serve(CLIENT, [self._client()])
        taper = relay = ""
        if self._taper_host == TAPE:
            commands = [self._stage.taper_command(), [sys.executable, "-c", RELAY]]
            self._taper, (taper, relay) = self._serve(TAPE, commands)
        task = Task(
            stage=self._stage,
            client=client,
            taper=taper,
            relay=relay,
            stamp=self._stage.stamp,
            data_path=self._data_path,
        )
        self._driver = self._run(SERVER, "taper.demo.server_host", task.to_json())

    def _client(self) -> list[str]:
        lists = self._stage.path("client")
        os.makedirs(lists, exist_ok=True)
        application = [sys.executable, "-m", "taper.application.cli", "backup"]
        what = ["--host", "client", "--disk", "/home", "--device", self._source, "--level", "0"]
        how = ["--crc", "yes", "--gnutar-listdir", lists, "--data-path", "directtcp"]
        return ["sh", "-c", _CLIENT, "sh", *application, *what, *how]

    def _serve(
        self, host: str, commands: list[list[str]]
    ) -> tuple[subprocess.Popen[bytes], list[str]]:
        """Offer services on a host. :return: the process, and the address of each"""
        address = self._hosts.address(host)
        process = self._run(host, "taper.demo.inetd", address, json.dumps(commands))
        assert process.stdout is not None
        ports = process.stdout.readline().split()
        if len(ports) != len(commands):
            raise DemoFailed(f"the services of the host {host} did not start")
        return process, [str(Address(address, int(port))) for port in ports]

    def _run(self, host: str, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        with open(self._stage.path("log", f"{host}.stderr"), "wb") as stderr:
            process = subprocess.Popen(
                [*self._hosts.inside(host), sys.executable, "-m", module, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                cwd=self._stage.path("tmp"),
                env=self._stage.environment(),
                start_new_session=True,
            )
        self._cleanup.callback(end, process)
        return process

    def wait(self, seconds: float) -> Dumped:
        """Wait for the end of the dump and of the taper.

        :raise DemoFailed: it does not end in time, or one of the processes fails
        """
        assert self._driver is not None
        try:
            said, _ = self._driver.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise DemoFailed(f"the dump did not end within {seconds:.0f} s") from None
        before = self._before
        carried = {host: self._hosts.carried(host).since(before[host]) for host in HOSTS}
        if self._driver.returncode:
            raise DemoFailed("\n".join(["the driver failed", *self._complaints(SERVER)]))
        if self._taper is not None:
            try:
                status = self._taper.wait(_TAPER_SECONDS)
            except subprocess.TimeoutExpired:
                raise DemoFailed("the taper on the tape host did not end") from None
            if status:
                complaints = self._complaints(TAPE)
                raise DemoFailed("\n".join([f"the taper ended with {status}", *complaints]))
        return Dumped(Outcome.from_json(said.decode()), carried)

    def _complaints(self, host: str) -> list[str]:
        with open(self._stage.path("log", f"{host}.stderr"), errors="replace") as file:
            return file.read().splitlines()[-5:]
