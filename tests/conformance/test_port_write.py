"""PORT-WRITE: the header port, the data port, and every way a dumper can fail."""

import socket
import struct
import time

import pytest

from tests.conformance.harness import STAMP, Options, World
from tests.conformance.harness_files import Dump, dump_header
from tests.conformance.harness_talk import HANDLE, PLAIN, WORKER, Conversation, Dumper, split_by
from tests.conformance.harness_text import crc, matches, payload, stats
from tests.conformance.kinds import ANY_BUT_DISCS, AT_ONCE
from tests.fakes.stranger import Stranger, needs_root

DATA = payload(200_000)
H2 = "00-00002"
POOL = '"ST:PROTO" "POOL:PROTO"'
HOME = f"localhost /home {STAMP}"
HEADER = dump_header(Dump())


def begun(world: World, split: str = split_by(131072, "memory")) -> tuple[Conversation, Dumper]:
    """Start a taper and a PORT-WRITE."""
    talk = world.start()
    talk.start_taper()
    return talk, talk.port_write(split)


def labelled(talk: Conversation, dumper: Dumper) -> socket.socket:
    """Send the header, grant the volume, open the data connection."""
    dumper.header(HEADER)
    talk.grant("PROTO01")
    talk.ready()
    return dumper.connect()


def recovers(world: World, talk: Conversation, volume: bool = False) -> None:
    """Check that the worker takes the next dump and writes it right."""
    dumper = talk.port_write(handle=H2)
    dumper.header(HEADER)
    dumper.data(DATA)
    if volume:
        talk.grant("PROTO01", H2)
    talk.ready(H2)
    talk.expect(f'PARTDONE {WORKER} {H2} PROTO01 <n> 195 "{stats(200_000)}"')
    talk.dumper_done(H2)
    talk.done(crc(DATA), handle=H2)
    world.check_dump(H2, DATA)


@pytest.mark.every_kind
def test_a_dump_by_tcp(world: World) -> None:
    """PORT, header, volume, READY, parts, DUMPER-STATUS, DONE; every byte is there
    [protocol T14]."""
    talk, dumper = begun(world)
    dumper.header(HEADER)
    dumper.data(DATA)
    talk.grant("PROTO01")
    talk.ready()
    talk.part("PROTO01", 1, 131072, None)
    talk.part("PROTO01", 2, 68928, None)
    talk.dumper_done(orig="77")
    talk.done(crc(DATA), "77")
    talk.quit()
    world.check_dump(HANDLE, DATA)
    sums = f"aaaaaaaa:1 bbbbbbbb:2 {crc(DATA)}"
    world.check_log(
        "INFO taper Slot 1 without label can be labeled",
        f"START taper datestamp {STAMP} {POOL} label PROTO01 tape 1",
        f"PART taper {POOL} PROTO01 1 {HOME} 1/-1 0 {stats(131072)}",
        f"PART taper {POOL} PROTO01 2 {HOME} 2/-1 0 {stats(68928)}",
        f"DONE taper {POOL} {HOME} 2 0 {sums} {stats(200_000, 77)}",
        "INFO taper tape PROTO01 kb 195 fm 2 [OK]",
    )


def test_the_volume_header_is_the_dumpers(world: World) -> None:
    """What the dumper said is on the volume, as SPLIT_FILE with its part number."""
    talk, dumper = begun(world)
    with labelled(talk, dumper) as data:
        data.sendall(b"x")
    talk.part("PROTO01", 1, 1, None)
    expected = dump_header(Dump(), "SPLIT_FILE", part=" part 1/-1 ").rstrip(b"\0").decode()
    if not world.kind.sized_headers:
        expected = expected.replace(" bs=32k ", " ")
    assert world.volume("PROTO01")[1].header == expected


def test_a_dumper_that_failed_after_all_its_data(world: World) -> None:
    """FAILED in answer to DUMPER-STATUS: DONE to the driver, PARTIAL in the log [protocol T15]."""
    talk, dumper = begun(world, split_by(1 << 20, "memory"))
    dumper.data(DATA)
    dumper.header(HEADER)
    talk.grant("PROTO01")
    talk.ready()
    talk.part("PROTO01", 1, 200_000, None)
    talk.expect(f"DUMPER-STATUS {WORKER} {HANDLE}")
    talk.send(f"FAILED {WORKER} {HANDLE}")
    talk.done(crc(DATA), None)
    sums = f"00000000:0 00000000:0 {crc(DATA)}"
    world.check_logged(f"PARTIAL taper {POOL} {HOME} 1 0 {sums} {stats(200_000)}")
    recovers(world, talk)


@pytest.mark.only_on(*AT_ONCE, why="a tape waits for more")
def test_a_dumper_result_that_comes_early(world: World) -> None:
    """DONE before the end of the data: its orig-kb is in the parts, no DUMPER-STATUS."""
    talk, dumper = begun(world)
    data = labelled(talk, dumper)
    data.sendall(DATA[:150_000])
    talk.part("PROTO01", 1, 131072, None)
    talk.send(f"DONE {WORKER} {HANDLE} 99 aaaaaaaa:1 bbbbbbbb:2 00000000:0")
    talk.send("XYZZY")
    talk.expect('BAD-COMMAND "unknown command<*>"')
    data.sendall(DATA[150_000:])
    data.close()
    talk.part("PROTO01", 2, 68928, "99")
    talk.done(crc(DATA), "99")


@pytest.mark.known_stock_failure("stock does not look at it [protocol 8]")
def test_the_dumpers_checksum_is_compared(world: World) -> None:
    """The dumper sent other bytes than came here: never DONE."""
    talk, dumper = begun(world)
    with labelled(talk, dumper) as data:
        data.sendall(DATA)
    talk.part("PROTO01", 1, 131072, None)
    talk.part("PROTO01", 2, 68928, None)
    talk.expect(f"DUMPER-STATUS {WORKER} {HANDLE}")
    other = crc(DATA[:-1] + b"?")
    talk.send(f"DONE {WORKER} {HANDLE} 99 aaaaaaaa:1 bbbbbbbb:2 {other}")
    text = f"source server crc ({crc(DATA)}) and dumper crc ({other}) differ"
    talk.expect(f'PARTIAL {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD "{crc(DATA)}" <*> "{text}" ""')
    recovers(world, talk)


def test_results_of_another_dump_are_ignored(world: World) -> None:
    """DONE and FAILED with another handle, and a second result, change nothing."""
    talk, dumper = begun(world)
    data = labelled(talk, dumper)
    talk.send(f"FAILED {WORKER} 00-00009", f"DONE {WORKER} 00-00009 9 1:1 2:2 3:3")
    data.sendall(DATA)
    data.close()
    talk.part("PROTO01", 1, 131072, None)
    talk.part("PROTO01", 2, 68928, None)
    talk.dumper_done()
    talk.send(f"FAILED {WORKER} {HANDLE}")
    talk.done(crc(DATA))
    world.check_logged(f"DONE taper {POOL} {HOME} 2 0 <*>")


@pytest.mark.only_on(*ANY_BUT_DISCS, why="mounting takes longer than the data are waited for")
def test_no_data_at_all(world: World) -> None:
    """An empty dump by TCP: one empty part, DONE, CRC zero; known for one by dtimeout."""
    world.configure(Options(dtimeout=1))
    talk, dumper = begun(world)
    labelled(talk, dumper).close()
    talk.part("PROTO01", 1, 0, None)
    talk.dumper_done()
    talk.done("00000000:0")


def test_more_data_than_any_buffer_before_the_volume(world: World) -> None:
    """The dumper may send before a volume is granted: TCP lets it wait, nothing is lost."""
    data = payload(3_000_000)
    talk, dumper = begun(world, split_by(1 << 20, "memory"))
    sender = dumper.data(data)
    dumper.header(HEADER)
    talk.expect(f"REQUEST-NEW-TAPE {WORKER} {HANDLE}")
    talk.expect_silence(0.3)
    talk.send(f"START-SCAN {WORKER} {HANDLE}", f"NEW-TAPE {WORKER} {HANDLE}")
    talk.expect(f"NEW-TAPE {WORKER} {HANDLE} PROTO01")
    talk.ready()
    for number, size in enumerate([1 << 20, 1 << 20, 902_848], 1):
        talk.part("PROTO01", number, size, None)
    sender.join(60)
    talk.dumper_done()
    talk.done(crc(data))
    world.check_dump(HANDLE, data)


@pytest.mark.parametrize("way", ["slow", "unpadded"])
def test_the_header_is_complete_at_its_end(world: World, way: str) -> None:
    """A header in pieces, or shorter than 32 KiB, is taken when its connection closes."""
    talk, dumper = begun(world)
    block = HEADER if way == "slow" else HEADER.rstrip(b"\0")
    with dumper.connect_header() as link:
        for at in range(0, 300, 60):
            link.sendall(block[at : at + 60])
            time.sleep(0.02)
        link.sendall(block[300:])
        talk.expect_silence(0.2)
    talk.grant("PROTO01")
    talk.ready()
    dumper.data(DATA)
    talk.part("PROTO01", 1, 131072, None)


ANYBODY = "stock takes whoever comes first for the dumper"


@pytest.mark.known_stock_failure(ANYBODY)
def test_an_empty_header_connection(world: World) -> None:
    """Who hangs up without a byte was not the dumper, who comes after him."""
    talk, dumper = begun(world)
    dumper.header(b"")
    with dumper.connect_header():
        talk.expect_silence(0.2)
        dumper.header(HEADER)
        talk.grant("PROTO01")
    talk.ready()
    dumper.data(DATA)
    talk.part("PROTO01", 1, 131072, None)


@pytest.mark.known_stock_failure(ANYBODY)
@needs_root
def test_strangers_cost_nothing(world: World) -> None:
    """Another user of this host is sent away from both ports, whatever he says."""
    talk, dumper = begun(world)
    with Stranger(dumper.header_port, "evil") as one, Stranger(dumper.data_port, "evil") as other:
        assert one.heard(talk.deadline) == other.heard(talk.deadline) == b""
    dumper.header(HEADER)
    talk.grant("PROTO01")
    talk.ready()
    dumper.data(DATA)
    talk.part("PROTO01", 1, 131072, None)
    talk.part("PROTO01", 2, len(DATA) - 131072, None)


@pytest.mark.known_stock_failure("stock dies of a header it does not expect [protocol 8]")
@pytest.mark.parametrize(
    "block",
    [
        dump_header(Dump("/other")),
        dump_header(Dump(level=2)),
        b"\0" * 32768,
        b"GET / HTTP/1.0\r\n\r\n",
        b"AMANDA: TAPESTART DATE X TAPE PROTO01\n\f\n".ljust(32768, b"\0"),
    ],
    ids=["other-disk", "other-level", "zeros", "rubbish", "label"],
)
def test_a_wrong_header_fails_one_dump_only(world: World, block: bytes) -> None:
    """FAILED INPUT-ERROR with a reason, logged; the next dump is fine."""
    talk, dumper = begun(world)
    dumper.header(block)
    talk.expect(f'FAILED {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD "<*>" ""')
    world.check_logged(f"FAIL taper {POOL} {HOME} 0 error <*>")
    recovers(world, talk, volume=True)


def test_a_header_that_never_comes(world: World) -> None:
    """No header connection within dtimeout: FAILED, next dump fine [protocol T17]."""
    world.configure(Options(dtimeout=1))
    talk, _ = begun(world)
    text = '"Error accepting incoming connection: Connection timed out"'
    talk.expect(f'FAILED {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD {text} ""')
    world.check_logged(f"FAIL taper {POOL} {HOME} 0 error {text}")
    recovers(world, talk, volume=True)


@pytest.mark.only_on(*ANY_BUT_DISCS, why="mounting takes longer than the data are waited for")
def test_data_that_never_come(world: World) -> None:
    """No data connection within dtimeout: FAILED, the labelled volume stays usable
    [protocol T17]."""
    world.configure(Options(dtimeout=1))
    talk, dumper = begun(world, PLAIN)
    dumper.header(HEADER)
    talk.grant("PROTO01")
    talk.ready()
    text = '"Error accepting incoming connection: Connection timed out"'
    talk.expect(f'FAILED {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD {text} ""')
    world.check_logged(f"FAIL taper {POOL} {HOME} 0 error {text}")
    recovers(world, talk)


def test_a_volume_granted_too_late(world: World) -> None:
    """The data deadline passes while waiting for permission: NEW-TAPE does no harm.

    Stock says BAD-COMMAND, which ends the driver; one refusal is as good.
    """
    world.configure(Options(dtimeout=1))
    talk, dumper = begun(world)
    dumper.header(HEADER)
    talk.expect(f"REQUEST-NEW-TAPE {WORKER} {HANDLE}")
    talk.expect(f'FAILED {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD "Error accepting <*>" ""')
    talk.send(f"NEW-TAPE {WORKER} {HANDLE}")
    line = talk.expect("<w> <*>")
    assert line == f"NO-NEW-TAPE {WORKER} {HANDLE}" or line.startswith("BAD-COMMAND "), line
    assert world.slot(1) == []
    talk.still_there()


def test_failed_before_the_header_connection(world: World) -> None:
    """The driver gives up while nobody has connected: 'Got empty header'."""
    talk, _ = begun(world)
    talk.send(f"FAILED {WORKER} {HANDLE}")
    talk.expect(f'FAILED {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD "Got empty header" ""')
    recovers(world, talk, volume=True)


def test_failed_before_the_headers_first_byte(world: World) -> None:
    """The driver gives up while the header connection is idle, then it closes."""
    talk, dumper = begun(world)
    with dumper.connect_header():
        time.sleep(0.1)
        talk.send(f"FAILED {WORKER} {HANDLE}")
        time.sleep(0.1)
    talk.expect(f'FAILED {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD "Got empty header" ""')
    recovers(world, talk, volume=True)


def test_failed_before_the_first_volume(world: World) -> None:
    """The driver gives up while a volume is asked for: FAILED 'dumper failed'."""
    talk, dumper = begun(world)
    dumper.header(HEADER)
    dumper.data(b"")
    talk.expect(f"REQUEST-NEW-TAPE {WORKER} {HANDLE}")
    talk.send(f"FAILED {WORKER} {HANDLE}")
    talk.expect(f'FAILED {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD "dumper failed" ""')
    world.check_logged(f'FAIL taper {POOL} {HOME} 0 error "dumper failed"')


@pytest.mark.known_stock_failure("stock never asks for a volume again and hangs")
def test_a_worker_is_usable_after_failed_before_the_first_volume(world: World) -> None:
    """The request is cleared: the next dump asks again."""
    talk, dumper = begun(world)
    talk.hopeless_after(4)
    dumper.header(HEADER)
    dumper.data(b"")
    talk.expect(f"REQUEST-NEW-TAPE {WORKER} {HANDLE}")
    talk.send(f"FAILED {WORKER} {HANDLE}")
    talk.expect(f'FAILED {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD "dumper failed" ""')
    recovers(world, talk, volume=True)


@pytest.mark.only_on(*AT_ONCE, why="a tape waits for more")
@pytest.mark.stock_may_fail("what stock says after FAILED depends on how fast it gives up")
def test_failed_in_the_middle_of_the_data(world: World) -> None:
    """PARTIAL 'dumper failed' with what is good; the cut part is in the log [protocol T18]."""
    talk, dumper = begun(world, split_by(131072, "none"))
    data = labelled(talk, dumper)
    data.sendall(DATA)
    talk.part("PROTO01", 1, 131072, None)
    world.wait_for_data("PROTO01", 2)  # a part that was not begun is in no log
    talk.send(f"FAILED {WORKER} {HANDLE}")
    said = talk.heard()
    if not said:  # stock waits for the end of the data
        data.close()
        said = [talk.expect("<w> <*>")]
    tail = f'"{crc(DATA[:131072])}" "{stats(131072)}" "dumper failed" ""'
    assert matches(f"PARTIAL {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD {tail}", said[0]), said
    world.check_logged(
        f'PARTPARTIAL taper {POOL} PROTO01 2 {HOME} 2/-1 0 <*> "<*>"',
        f'PARTIAL taper {POOL} {HOME} 2 0 00000000:0 00000000:0 <crc> <*> "dumper failed"',
    )
    recovers(world, talk)


@pytest.mark.parametrize("split", [split_by(131072, "none"), split_by(131072, "memory")])
def test_failed_while_waiting_for_another_volume(world: World, split: str) -> None:
    """PARTIAL 'dumper failed' once the driver gives up between two volumes."""
    world.configure(Options(usage_kib=320, leom="none" in split))
    talk, dumper = begun(world, split)
    data = labelled(talk, dumper)
    data.sendall(payload(500_000))
    data.close()
    talk.part("PROTO01", 1, 131072, None)
    line = talk.expect("<w> <*>")
    while not line.startswith("REQUEST"):
        line = talk.expect("<w> <*>")
    talk.send(f"FAILED {WORKER} {HANDLE}")
    talk.expect(
        f'PARTIAL {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD "<crc>" <*> "dumper failed<*>" ""'
    )


@pytest.mark.stock_may_fail("stock crashes now and then on a denial while data come")
def test_denied_at_the_first_request(world: World) -> None:
    """NO-NEW-TAPE for a dumper's data: FAILED TAPE-CONFIG with the reason."""
    talk, dumper = begun(world)
    dumper.header(HEADER)
    dumper.data(DATA)
    talk.deny("taperflush criteria not met")
    tail = 'INPUT-GOOD TAPE-CONFIG "" "taperflush criteria not met"'
    talk.expect(f"FAILED {WORKER} {HANDLE} {tail}")


def test_the_directtcp_path_onto_a_vtape(world: World) -> None:
    """Stock's vtapes cannot take it and say so at once; where they can (test_directtcp.py), the
    dumper's failure ends it. Either way the worker takes the next dump."""
    talk = world.start()
    talk.start_taper()
    who = f"localhost /home 0 {STAMP}"
    talk.send(f'PORT-WRITE {WORKER} {HANDLE} {who} "" "" "" "" "" "" "" "" DIRECTTCP')
    line = talk.read_line() or ""
    if line.startswith("PORT "):
        talk.send(f"FAILED {WORKER} {HANDLE}")
        talk.expect(f"FAILED {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD <*>")
    else:
        text = "Can't dump DIRECTTCP data-path dle to a device ('<*>slot1') that doesn't support it"
        assert matches(f'FAILED {WORKER} {HANDLE} INPUT-GOOD TAPE-ERROR "" "error; {text}"', line)
    recovers(world, talk, volume=True)


def taken(dumper: Dumper) -> bool:
    """Say whether somebody keeps a further data connection open."""
    try:
        with dumper.connect() as link:
            link.settimeout(3)
            link.sendall(b"x" * 1000)
            return link.recv(1) != b""
    except TimeoutError:
        return True
    except OSError:
        return False


def test_each_port_takes_one_connection(world: World) -> None:
    """A second connection to a port is refused or cut; the first that speaks counts."""
    talk, dumper = begun(world)
    data = dumper.connect()
    data.sendall(DATA[:1])
    world.wait_for("the port to take no second", lambda: not taken(dumper))
    dumper.header(HEADER)
    talk.grant("PROTO01")
    talk.ready()
    data.sendall(DATA[1:])
    data.close()
    talk.part("PROTO01", 1, 131072, None)
    talk.part("PROTO01", 2, 68928, None)
    world.check_dump(HANDLE, DATA)


@pytest.mark.only_on(*AT_ONCE, why="a tape waits for more")
@pytest.mark.known_stock_failure("stock takes a reset for the end of the data [data-plane Q19]")
def test_a_reset_connection_is_an_input_error(world: World) -> None:
    """The peer vanished, its data are not whole: never DONE with INPUT-GOOD."""
    talk, dumper = begun(world, split_by(131072, "none"))
    data = labelled(talk, dumper)
    data.sendall(DATA)
    talk.part("PROTO01", 1, 131072, None)
    data.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    data.close()
    line = talk.expect("<w> <*>")
    while line.startswith(("DUMPER-STATUS", "PARTDONE")):
        if line.startswith("DUMPER-STATUS"):
            talk.send(f"DONE {WORKER} {HANDLE} 64 aaaaaaaa:1 bbbbbbbb:2 00000000:0")
        line = talk.expect("<w> <*>")
    assert line.startswith(f"PARTIAL {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD "), line
    recovers(world, talk)
