"""Dumps that a mover takes from a connection, in whole conversations [ndmp 1.6]."""

from __future__ import annotations

import pytest
from zope.interface.verify import verifyObject

from devices.idirecttcp import IDirectTCPConnection, IIndirectConnection, IMoverDevice
from devices.interfaces import IAsyncDevice
from tests.core.conversing import HANDLE, START, WORKER, Conversation, content, port_write, split_by
from tests.core.stocked import Tape
from tests.core.surroundings import Dumped
from tests.fakes.device import FakeDevice
from tests.fakes.mover import LateConnection, MoverConnection, MoverDevice, MoverServer, MoverTape
from tests.fakes.mover import Stream as Peer

BLOCK = 1000
DATA = content(9500)
DONE = f"DONE {WORKER} {HANDLE} 10 00000000:0 ffffffff:0 ffffffff:0"
FILES = 4


def tapes(server: MoverServer, count: int = 4, blocks: int = 10, **options: object) -> list[Tape]:
    return [
        MoverTape(server, blocks * BLOCK, block_size=BLOCK, warning=1, allow_take=False, **options)
        for _ in range(count)
    ]


def talk_to(*volumes: Tape, silent: set[str] | None = None) -> Conversation:
    return Conversation(*volumes, dumpers=[Dumped(silent=silent or set())])


def begin(talk: Conversation, command: str) -> list[str]:
    """Start, wait for TAPER-OK as a driver does, and dump."""
    talk.say(START)
    return talk.say(command)


def on_volumes(talk: Conversation) -> bytes:
    """What the trace log says is stored, padding and all."""
    return talk.stored("localhost /var")


def test_the_fakes_are_what_they_stand_for() -> None:
    server = MoverServer(streams=[Peer(b""), Peer(b"")])
    talk = talk_to()
    tape = MoverTape(server, block_size=BLOCK)
    device = MoverDevice(FakeDevice(tape.medium), tape, talk.moments, server)
    verifyObject(IAsyncDevice, device)
    verifyObject(IMoverDevice, device)
    verifyObject(IDirectTCPConnection, MoverConnection("x", server, talk.moments))
    verifyObject(IIndirectConnection, LateConnection("x", server, talk.moments))


@pytest.mark.parametrize("late", [False, True])
def test_a_dump_over_several_volumes(late: bool) -> None:
    """One connection, handed from drive to drive; sizes with padding, no checksum of ours."""
    server = MoverServer(streams=[Peer(DATA)], late=late)
    volumes = tapes(server, blocks=8)
    talk = talk_to(*volumes)
    replies = begin(talk, port_write(split=split_by(4 * BLOCK), path="DIRECTTCP"))
    where = "255.255.255.255:7000" if late else "192.0.2.9:7000;[::1]:7001"
    assert f'PORT {WORKER} {HANDLE} 40000 "{where}"' in replies
    assert talk.words().count("NEW-TAPE") == 3
    assert talk.words().count("READY") == 1
    talk.say(DONE)
    assert talk.driver.lines[-1].startswith(
        f'DONE {WORKER} {HANDLE} INPUT-GOOD TAPE-GOOD "00000000:0" "[sec'
    )
    assert " bytes 10000 " in talk.driver.lines[-1]
    assert on_volumes(talk) == DATA.ljust(10000, b"\0")
    done = next(line for line in talk.log.lines if line.startswith("DONE"))
    assert " 00000000:0 ffffffff:0 00000000:0 " in done
    talk.quit()
    talk.check_sound()


def test_nothing_is_labelled_before_the_peer_is_there() -> None:
    """While a mover listens, its drive takes no tape operation."""
    server = MoverServer(streams=[Peer(DATA)])
    talk = talk_to(*tapes(server))
    talk.say(START)
    talk.tell(port_write(path="DIRECTTCP"))
    talk.settle()
    order = talk.moments.done
    assert order.index("accept") < order.index("start")
    before = order[order.index("listen") : order.index("accept")]
    assert not {"read_label", "start", "finish", "erase"}.intersection(before)


def test_the_next_drive_adopts_the_connection_before_it_starts() -> None:
    server = MoverServer(streams=[Peer(DATA)])
    talk = talk_to(*tapes(server, blocks=8))
    begin(talk, port_write(split=split_by(4 * BLOCK), path="DIRECTTCP"))
    order = talk.moments.done
    steps = [name for name in order if name in ("use_connection", "start", "finish")]
    assert steps[:5] == ["start", "finish", "use_connection", "start", "finish"]
    assert steps.count("use_connection") == steps.count("start") - 1


@pytest.mark.parametrize("kind", ["another server", "no mover"])
def test_a_volume_that_cannot_go_on(kind: str) -> None:
    """PARTIAL, with exactly what is stored, and both devices named; no label is lost to it."""
    server = MoverServer(streams=[Peer(DATA)])
    first = tapes(server, 1, blocks=8)
    other = (
        tapes(MoverServer("T"), 1)
        if kind == "another server"
        else [Tape(20 * BLOCK, block_size=BLOCK)]
    )
    talk = talk_to(*first, *other)
    begin(talk, port_write(split=split_by(4 * BLOCK), path="DIRECTTCP"))
    end = talk.driver.lines[-1]
    assert end.startswith(f"PARTIAL {WORKER} {HANDLE} INPUT-GOOD TAPE-ERROR ")
    told = "the client sends to the mover of 'fake:1', and can be told no other place for the rest"
    assert told in end
    assert "fake:2" in end
    stored = on_volumes(talk)
    assert stored
    assert stored == DATA[: len(stored)]
    assert f" bytes {len(stored)} " in end
    assert other[0].medium.label is None
    assert talk.words().count("NO-NEW-TAPE") == 1
    talk.quit()
    talk.check_sound()


def test_a_peer_that_breaks_off_is_an_input_error() -> None:
    """What was reported before stays; the dump is never DONE."""
    server = MoverServer(streams=[Peer(DATA, "reset")])
    talk = talk_to(*tapes(server, blocks=20))
    begin(talk, port_write(split=split_by(4 * BLOCK), path="DIRECTTCP"))
    assert talk.driver.lines[-1].startswith(f"PARTIAL {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD ")
    assert "CONNECT_ERROR" in talk.driver.lines[-1]
    talk.quit()
    talk.check_sound()


def test_failed_while_the_mover_waits() -> None:
    """The dumper's failure ends a part that would never end, and the connection."""
    server = MoverServer(streams=[Peer(DATA, "silent")])
    volumes = tapes(server)
    talk = talk_to(*volumes)
    begin(talk, port_write(path="DIRECTTCP"))
    assert talk.words()[-1] == "READY"
    talk.say(f"FAILED {WORKER} {HANDLE}")
    assert talk.driver.lines[-1].startswith(f"PARTIAL {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD ")
    made = [made for tape in volumes for face in tape.faces for made in face.made]  # type: ignore[attr-defined]
    assert [connection.closed for connection in made] == [1]
    talk.quit()
    talk.check_sound()


def test_failed_while_nobody_connects() -> None:
    server = MoverServer(streams=[Peer(DATA, "absent")])
    talk = talk_to(*tapes(server))
    begin(talk, port_write(path="DIRECTTCP"))
    assert talk.words()[-1] == "PORT"
    talk.say(f"FAILED {WORKER} {HANDLE}")
    assert talk.driver.lines[-1].startswith(f"FAILED {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD ")
    talk.quit()
    talk.check_sound()


def test_end_of_stream_is_no_success() -> None:
    """Only the dumper's DONE makes it one."""
    server = MoverServer(streams=[Peer(DATA)])
    talk = talk_to(*tapes(server, blocks=20))
    begin(talk, port_write(path="DIRECTTCP"))
    assert talk.words()[-1] == "DUMPER-STATUS"
    talk.say(f"FAILED {WORKER} {HANDLE}")
    assert [line.split()[0] for line in talk.logged("PARTIAL")] == ["PARTIAL"]
    talk.quit()


def test_a_client_that_has_sent_more_than_came() -> None:
    """Its connection was cut, and looked like a good end; its application had handed over all to
    its system before, and says how much that was."""
    server = MoverServer(streams=[Peer(DATA[:-1000])])
    talk = talk_to(*tapes(server, blocks=20))
    begin(talk, port_write(path="DIRECTTCP"))
    crc = f"12345678:{len(DATA)}"
    talk.say(f"DONE {WORKER} {HANDLE} 10 {crc} {crc} {crc}")
    text = f"the device stored 9000 bytes of {len(DATA)} that the dumper has sent"
    assert text in talk.driver.lines[-1]
    assert [line.split()[0] for line in talk.logged("PARTIAL")] == ["PARTIAL"]
    talk.quit()


def test_plain_port_write_onto_a_mover_goes_straight_too() -> None:
    """As stock: such a device takes data in no other way."""
    server = MoverServer(streams=[Peer(DATA)])
    talk = talk_to(*tapes(server, blocks=20))
    begin(talk, port_write(path="AMANDA"))
    talk.say(DONE)
    assert talk.driver.lines[-1].startswith(f"DONE {WORKER} {HANDLE} INPUT-GOOD TAPE-GOOD ")
    assert on_volumes(talk) == DATA.ljust(10000, b"\0")
    talk.quit()


@pytest.mark.parametrize("blocks", range(2, 9))
def test_the_volume_may_end_anywhere(blocks: int) -> None:
    """In the header, within a part, at its end: nothing is lost, nothing doubled."""
    server = MoverServer(streams=[Peer(DATA)])
    first = tapes(server, 1, blocks=blocks)
    talk = talk_to(*first, *tapes(server, 3, blocks=40))
    begin(talk, port_write(split=split_by(3 * BLOCK), path="DIRECTTCP"))
    talk.say(DONE)
    assert talk.driver.lines[-1].startswith("DONE")
    assert on_volumes(talk) == DATA.ljust(10000, b"\0")
    talk.quit()
    talk.check_sound()


def test_two_dumps_on_one_volume() -> None:
    """The second listens on the volume that is open already."""
    server = MoverServer(streams=[Peer(DATA[:2500]), Peer(DATA[2500:])])
    talk = talk_to(*tapes(server, blocks=40))
    talk.origins.dumpers.append(Dumped())
    begin(talk, port_write(path="DIRECTTCP"))
    talk.say(DONE)
    second = port_write("00-00002", path="DIRECTTCP").replace("/var", "/opt")
    talk.say(second)
    talk.say(DONE.replace(HANDLE, "00-00002"))
    assert talk.words().count("DONE") == 2
    assert talk.words().count("NEW-TAPE") == 1
    assert talk.stored("localhost /opt") == DATA[2500:]
    talk.quit()
    talk.check_sound()
