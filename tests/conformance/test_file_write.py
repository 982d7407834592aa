"""FILE-WRITE: dumps from the holding disk, and what can be wrong with one."""

import pytest

from tests.conformance.harness import HOLDING, STAMP, World
from tests.conformance.harness_files import BLOCK, Dump, dump_header, quote
from tests.conformance.harness_talk import PLAIN, WORKER, Conversation, split_by
from tests.conformance.harness_text import crc, payload, stats
from tests.conformance.kinds import DIRECTORIES

MIB = 1 << 20
DATA = payload(200_000)
H2 = "00-00002"
POOL = '"ST:PROTO" "POOL:PROTO"'


def begun(world: World, data: bytes = DATA, orig: str = "64") -> Conversation:
    """Start a taper, let it label a volume with a first dump of these bytes."""
    talk = world.start()
    talk.start_taper()
    talk.file_write(world.holding(data), orig=orig)
    talk.grant("PROTO01")
    talk.ready()
    return talk


@pytest.mark.every_kind
def test_one_dump_one_part(world: World) -> None:
    """The plain story: request, volume, READY, PARTDONE, DONE; every byte is there
    [protocol T1]."""
    talk = begun(world)
    talk.part("PROTO01", 1, 200_000)
    talk.done(crc(DATA))
    talk.quit()
    world.check_dump("00-00001", DATA)
    who = f"localhost /home {STAMP}"
    sums = f"00000000:0 00000000:0 {crc(DATA)}"
    world.check_log(
        "INFO taper Slot 1 without label can be labeled",
        f"START taper datestamp {STAMP} {POOL} label PROTO01 tape 1",
        f"PART taper {POOL} PROTO01 1 {who} 1/-1 0 {stats(200_000, 64)}",
        f"DONE taper {POOL} {who} 1 0 {sums} {stats(200_000, 64)}",
        "INFO taper tape PROTO01 kb 195 fm 1 [OK]",
    )


def test_the_volume_stays_open_for_the_next_dump(world: World) -> None:
    """A second dump needs no volume: READY at once, next file number [protocol T1]."""
    talk = begun(world)
    talk.part("PROTO01", 1, 200_000)
    talk.done(crc(DATA))
    usr = Dump("/usr", level=1)
    talk.file_write(world.holding(b"u" * 5000, usr), handle=H2, dump=usr)
    talk.ready(H2)
    talk.part("PROTO01", 2, 5000, handle=H2)
    talk.done(crc(b"u" * 5000), handle=H2)
    talk.quit()
    world.check_dump("00-00001", DATA)
    world.check_dump(H2, b"u" * 5000, usr)
    world.check_logged(f"PART taper {POOL} PROTO01 2 localhost /usr {STAMP} 1/-1 1 <*>")
    world.check_logged("INFO taper tape PROTO01 kb 200 fm 2 [OK]")


@pytest.mark.parametrize("chunk", [BLOCK, 60_000, 199_999, 200_000])
def test_a_dump_in_several_holding_files(world: World, chunk: int) -> None:
    """Chunks of any size are one dump; the chain's names do not reach the volume."""
    talk = world.start()
    talk.start_taper()
    talk.file_write(world.holding(DATA, chunk=chunk))
    talk.grant("PROTO01")
    talk.ready()
    talk.part("PROTO01", 1, 200_000)
    talk.done(crc(DATA))
    world.check_dump("00-00001", DATA)
    assert "CONT_FILENAME" not in world.volume("PROTO01")[1].header


def test_an_empty_dump_is_one_empty_part(world: World) -> None:
    """Zero bytes: a file with a header only, PARTDONE 0, DONE with CRC zero."""
    talk = begun(world, b"")
    talk.part("PROTO01", 1, 0)
    talk.done("00000000:0")
    talk.quit()
    assert [len(file.data) for file in world.volume("PROTO01")] == [0, 0]


def test_one_byte(world: World) -> None:
    """The smallest dump; its last block is short on the volume."""
    talk = begun(world, b"1")
    talk.part("PROTO01", 1, 1)
    talk.done(crc(b"1"))
    world.check_dump("00-00001", b"1")


@pytest.mark.parametrize(("orig", "shown"), [("0", "0"), ('""', "")], ids=["zero", "unknown"])
def test_the_original_size_is_the_commands(world: World, orig: str, shown: str) -> None:
    """orig-kb of the stats is the field of the command, even 0, even nothing."""
    talk = begun(world, orig=orig)
    talk.part("PROTO01", 1, 200_000, shown)
    talk.done(crc(DATA), shown)


@pytest.mark.only_on(*DIRECTORIES, "tape", "rait", "mixed", why="it tells no block size there")
def test_the_header_goes_to_the_volume_unchanged(world: World) -> None:
    """CRC lines, application, sizes and DLE text survive; the type becomes SPLIT_FILE."""
    lines = (
        "APPLICATION=amgtar\nORIGSIZE=64\nNATIVE-CRC=0000abcd:11\nCLIENT-CRC=0000abce:12\n"
        f"SERVER-CRC={crc(DATA)}\nDLE=<<ENDDLE\n<dle>\n  <disk>/home</disk>\n</dle>\nENDDLE\n"
    )
    talk = world.start()
    talk.start_taper()
    talk.file_write(world.holding(DATA, lines=lines))
    talk.grant("PROTO01")
    talk.ready()
    talk.part("PROTO01", 1, 200_000)
    talk.done(crc(DATA))
    expected = dump_header(Dump(), "SPLIT_FILE", lines, part=" part 1/-1 ")
    assert world.volume("PROTO01")[1].header == expected.rstrip(b"\0").decode()
    world.check_logged(
        f"DONE taper {POOL} <*> 1 0 0000abcd:11 0000abce:12 {crc(DATA)} {stats(200_000, 64)}"
    )


def test_a_wrong_server_crc_is_an_input_error(world: World) -> None:
    """The header's SERVER-CRC does not fit the bytes: PARTIAL, the bytes are kept
    [protocol T13]."""
    talk = world.start()
    talk.start_taper()
    talk.file_write(world.holding(DATA, lines="SERVER-CRC=02929ca1:1048576\n"))
    talk.grant("PROTO01")
    talk.ready()
    talk.part("PROTO01", 1, 200_000)
    text = f"source server crc ({crc(DATA)}) and input server crc (02929ca1:1048576) differ)"
    tail = f'"{crc(DATA)}" "{stats(200_000, 64)}" "{text}" ""'
    talk.expect(f"PARTIAL {WORKER} 00-00001 INPUT-ERROR TAPE-GOOD {tail}")
    sums = "00000000:0 00000000:0 02929ca1:1048576"
    world.check_logged(f'PARTIAL taper {POOL} <*> 1 0 {sums} {stats(200_000, 64)} "{text}"')
    world.check_dump("00-00001", DATA)


def test_a_partial_dump_is_written_and_called_partial_in_the_log(world: World) -> None:
    """PARTIAL=YES: DONE to the driver, PARTIAL without message in the log, kept on the volume."""
    talk = world.start()
    talk.start_taper()
    talk.file_write(world.holding(DATA, lines="PARTIAL=YES\n"))
    talk.grant("PROTO01")
    talk.ready()
    talk.part("PROTO01", 1, 200_000)
    talk.done(crc(DATA))
    sums = f"00000000:0 00000000:0 {crc(DATA)}"
    world.check_logged(f"PARTIAL taper {POOL} <*> 1 0 {sums} {stats(200_000, 64)}")
    assert "\nPARTIAL=YES\n" in world.volume("PROTO01")[1].header


@pytest.mark.parametrize("disk", ['a b:c"d\\e', "C:\\Data", "/données", "/a'b", "/\udcff\udcfe"])
def test_names_that_need_quoting(world: World, disk: str) -> None:
    """Blanks, colons, quotes, backslashes, UTF-8 and bytes that are no text survive
    [protocol T26]."""
    dump = Dump(disk)
    talk = world.start()
    talk.start_taper()
    talk.file_write(world.holding(DATA, dump), dump=dump)
    talk.grant("PROTO01")
    talk.ready()
    talk.part("PROTO01", 1, 200_000)
    talk.done(crc(DATA))
    world.check_dump("00-00001", DATA, dump)
    world.check_logged(f"PART taper {POOL} PROTO01 1 localhost {quote(disk)} {STAMP} 1/-1 0 <*>")
    assert any(
        line.startswith(f"taper: status file taper0 {WORKER} localhost {quote(disk)}:/tmp/amanda/")
        for line in talk.stderr()
    )


def test_a_holding_file_with_blanks_in_its_name(world: World) -> None:
    """The name of a holding file may need quoting, its continuation's too."""
    talk = world.start()
    talk.start_taper()
    talk.file_write(world.holding(DATA, chunk=90_000, name='my "dump" a\\b'))
    talk.grant("PROTO01")
    talk.ready()
    talk.part("PROTO01", 1, 200_000)
    talk.done(crc(DATA))
    world.check_dump("00-00001", DATA)


def test_an_eight_digit_datestamp(world: World) -> None:
    """Old datestamps of eight digits are fine, for the dump and for the volume."""
    dump = Dump(datestamp="20260101")
    talk = world.start()
    talk.start_taper(stamp="20260102")
    talk.file_write(world.holding(DATA, dump), dump=dump)
    talk.grant("PROTO01")
    talk.ready()
    talk.part("PROTO01", 1, 200_000)
    talk.done(crc(DATA))
    world.check_dump("00-00001", DATA, dump)
    assert world.tapelist()[0].startswith("20260102 PROTO01 reuse ")


def test_the_dumper_results_of_another_kind_of_dump_are_ignored(world: World) -> None:
    """DONE and FAILED mean nothing to a FILE-WRITE."""
    talk = world.start()
    talk.start_taper()
    talk.file_write(world.holding(DATA))
    talk.expect(f"REQUEST-NEW-TAPE {WORKER} 00-00001")
    talk.send(f"FAILED {WORKER} 00-00001", f"DONE {WORKER} 00-00001 1 1:1 2:2 3:3")
    talk.send(f"START-SCAN {WORKER} 00-00001", f"NEW-TAPE {WORKER} 00-00001")
    talk.expect(f"NEW-TAPE {WORKER} 00-00001 PROTO01")
    talk.ready()
    talk.part("PROTO01", 1, 200_000)
    talk.done(crc(DATA))


def recovers(world: World, talk: Conversation, label: str = "PROTO01") -> None:
    """Check that the worker takes the next dump and writes it right."""
    talk.file_write(world.holding(DATA), handle=H2)
    line = talk.expect(f"<w> {WORKER} {H2}")
    if line.startswith("REQUEST-NEW-TAPE"):
        talk.send(f"START-SCAN {WORKER} {H2}", f"NEW-TAPE {WORKER} {H2}")
        talk.expect(f"NEW-TAPE {WORKER} {H2} {label}", f"READY {WORKER} {H2}")
    assert talk.expect(f'PARTDONE {WORKER} {H2} {label} <n> 195 "{stats(200_000, 64)}"')
    talk.done(crc(DATA), handle=H2)
    world.check_dump(H2, DATA)


WRONG = "stock dies of it, with every worker ([protocol 8]: header mismatch, unreadable file)"


@pytest.mark.known_stock_failure(WRONG)
@pytest.mark.parametrize("way", ["missing", "forbidden"])
def test_a_holding_file_that_cannot_be_opened(world: World, way: str) -> None:
    """FAILED INPUT-ERROR with the file's name; logged; the next dump is fine."""
    if way == "forbidden":
        world.inside("chown", "root", world.holding(DATA, name="nosuch"))
    talk = world.start()
    talk.start_taper()
    talk.file_write(f"{HOLDING}/nosuch")
    talk.expect(f'FAILED {WORKER} 00-00001 INPUT-ERROR TAPE-GOOD "<*>{HOLDING}/nosuch<*>" ""')
    world.check_logged(f"FAIL taper {POOL} localhost /home {STAMP} 0 error <*>nosuch<*>")
    recovers(world, talk)


@pytest.mark.known_stock_failure(WRONG)
@pytest.mark.parametrize(
    "content",
    [b"", b"too short", b"\0" * BLOCK, b"AMANDA: TAPESTART DATE X TAPE L\n\f\n".ljust(BLOCK)],
    ids=["empty", "short", "zeros", "label"],
)
def test_a_holding_file_that_is_no_dump(world: World, content: bytes) -> None:
    """FAILED INPUT-ERROR; logged; the next dump is fine."""
    talk = world.start()
    talk.start_taper()
    talk.file_write(world.write(f"{HOLDING}/bad", content))
    talk.expect(f'FAILED {WORKER} 00-00001 INPUT-ERROR TAPE-GOOD "<*>" ""')
    world.check_logged(f"FAIL taper {POOL} localhost /home {STAMP} 0 error <*>")
    recovers(world, talk)


@pytest.mark.known_stock_failure(WRONG)
@pytest.mark.parametrize(
    "dump",
    [Dump("/other"), Dump(host="elsewhere"), Dump(level=1), Dump(datestamp="20250101000000")],
    ids=["disk", "host", "level", "datestamp"],
)
def test_a_holding_file_of_another_dump(world: World, dump: Dump) -> None:
    """The header must be the one the command speaks of: FAILED INPUT-ERROR, next dump fine."""
    talk = world.start()
    talk.start_taper()
    talk.file_write(world.holding(DATA, dump))
    talk.expect(f'FAILED {WORKER} 00-00001 INPUT-ERROR TAPE-GOOD "<*>" ""')
    world.check_logged(f"FAIL taper {POOL} localhost /home {STAMP} 0 error <*>")
    recovers(world, talk)


HANG = "stock deadlocks on a bad continuation chunk, QUIT included [data-plane Q4]"


@pytest.mark.known_stock_failure(HANG)
@pytest.mark.parametrize("split", [PLAIN, split_by(65536)], ids=["whole", "split"])
def test_a_missing_continuation_fails_the_dump_cleanly(world: World, split: str) -> None:
    """INPUT-ERROR names the missing file; what was written is reported and logged; life goes on."""
    talk = world.start()
    talk.hopeless_after(4)
    talk.start_taper()
    path = world.holding(DATA, chunk=150_000)
    world.path(f"{path}.1").unlink()
    talk.file_write(path, split)
    talk.grant("PROTO01")
    talk.ready()
    line = talk.expect("<w> <*>")
    while line.startswith("PARTDONE"):
        line = talk.expect("<w> <*>")
    assert line.startswith(f"PARTIAL {WORKER} 00-00001 INPUT-ERROR TAPE-GOOD "), line
    assert f"{path}.1" in line
    assert "No such file or directory" in line
    world.check_logged(f"PARTIAL taper {POOL} localhost /home {STAMP} <*>{path}.1<*>")
    recovers(world, talk)
    talk.quit()


@pytest.mark.known_stock_failure(HANG)
def test_a_continuation_that_is_no_dump_file(world: World) -> None:
    """A chunk whose header is rubbish: PARTIAL INPUT-ERROR, then the next dump, then QUIT."""
    talk = world.start()
    talk.hopeless_after(4)
    talk.start_taper()
    path = world.holding(DATA, chunk=150_000)
    world.write(f"{path}.1", b"rubbish" * 20_000)
    talk.file_write(path, split_by(65536))
    talk.grant("PROTO01")
    talk.ready()
    talk.part("PROTO01", 1, 65536)
    talk.part("PROTO01", 2, 65536)
    talk.expect(
        f'PARTIAL {WORKER} 00-00001 INPUT-ERROR TAPE-GOOD "{crc(DATA[:131072])}" <*> "<*>" ""'
    )
    recovers(world, talk)
    talk.quit()
