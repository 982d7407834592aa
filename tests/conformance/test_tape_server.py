"""Any taper writes on the tape server of our own, and Amanda reads on that host; and the reverse.

The server is ``taper ndmp-tape`` with a tree of vtapes, as Amanda's chg-disk has it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.conformance.harness import VTAPES, World
from tests.conformance.harness_files import read_volume, volume_label
from tests.conformance.harness_talk import split_by
from tests.conformance.harness_text import payload
from tests.fakes.ndmp_runs import (
    BLOCK,
    Client,
    Outcome,
    begin,
    carry_on,
    close_volume,
    library,
    options,
    padded,
    port_write,
    send_header,
)
from tests.system.amrestore import restore
from tests.tapeserver.process import TapeServerProcess

pytestmark = pytest.mark.skipif(
    not os.path.exists("/usr/sbin/amrestore"), reason="no amrestore here"
)
DATA = payload(40 * BLOCK + 777)
PART = 9


TREE = "/tmp/amanda/tree"


@contextmanager
def tree(world: World, slots: int, limit: int, where: str = TREE) -> Iterator[TapeServerProcess]:
    """A server whose library is a tree of vtapes of this world, each of so many blocks."""
    for slot in range(1, slots + 1):
        world.mkdir(f"{where}/slot{slot}")
    root = world.path(where)
    size = f"block-size = {BLOCK}\nlimit = {limit * BLOCK}\n"
    drives = f"[library robot]\ndisk = {root}\ndrives = d0 d1\n{size}"
    drives += f"[drive single]\nvtape = {root}/slot1\n"
    with TapeServerProcess(drives, "data-peers = 127.0.0.0/8") as server:
        yield server


def restored(world: World, slots: int) -> bytes:
    """What Amanda's amrestore finds in the slots, all parts in their order."""
    world.inside("chown", "-R", "backup:backup", TREE)
    used = [n for n in range(1, slots + 1) if list(world.path(f"{TREE}/slot{n}").glob("0*"))]
    _, parts = restore(world.as_user, world.path, [f"file:{TREE}/slot{n}" for n in used])
    return b"".join(parts.values())


def on_vtapes(world: World, outcome: Outcome) -> bytes:
    """What the reported parts hold, each with its header."""
    volumes = {}
    for path in world.path(TREE).glob("slot*"):
        volume = read_volume(path)
        name = volume_label(volume)
        if name is not None:
            volumes[name[0]] = volume
    found = []
    for number, (label, fileno, size) in enumerate(outcome.parts, 1):
        (file,) = [file for file in volumes[label] if file.number == fileno]
        assert f"part {number}/-1" in " ".join(file.first_line)
        assert len(file.data) == size
        found.append(file.data)
    return b"".join(found)


@pytest.mark.parametrize("indirect", [False, True], ids=["direct", "indirect"])
def test_a_client_dumps_over_several_vtapes(world: World, indirect: bool) -> None:
    """By the robot, on one data connection; every byte is on the vtapes, none twice."""
    with tree(world, 6, 16) as server:
        chosen = library(server.port, indirect=indirect)
        talk = begin(world, chosen, "-oruntapes=6", "-otapecycle=9")
        port, address = port_write(talk, split_by(PART * BLOCK))
        client = Client(address, DATA)
        send_header(port)
        outcome = carry_on(talk)
        assert outcome.word == "DONE", outcome.words
        client.thread.join(60)
        close_volume(talk)
        assert "TAPE_OPEN d0" in server.end()
    assert len(outcome.labels) > 3
    assert on_vtapes(world, outcome) == padded(DATA)
    assert restored(world, 6) == padded(DATA)


def test_a_dump_from_the_holding_disk(world: World) -> None:
    """The taper itself sends to the mover, onto one drive."""
    with tree(world, 1, 100) as server:
        chosen = options(f'tpchanger "chg-single:{server.url("single")}"', indirect=False)
        talk = begin(world, chosen)
        talk.file_write(world.holding(DATA), split_by(PART * BLOCK))
        outcome = carry_on(talk)
        assert outcome.word == "DONE", outcome.words
        close_volume(talk)
    assert on_vtapes(world, outcome) == padded(DATA)
    assert restored(world, 1) == padded(DATA)


def test_a_volume_of_the_host_is_read_by_ndmp(world: World) -> None:
    """Written here as vtape, read by Amanda's amrestore from the server, records and filemarks."""
    world.dumped(DATA).quit()
    with tree(world, 1, 100, VTAPES) as server:
        labels, parts = restore(world.as_user, world.path, [server.url("single")])
    assert labels == ["PROTO01"]
    assert b"".join(parts.values()) == DATA
