"""VAULT-WRITE: what is found in the logs, read from old volumes, written anew [data-plane 4.4]."""

from __future__ import annotations

import pytest

from tests.conformance.harness import VTAPES, World
from tests.conformance.harness_files import Dump, dump_header, label_header
from tests.conformance.harness_talk import HANDLE, WORKER, split_by
from tests.conformance.harness_text import crc, payload
from tests.conformance.vaulting import (
    DATA,
    DUMP,
    H2,
    OLD,
    SMALL,
    TWO_VOLUMES,
    Library,
    ending,
    not_found,
    opened,
    server_crc,
    started,
    vault,
    written,
)


def test_a_dump_is_copied(world: World) -> None:
    """One volume to one volume; the parts are cut anew."""
    library, talk = started(world)
    library.dump(DATA, [("SRC01", 131_072)] * 4 + [("SRC01", 75_712)])
    vault(talk, split=split_by(262_144))
    opened(talk, "SRC01")
    talk.grant("PROTO01")
    talk.ready()
    talk.part("PROTO01", 1, 262_144)
    talk.part("PROTO01", 2, 262_144)
    talk.part("PROTO01", 3, 75_712)
    talk.done(crc(DATA))
    world.check_dump(HANDLE, DATA, DUMP)
    talk.quit()
    world.check_log(
        "INFO taper Slot 1 without label can be labeled",
        'START taper datestamp 20260101000000 "ST:PROTO" "POOL:PROTO" label PROTO01 tape 1',
        f'PART taper "ST:PROTO" "POOL:PROTO" PROTO01 1 localhost /home {OLD} 1/-1 0 [<*>]',
        f'PART taper "ST:PROTO" "POOL:PROTO" PROTO01 2 localhost /home {OLD} 2/-1 0 [<*>]',
        f'PART taper "ST:PROTO" "POOL:PROTO" PROTO01 3 localhost /home {OLD} 3/-1 0 [<*>]',
        f'DONE taper "ST:PROTO" "POOL:PROTO" localhost /home {OLD} 3 0 00000000:0 00000000:0 '
        f"{crc(DATA)} [<*>]",
        "INFO taper tape PROTO01 kb 585 fm 3 [OK]",
    )


def test_two_source_volumes(world: World) -> None:
    """[protocol T25]: the volumes are changed in mid-dump; the parts go on over it."""
    library, talk = started(world)
    library.dump(DATA, TWO_VOLUMES)
    vault(talk, split=split_by(262_144))
    line = ending(talk)
    assert line.startswith(f'DONE {WORKER} {HANDLE} INPUT-GOOD TAPE-GOOD "{crc(DATA)}"'), line
    said = [line[2:] for line in talk.transcript if "-SOURCE-VOLUME" in line]
    assert said == [
        f"OPENED-SOURCE-VOLUME {WORKER} {HANDLE} SRC01",
        f"CLOSED-SOURCE-VOLUME {WORKER}",
        f"OPENED-SOURCE-VOLUME {WORKER} {HANDLE} SRC02",
    ]
    world.check_dump(HANDLE, DATA, DUMP)
    talk.send(f"CLOSE-SOURCE-VOLUME {WORKER}")
    talk.expect(f"CLOSED-SOURCE-VOLUME {WORKER}")
    talk.quit()


def test_a_dump_that_is_nowhere(world: World) -> None:
    """[protocol T25]: not in the catalogue."""
    library, talk = started(world)
    library.dump(DATA, TWO_VOLUMES)
    vault(talk, Dump("/nosuch", datestamp=OLD))
    not_found(world, talk)
    talk.quit()
    text = "error; Dump not found" if world.program.stock else "Dump not found"
    world.check_logged(
        f'FAIL taper VAULT "ST:PROTO" "POOL:PROTO" localhost /nosuch {OLD} 0 error "{text}"'
    )


def test_the_source_volume_stays_open(world: World) -> None:
    """A second dump from the same volume: no word of the volume; then it is closed, twice."""
    library, talk = started(world)
    other = Dump("/other", datestamp=OLD)
    library.dump(SMALL, [("SRC01", 65_536)])
    library.dump(DATA, [("SRC01", 600_000)], other)
    vault(talk)
    opened(talk, "SRC01")
    talk.grant("PROTO01")
    talk.ready()
    talk.part("PROTO01", 1, 65_536)
    talk.done(crc(SMALL))
    vault(talk, other, handle=H2)
    talk.ready(H2)
    talk.part("PROTO01", 2, 600_000, handle=H2)
    talk.done(crc(DATA), handle=H2)
    world.check_dump(HANDLE, SMALL, DUMP)
    world.check_dump(H2, DATA, other)
    for _ in range(2):
        talk.send(f"CLOSE-SOURCE-VOLUME {WORKER}")
        talk.expect(f"CLOSED-SOURCE-VOLUME {WORKER}")
    talk.quit()


def test_another_volume_is_opened_for_the_next_dump(world: World) -> None:
    """The old source volume is closed first."""
    library, talk = started(world)
    other = Dump("/other", datestamp=OLD)
    library.dump(SMALL, [("SRC01", 65_536)])
    library.dump(SMALL, [("SRC02", 65_536)], other)
    vault(talk)
    opened(talk, "SRC01")
    talk.grant("PROTO01")
    talk.ready()
    talk.part("PROTO01", 1, 65_536)
    talk.done(crc(SMALL))
    vault(talk, other, handle=H2)
    talk.expect(f"CLOSED-SOURCE-VOLUME {WORKER}")
    opened(talk, "SRC02", H2)
    talk.ready(H2)
    talk.part("PROTO01", 2, 65_536, handle=H2)
    talk.done(crc(SMALL), handle=H2)
    talk.quit()


@pytest.mark.every_kind
def test_a_dump_over_two_new_volumes(world: World) -> None:
    """The volume to write on ends; the source does not notice."""
    library, talk = started(world, usage_kib=448, leom=True)
    library.dump(DATA, TWO_VOLUMES)
    vault(talk, split=split_by(131_072))
    line = ending(talk)
    assert line.startswith(f'DONE {WORKER} {HANDLE} INPUT-GOOD TAPE-GOOD "{crc(DATA)}"'), line
    world.check_dump(HANDLE, DATA, DUMP)
    talk.quit()
    assert len(world.log("START")) == 3


def test_the_header_comes_along(world: World) -> None:
    """What the dump's header says is on the copy too, and its checksum holds."""
    library, talk = started(world)
    library.dump(DATA, [("SRC01", 600_000)], lines=f"ORIGSIZE=777\n{server_crc(DATA)}")
    vault(talk)
    opened(talk, "SRC01")
    talk.grant("PROTO01")
    talk.ready()
    written(talk, DATA, [600_000])
    world.check_dump(HANDLE, DATA, DUMP)
    header = world.volume("PROTO01")[1].header
    assert f"ORIGSIZE=777\n{server_crc(DATA)}" in header
    talk.quit()


def test_a_partial_dump(world: World) -> None:
    """The header says that it is partial: so says the log, the driver is told DONE."""
    library, talk = started(world)
    library.dump(SMALL, [("SRC01", 65_536)], lines="PARTIAL=YES\n")
    vault(talk)
    opened(talk, "SRC01")
    talk.grant("PROTO01")
    talk.ready()
    written(talk, SMALL, [65_536])
    talk.quit()
    world.check_logged(f'PARTIAL taper "ST:PROTO" "POOL:PROTO" localhost /home {OLD} 1 0 <*>]')


def test_a_partial_copy_is_not_found(world: World) -> None:
    """Only complete dumps are copied."""
    library, talk = started(world)
    library.part("SRC01", 1, SMALL)
    library.done(SMALL, 1, word="PARTIAL")
    vault(talk)
    not_found(world, talk)
    talk.quit()


def test_a_rewritten_volume_is_no_source(world: World) -> None:
    """The tapelist knows the label from another day."""
    library, talk = started(world)
    library.dump(SMALL, [("SRC01", 65_536)])
    lines = [line.replace(f"{OLD} SRC01", "20250606000000 SRC01") for line in world.tapelist()]
    world.write("/etc/amanda/PROTO/tapelist", "".join(f"{line}\n" for line in lines))
    vault(talk)
    not_found(world, talk)
    talk.quit()


def test_a_part_that_was_written_twice(world: World) -> None:
    """The last good line for a part counts."""
    library, talk = started(world)
    library.part("SRC01", 1, DATA[:131_072])
    library.part("SRC01", 2, payload(100_000)[::-1])
    library.part("SRC02", 2, DATA[131_072:])
    library.done(DATA, 2)
    vault(talk)
    line = ending(talk)
    assert line.startswith(f'DONE {WORKER} {HANDLE} INPUT-GOOD TAPE-GOOD "{crc(DATA)}"'), line
    world.check_dump(HANDLE, DATA, DUMP)
    talk.quit()


@pytest.mark.stock_may_fail("stock crashes now and then on a denial while data come")
def test_denied(world: World) -> None:
    """NO-NEW-TAPE; the line in the log says VAULT."""
    library, talk = started(world)
    library.dump(SMALL, [("SRC01", 65_536)])
    vault(talk)
    opened(talk, "SRC01")
    talk.deny("sorry")
    talk.expect(f'FAILED {WORKER} {HANDLE} INPUT-GOOD TAPE-CONFIG "" sorry')
    talk.quit()
    world.check_logged(f"FAIL taper VAULT <*> {OLD} 0 config sorry")


def test_a_missing_source_volume(world: World) -> None:
    """Nothing is asked for, nothing is labelled."""
    library, talk = started(world)
    library.dump(SMALL, [("SRC01", 65_536)])
    library.volume("SRC02")
    world.path(f"{library.slot('SRC01')}/00000.SRC01").unlink()
    world.write(f"{library.slot('SRC01')}/00000.XYZ", label_header("XYZ", OLD))
    vault(talk)
    talk.expect(
        f'FAILED {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD "Source Volume \'SRC01\' not found" ""'
    )
    talk.quit()
    assert world.log("START") == []


def test_a_busy_source_volume(world: World) -> None:
    """Somebody else has it loaded: the dump fails at once, with the slot."""
    library, talk = started(world)
    library.dump(SMALL, [("SRC01", 65_536)])
    state = "$STATE = { 'drives' => { 'drive7' => { 'slot' => 'slot1', 'pid' => '1' } } };\n"
    world.write(f"{library.directory}/state", state)
    vault(talk)
    reason = "Source volume 'SRC01' in slot 1 is reserved"
    talk.expect(f'FAILED {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD "{reason}" ""')
    talk.quit()


def test_a_wrong_header_at_the_start(world: World) -> None:
    """Another dump lies where the part should be."""
    library, talk = started(world)
    library.dump(SMALL, [("SRC01", 65_536)])
    header = dump_header(Dump("/else", "elsewhere", 1, "20240101000000"), part="part 3/-1 ")
    wrong = header.replace(b"AMANDA: FILE", b"AMANDA: SPLIT_FILE")[:32768]
    world.write(library.path("SRC01", 1), wrong + SMALL)
    vault(talk)
    opened(talk, "SRC01")
    line = talk.expect(f"FAILED {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD <*>")
    for text in (
        "header on 'SRC01' file 1 does not match expectations: got hostname 'elsewhere'; "
        "expected 'localhost'",
        "got disk '/else'; expected '/home'",
        "got partnum '3'; expected '1'",
    ):
        assert text in line
    talk.quit()


def test_the_same_changer_for_both(world: World) -> None:
    """Two storages on one chg-disk: a slot that is being read is never the one to write on."""
    library = Library(world, directory=VTAPES)
    library.configure()
    library.dump(DATA, TWO_VOLUMES)
    talk = world.start()
    talk.start_taper()
    vault(talk, split=split_by(262_144))
    line = ending(talk)
    assert line.startswith(f'DONE {WORKER} {HANDLE} INPUT-GOOD TAPE-GOOD "{crc(DATA)}"'), line
    world.check_dump(HANDLE, DATA, DUMP)
    talk.quit()
    assert [line.split()[1] for line in world.tapelist()] == ["PROTO01", "SRC01", "SRC02"]
