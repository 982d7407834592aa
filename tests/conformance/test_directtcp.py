"""PORT-WRITE with data path DIRECTTCP: the client's data come to the taper's own data port."""

import socket
import struct
import threading
import time

import pytest

from tests.conformance.harness import ETC, STAMP, Options, World
from tests.conformance.harness_files import Dump, dump_header
from tests.conformance.harness_talk import HANDLE, PLAIN, QUICK, WORKER, Conversation, split_by
from tests.conformance.harness_text import crc, payload, split_line, stats
from tests.fakes.stranger import Stranger, needs_root

pytestmark = pytest.mark.known_stock_failure(
    "the stock taper refuses DIRECTTCP dumps for file: devices"
)

DATA = payload(200_000)
HEADER = dump_header(Dump())
POOL = '"ST:PROTO" "POOL:PROTO"'
HOME = f"localhost /home {STAMP}"
LOOPBACK = 'device-property "DIRECTTCP-ADDRESS" "127.0.0.1, ::1"'
Address = tuple[str, int]


def address(text: str) -> Address:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def begun(
    world: World, split: str = PLAIN, options: Options | None = None
) -> tuple[Conversation, int, list[Address]]:
    """Start a taper and a dump: the header port and the data addresses."""
    world.configure(options or Options(properties=LOOPBACK))
    talk = world.start()
    talk.start_taper()
    return talk, *direct(talk, split)


def direct(talk: Conversation, split: str = PLAIN) -> tuple[int, list[Address]]:
    dump = Dump()
    who = f"{dump.host} {dump.disk} {dump.level} {dump.datestamp}"
    talk.send(f"PORT-WRITE {WORKER} {HANDLE} {who} {split} DIRECTTCP")
    words = split_line(talk.expect(f'PORT {WORKER} {HANDLE} <n> "<*>"'))
    return int(words[3]), [address(text) for text in words[4].split(";")]


def header(port: int, block: bytes = HEADER) -> None:
    with socket.create_connection(("127.0.0.1", port), 10) as link:
        time.sleep(QUICK)
        link.sendall(block)


def send(where: Address, data: bytes) -> threading.Thread:
    """The client, in the background: it waits when the taper does."""
    link = socket.create_connection(where, 10)

    def run() -> None:
        with link:
            link.settimeout(60)
            link.sendall(data)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize("which", [0, 1])
def test_a_dump_straight_from_the_client(world: World, which: int) -> None:
    """By IPv4 and by IPv6; every byte is there, with its checksum."""
    talk, port, addresses = begun(world)
    assert [host for host, _ in addresses] == ["127.0.0.1", "::1"]
    header(port)
    send(addresses[which], DATA)
    talk.grant("PROTO01")
    talk.ready()
    talk.part("PROTO01", 1, len(DATA), None)
    talk.expect(f"DUMPER-STATUS {WORKER} {HANDLE}")
    talk.send(f"DONE {WORKER} {HANDLE} 64 00000000:0 ffffffff:0 ffffffff:0")
    talk.done(crc(DATA))
    talk.quit()
    world.check_dump(HANDLE, DATA)
    sums = f"00000000:0 ffffffff:0 {crc(DATA)}"
    world.check_logged(f"DONE taper {POOL} {HOME} 1 0 {sums} {stats(len(DATA), 64)}")


def test_the_addresses_of_this_host(world: World) -> None:
    """Without a property: what clients can reach, an IPv4 address first."""
    _, _, addresses = begun(world, options=Options())
    assert ":" not in addresses[0][0]
    for where in addresses:
        assert not where[0].startswith(("fe80", "169.254."))
    with socket.create_connection(addresses[0], 10):
        pass


def test_no_volume_before_the_client_connects(world: World) -> None:
    """A header alone costs no volume."""
    talk, port, addresses = begun(world)
    header(port)
    talk.expect_silence(0.5)
    send(addresses[0], DATA)
    talk.grant("PROTO01")
    talk.ready()
    talk.part("PROTO01", 1, len(DATA), None)


def test_one_connection_over_several_volumes(world: World) -> None:
    """The client just waits while the next volume takes long to come."""
    data = payload(1_500_000)
    options = Options(properties=LOOPBACK, usage_kib=640, leom=True)
    talk, port, addresses = begun(world, split_by(262144), options)
    header(port)
    sender = send(addresses[0], data)
    told = 0
    volume = 0
    line = talk.read_line()
    while line is not None and not line.startswith("DUMPER-STATUS"):
        if line.startswith("REQUEST-NEW-TAPE"):
            volume += 1
            time.sleep(1.0 if volume == 2 else 0.0)
            talk.send(f"START-SCAN {WORKER} {HANDLE}", f"NEW-TAPE {WORKER} {HANDLE}")
        elif line.startswith("PARTDONE"):
            told += int(split_line(line)[6].split()[3])
        line = talk.read_line()
    assert volume > 2
    assert told == len(data)
    sender.join(60)
    talk.send(f"DONE {WORKER} {HANDLE} 64 00000000:0 00000000:0 00000000:0")
    talk.done(crc(data))
    talk.quit()
    world.check_dump(HANDLE, data)


def test_a_killed_sender_is_no_success(world: World) -> None:
    """The end of the stream alone is never DONE: the dumper is asked, and says FAILED."""
    talk, port, addresses = begun(world)
    header(port)
    send(addresses[0], DATA[:100_000])
    talk.grant("PROTO01")
    talk.ready()
    talk.part("PROTO01", 1, 100_000, None)
    talk.expect(f"DUMPER-STATUS {WORKER} {HANDLE}")
    talk.send(f"FAILED {WORKER} {HANDLE}")
    talk.expect(f"DONE {WORKER} {HANDLE} INPUT-GOOD TAPE-GOOD <*>")
    world.check_logged(f"PARTIAL taper {POOL} {HOME} 1 0 <*>")


def test_a_reset_connection_is_an_input_error(world: World) -> None:
    """A client that dies in mid-stream leaves a PARTIAL dump, whoever notices first."""
    talk, port, addresses = begun(world, split_by(65536))
    header(port)
    link = socket.create_connection(addresses[0], 10)
    link.sendall(DATA[:100_000])
    talk.grant("PROTO01")
    talk.ready()
    talk.part("PROTO01", 1, 65536, None)
    link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    link.close()
    talk.expect(f"PARTIAL {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD <*>")


def test_failed_while_the_client_is_awaited(world: World) -> None:
    """FAILED ends the waiting at once, the ports are closed, the worker is free."""
    talk, port, addresses = begun(world)
    header(port)
    talk.expect_silence(0.3)
    talk.send(f"FAILED {WORKER} {HANDLE}")
    talk.expect(f"FAILED {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD <*>")
    for where in addresses:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(where, 10)
    port, addresses = direct(talk)
    header(port)
    send(addresses[0], DATA)
    talk.grant("PROTO01")


def test_nobody_comes(world: World) -> None:
    """The data port is open for dtimeout only."""
    talk, port, _ = begun(world, options=Options(properties=LOOPBACK, dtimeout=1))
    header(port)
    talk.expect(
        f"FAILED {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD "
        '"Error accepting incoming connection: Connection timed out" ""'
    )
    talk.quit()


def refused(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, 10).close()
    except ConnectionRefusedError:
        return True
    return False


def test_a_second_client_is_refused(world: World) -> None:
    """The data port closes behind the first."""
    _, port, addresses = begun(world)
    header(port)
    with socket.create_connection(addresses[0], 10) as link:
        link.sendall(b"x")
        world.wait_for("the port to take no second", lambda: refused(addresses[1]))


DISKLIST = """# disks
localhost /other somewhere
localhost /home {
  straight
  compress none
}
"""
STRAIGHT = """
define application straight-tar {
  plugin "amdirecttar"
}
define dumptype straight {
  program "APPLICATION"
  application "straight-tar"
  data-path directtcp
}
property "directtcp-header-wait" "WAIT"
"""


def silent(
    world: World, disklist: str = DISKLIST, wait: int = 1
) -> tuple[Conversation, int, list[Address]]:
    """Begun, where a header is waited for so many seconds once data come."""
    world.write(f"{ETC}/disklist", disklist)
    return begun(
        world, options=Options(properties=LOOPBACK, extra=STRAIGHT.replace("WAIT", str(wait)))
    )


def test_a_dumper_that_never_sends_the_header(world: World) -> None:
    """Stock's dumper opens the header connection and is silent: ours makes the header itself."""
    talk, port, addresses = silent(world)
    link = socket.create_connection(("127.0.0.1", port), 10)
    sender = send(addresses[0], DATA)
    talk.grant("PROTO01")
    talk.ready()
    talk.part("PROTO01", 1, len(DATA), None)
    sender.join(60)
    talk.dumper_done()
    talk.done(crc(DATA))
    link.close()
    talk.quit()
    world.check_dump(HANDLE, DATA)
    found = world.volume("PROTO01")[1].header
    first, rest = found.split("\n", 1)
    assert first == (
        f"AMANDA: SPLIT_FILE {STAMP} localhost /home  part 1/-1  lev 0 comp N program APPLICATION"
    )
    assert "APPLICATION=amdirecttar\n" in rest
    assert "amdirecttar restore [./file-to-restore]+" in rest
    world.check_logged("INFO taper no header came for this dump: <*>")


def test_silence_before_the_client_begins_is_no_reason(world: World) -> None:
    """A dumper holds the connection silently while its client gets going."""
    talk, port, addresses = silent(world)
    with socket.create_connection(("127.0.0.1", port), 10) as link:
        talk.expect_silence(1.5)
        with socket.create_connection(addresses[0], 10) as data:
            talk.expect_silence(1.5)
            link.sendall(HEADER)
            link.close()
            data.sendall(DATA)
        talk.grant("PROTO01")
    assert not world.log("INFO taper no header")


def test_a_header_in_time_wins(world: World) -> None:
    """Half a second late is early enough, and then it may take its time."""
    talk, port, addresses = silent(world, wait=30)
    link = socket.create_connection(("127.0.0.1", port), 10)
    send(addresses[0], DATA)
    time.sleep(0.5)
    link.sendall(HEADER[:100])
    time.sleep(1.0)
    link.sendall(HEADER[100:])
    link.close()
    talk.grant("PROTO01")
    talk.ready()
    talk.part("PROTO01", 1, len(DATA), None)
    expected = dump_header(Dump(), "SPLIT_FILE", part=" part 1/-1 ").rstrip(b"\0").decode()
    assert world.volume("PROTO01")[1].header == expected


def test_a_disk_that_the_disklist_does_not_know(world: World) -> None:
    """No header can be made: the dump fails and says why; no volume is spent."""
    talk, port, addresses = silent(world, "localhost /other somewhere\n")
    with socket.create_connection(("127.0.0.1", port), 10):
        send(addresses[0], DATA)
        talk.expect(f'FAILED {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD "no header came, and <*>" ""')


def test_an_empty_header_connection(world: World) -> None:
    """Who hangs up without a byte is not the dumper; the driver says when that one has failed."""
    talk, port, addresses = silent(world)
    send(addresses[0], DATA)
    header(port, b"")
    talk.expect_silence(1.5)
    talk.send(f"FAILED {WORKER} {HANDLE}")
    talk.expect(f'FAILED {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD "Got empty header" ""')


@needs_root
def test_strangers_cost_nothing(world: World) -> None:
    """Nobody's data becomes the dump, by IPv4 or IPv6; nor does a silent caller keep its place."""
    talk, port, addresses = begun(world)
    header(port)
    with socket.create_connection(addresses[0], 10):
        for host, number in addresses:
            with Stranger(number, "evil", host) as stranger:
                assert stranger.heard() == b""
        send(addresses[0], DATA)
        talk.grant("PROTO01")
        talk.ready()
        talk.part("PROTO01", 1, len(DATA), None)
