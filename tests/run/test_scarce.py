"""What the system does not give, thread or descriptor, harms one call: the driver is answered and
the taper lives."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import reactor

from protocols.header import build_header
from taper.run.session import Session
from tests.fakes.scarce import Scarce, ScarceDescriptors, ScarceThreads
from tests.plane.dumping import HEADER, write_holding
from tests.run.sessions import PATIENCE, START, WORKER, Listener, first, make_place, write_line
from tests.run.test_session import open_session, tell

DATA = bytes(range(256)) * 100
ENDS = ("DONE", "PARTIAL", "FAILED")
Converse = Callable[[Path, Scarce], Awaitable[list[str]]]


class Driver:
    """Grants every volume, and brings the data of dumps that come over ports."""

    def __init__(self, session: Session, heard: Listener, scarce: Scarce) -> None:
        self._scarce = scarce
        self._session = session
        self._heard = heard

    async def start(self) -> str:
        words = [self._heard.hear(word) for word in ("TAPER-OK", "TAPE-ERROR")]
        tell(self._session, START)
        return await first(words)

    async def dump(self, line: str, handle: str) -> str:
        """Let one dump be written. :return: the reply that ends it"""
        ends = [self._heard.hear(f"{word} {WORKER} {handle} ") for word in ENDS]
        port = self._heard.hear(f"PORT {WORKER} {handle} ")
        port.addCallbacks(lambda reply: self._deliver(reply, handle), lambda _: None)
        self._grant(handle)
        tell(self._session, line)
        end = await first(ends)
        port.cancel()
        self._asked.cancel()
        return end

    def _grant(self, handle: str) -> None:
        """Grant the next volume that is asked for, and those after it."""

        def granted(_: str) -> None:
            self._grant(handle)
            tell(self._session, f"NEW-TAPE {WORKER} {handle}")

        self._asked = self._heard.hear(f"REQUEST-NEW-TAPE {WORKER} {handle}")
        self._asked.addCallbacks(granted, lambda _: None)

    def _deliver(self, reply: str, handle: str) -> None:
        with self._scarce.plenty():
            self._send(reply)
        tell(self._session, f"DONE {WORKER} {handle} 25 11111111:1 22222222:2 00000000:0")

    def _send(self, reply: str) -> None:
        words = reply.split(" ")
        with socket.create_connection(("127.0.0.1", int(words[3])), timeout=5) as peer:
            peer.sendall(build_header(HEADER, 32768, None))
        host, port = words[4].strip('"').split(":")
        with socket.create_connection((host, int(port)), timeout=5) as peer:
            peer.sendall(DATA)


async def _converse(root: Path, scarce: Scarce, line: Callable[[str], str]) -> list[str]:
    """START-TAPER until it works, then dumps until one is good, then QUIT; three times each at
    most. :return: the replies"""
    place = make_place(root)
    session, heard = open_session(place)
    scarce.begin()
    driver = Driver(session, heard, scarce)
    for _ in range(3):
        if (await driver.start()).startswith("TAPER-OK"):
            break
    for number in range(3):
        handle = f"00-0000{number}"
        if heard.lines[-1].startswith("TAPE-ERROR"):
            break
        if (await driver.dump(line(handle), handle)).startswith("DONE"):
            break
    ended = session.quit()
    ended.addTimeout(PATIENCE, reactor)  # type: ignore[arg-type]
    await ended
    return heard.lines


async def _refuse_each(
    tmp_path: Path,
    converse: Converse,
    scarcity: type[Scarce] = ScarceThreads,
    refused: Callable[[int, int], bool] = int.__eq__,
) -> list[list[str]]:
    """The same conversation again and again, with something else refused each time.

    :param refused: is given the number of one that is asked for, and of the conversation
    """
    told = []
    for turn in range(300):
        with pytest.MonkeyPatch.context() as patch:
            scarce = scarcity(patch, lambda number, turn=turn: refused(number, turn))
            root = tmp_path / str(turn)
            root.mkdir()
            told.append(await converse(root, scarce))
            if scarce.asked <= turn:
                return told
    raise AssertionError("so many for one dump?")


def _judge(told: list[list[str]]) -> None:
    """What failed was told as the device's fault, and the dump after it is good."""
    assert len(told) > 4, "lanes and readers are threads"
    for lines in told:
        ends = [line for line in lines if line.startswith(ENDS)]
        assert ends[-1].startswith("DONE")
        assert " INPUT-GOOD TAPE-GOOD " in ends[-1]
        for line in ends[:-1]:
            assert " INPUT-GOOD TAPE-ERROR " in line, lines
            assert "cannot start thread" in line, lines
            assert "internal error" not in line, lines


async def from_holding_file(root: Path, scarce: Scarce) -> list[str]:
    holding = write_holding(str(root), DATA, 100_000)
    return await _converse(root, scarce, lambda handle: write_line(holding, handle))


async def from_ports(root: Path, scarce: Scarce) -> list[str]:
    split = '"" "" "" "" "" "" "" ""'
    rest = f"localhost /srv 0 20261123000000 {split} AMANDA"
    return await _converse(root, scarce, lambda handle: f"PORT-WRITE {WORKER} {handle} {rest}")


DUMPS = pytest.mark.parametrize("converse", [from_holding_file, from_ports])


@DUMPS
@ensureDeferred
async def test_each_thread_refused_once(tmp_path: Path, converse: Converse) -> None:
    """The call fails with an error of the device; what comes after it works."""
    _judge(await _refuse_each(tmp_path, converse))


@DUMPS
@ensureDeferred
async def test_no_thread_from_some_moment_on(tmp_path: Path, converse: Converse) -> None:
    """Every command is answered, and QUIT works; good is what had all its threads before."""
    told = await _refuse_each(tmp_path, converse, refused=int.__ge__)
    assert len(told) > 4
    assert not any(line.startswith("DONE") for line in told[0])
    assert told[-1][-1].startswith("DONE")


@DUMPS
@ensureDeferred
async def test_each_descriptor_refused_once(tmp_path: Path, converse: Converse) -> None:
    """Whatever cannot be opened: the driver gets its answers, and the next dump is good."""
    told = await _refuse_each(tmp_path, converse, ScarceDescriptors)
    assert len(told) > 10
    for lines in told:
        assert lines[-1].startswith("DONE"), lines
