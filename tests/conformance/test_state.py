"""Device properties, retention, and a tapelist that others change under the taper's hands."""

import fcntl

import pytest

from tests.conformance.harness import STAMP, TAPELIST, VTAPES, Options, World
from tests.conformance.harness_files import Dump, dump_header, volume_label
from tests.conformance.harness_talk import HANDLE, WORKER, Conversation, split_by
from tests.conformance.harness_text import crc, payload

DATA = payload(200_000)
H2 = "00-00002"
B = Dump("/b")
BAD = "20250101000000 PROTO01 reuse\n\nthis is no tapelist line\n20240101000000 PROTO09 reuse\n"


def storage(policy: str) -> Options:
    """Write an explicit storage with a policy; three slots."""
    text = f"define policy keep {{\n{policy}\n}}\ndefine storage PROTO {{\n"
    text += f'tpchanger "chg-disk:{VTAPES}"\ntapetype "T"\ntapepool "PROTO"\npolicy "keep"\n'
    text += 'labelstr "^PROTO[0-9][0-9]$"\n}\nstorage "PROTO"'
    return Options(slots=3, changer="", labels="", extra=text)


def labelled_by_age(world: World) -> None:
    """Make three volumes: one of last year, two of long ago."""
    world.labelled(1, "PROTO01", "20250103000000")
    world.labelled(2, "PROTO02", "20020102000000")
    world.labelled(3, "PROTO03", "20020101000000")


@pytest.mark.parametrize(
    ("policy", "slot"),
    [("retention-tapes 2", 3), ("retention-tapes 0\nretention-days 5000", 3)],
    ids=["tapes", "days"],
)
def test_retention_lets_the_oldest_go(world: World, policy: str, slot: int) -> None:
    """A policy by number or by age: the oldest volume is the one used again."""
    world.configure(storage(policy))
    labelled_by_age(world)
    talk = world.start()
    talk.start_taper()
    talk.file_write(world.holding(DATA))
    talk.grant(f"PROTO0{slot}")
    assert volume_label(world.slot(slot)) == (f"PROTO0{slot}", STAMP)


@pytest.mark.parametrize("policy", ["retention-tapes 3", "retention-tapes 0\nretention-days 20000"])
def test_retention_keeps_everything(world: World, policy: str) -> None:
    """Nothing may be used again: TAPE-ERROR, no volume is touched."""
    world.configure(storage(policy))
    labelled_by_age(world)
    talk = world.start()
    talk.send(f"START-TAPER taper0 {WORKER} PROTO {STAMP}")
    talk.expect(f'TAPE-ERROR {WORKER} "No acceptable volumes found"')
    assert volume_label(world.slot(3)) == ("PROTO03", "20020101000000")


def test_another_block_size(world: World) -> None:
    """blocksize 64 KiB: parts are cut to it, the tapelist says it, headers stay 32 KiB."""
    world.configure(Options(tapetype="blocksize 64 kbytes"))
    talk = world.start()
    talk.start_taper()
    talk.file_write(world.holding(DATA), split_by(100_000))
    talk.grant("PROTO01")
    talk.ready()
    talk.part("PROTO01", 1, 131_072)
    talk.part("PROTO01", 2, 68_928)
    talk.done(crc(DATA))
    world.check_dump(HANDLE, DATA)
    assert " BLOCKSIZE:64 " in world.tapelist()[0]


def test_a_limit_that_is_not_enforced(world: World) -> None:
    """ENFORCE_MAX_VOLUME_USAGE false: the volume takes what comes."""
    properties = 'device-property "ENFORCE_MAX_VOLUME_USAGE" "false"'
    world.configure(Options(usage_kib=128, properties=properties))
    world.dumped(DATA)


def test_two_dumpers_at_once(world: World) -> None:
    """Two workers, two dumps by TCP, data in turns: nothing is mixed."""
    talk = world.start()
    talk.start_taper()
    talk.start_taper("worker0-1")
    first = talk.port_write(split_by(98_304, "memory"))
    second = talk.port_write(split_by(98_304, "memory"), "01-00002", "worker0-1", B)
    assert first.data_port != second.data_port
    first.header(dump_header(Dump()))
    talk.grant("PROTO01")
    talk.ready()
    second.header(dump_header(B))
    talk.grant("PROTO02", "01-00002", "worker0-1")
    talk.ready("01-00002", "worker0-1")
    other = payload(200_000, seed=7)
    with first.connect() as one, second.connect() as two:
        for at in range(0, 200_000, 10_000):
            one.sendall(DATA[at : at + 10_000])
            two.sendall(other[at : at + 10_000])
    waiting = {f"DUMPER-STATUS {WORKER} {HANDLE}", "DUMPER-STATUS worker0-1 01-00002"}
    while waiting:
        line = talk.expect("<w> <*>")
        assert line.startswith("PARTDONE") or line in waiting, line
        waiting.discard(line)
    for handle, worker, data in ((HANDLE, WORKER, DATA), ("01-00002", "worker0-1", other)):
        talk.send(f"DONE {worker} {handle} 64 1:1 2:2 00000000:0")
        talk.done(crc(data), handle=handle, worker=worker)
    world.check_dump(HANDLE, DATA)
    world.check_dump("01-00002", other, B)


def test_a_denial_while_a_scan_runs(world: World) -> None:
    """START-SCAN and NO-NEW-TAPE in one packet: a denial; the volume found is let go."""
    world.configure(Options(usage_kib=512, slots=2))
    talk = world.start()
    talk.start_taper()
    talk.file_write(world.holding(payload(500_000)), split_by(262_144))
    talk.grant("PROTO01")
    talk.ready()
    talk.part("PROTO01", 1, 262_144)
    talk.expect(f"REQUEST-NEW-TAPE {WORKER} {HANDLE}")
    talk.send(f"START-SCAN {WORKER} {HANDLE}", f"NO-NEW-TAPE {WORKER} {HANDLE} enough")
    talk.expect(f"PARTIAL {WORKER} {HANDLE} INPUT-GOOD TAPE-CONFIG <*> enough")
    other = world.start()
    other.start_taper()
    other.file_write(world.holding(DATA), handle=H2)
    other.grant("PROTO02", H2)
    assert volume_label(world.slot(2)) == ("PROTO02", STAMP)


def settle(world: World, talk: Conversation, handle: str) -> str:
    """Grant once, deny after that; the final reply."""
    grants = 0
    while True:
        line = talk.expect(f"<w> {WORKER} {handle}<*>")
        if line.startswith("REQUEST-NEW-TAPE"):
            grants += 1
            reply = f"NO-NEW-TAPE {WORKER} {handle} enough"
            if grants == 1:
                talk.send(f"START-SCAN {WORKER} {handle}")
                reply = f"NEW-TAPE {WORKER} {handle}"
            talk.send(reply)
        elif line.startswith(("DONE", "PARTIAL", "FAILED")):
            return line


@pytest.mark.known_stock_failure("stock dies of a tapelist that cannot be read")
def test_a_tapelist_that_breaks_during_the_run(world: World) -> None:
    """A line that cannot be read: no volume is labelled, the list stays; repaired, life goes on."""
    talk = world.start()
    talk.start_taper()
    world.write(TAPELIST, BAD)
    talk.file_write(world.holding(DATA))
    line = settle(world, talk, HANDLE)
    assert line.startswith(f"FAILED {WORKER} {HANDLE} INPUT-GOOD TAPE-"), line
    assert world.path(TAPELIST).read_text() == BAD
    assert world.slot(1) == []
    world.write(TAPELIST, "20250101000000 PROTO01 reuse\n")
    talk.file_write(world.holding(DATA), handle=H2)
    assert settle(world, talk, H2).startswith(f"DONE {WORKER} {H2} INPUT-GOOD TAPE-GOOD")
    world.check_dump(H2, DATA)
    assert len(world.tapelist()) == 2


def test_entries_added_meanwhile_are_kept(world: World) -> None:
    """Another program adds a volume between scan and label: both entries are there."""
    talk = world.start()
    talk.start_taper()
    with world.path(world.write(f"{TAPELIST}.lock", "")).open("r+b") as stream:
        fcntl.lockf(stream, fcntl.LOCK_EX)
        world.tapelist_add("20250101000000 PROTO05 reuse BARCODE:B5 META:m1 #mine")
    talk.file_write(world.holding(DATA))
    talk.grant("PROTO01")
    assert world.tapelist()[1] == "20250101000000 PROTO05 reuse BARCODE:B5 META:m1 #mine"
    assert world.tapelist()[0].startswith(f"{STAMP} PROTO01 reuse ")
