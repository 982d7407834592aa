"""VAULT-WRITE in trouble: damaged sources, busy changers, QUIT; and where stock is wrong."""

from __future__ import annotations

import fcntl

import pytest

from tests.conformance.harness import VTAPES, World
from tests.conformance.harness_files import Dump, dump_header, label_header
from tests.conformance.harness_talk import HANDLE, SOON, WORKER, split_by
from tests.conformance.harness_text import crc
from tests.conformance.vaulting import (
    DATA,
    DUMP,
    H2,
    OLD,
    OLD_LOG,
    SMALL,
    STORAGE,
    TWO_VOLUMES,
    W1,
    Library,
    ending,
    opened,
    server_crc,
    started,
    vault,
    written,
)


@pytest.mark.known_stock_failure("stock reports DONE of what came before the lost volume")
def test_a_source_volume_is_lost_in_mid_dump(world: World) -> None:
    """[data-plane Q0]: the second volume is not there: what was read is written, the dump is
    PARTIAL."""
    library, talk = started(world)
    library.dump(DATA, TWO_VOLUMES)
    world.path(f"{library.slot('SRC02')}/00000.SRC02").unlink()
    vault(talk, split=split_by(131_072))
    line = ending(talk)
    assert line.startswith(f"PARTIAL {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD "), line
    assert "File 0 not found" in line
    talk.quit()
    world.check_logged("PARTIAL taper <*>File 0 not found<*>")


@pytest.mark.known_stock_failure("stock reports DONE of what came before the bad header")
def test_a_wrong_header_in_mid_dump(world: World) -> None:
    """[data-plane Q0]: a part is not the one that the catalogue tells of."""
    library, talk = started(world)
    library.dump(DATA, [("SRC01", 327_680), ("SRC01", 272_320)])
    header = dump_header(DUMP, "SPLIT_FILE", part="part 9/-1 ")
    world.write(library.path("SRC01", 2), header + DATA[327_680:])
    vault(talk, split=split_by(131_072))
    line = ending(talk)
    assert line.startswith(f"PARTIAL {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD "), line
    assert "header on 'SRC01' file 2 does not match expectations: got partnum '9'" in line
    talk.quit()


@pytest.mark.known_stock_failure("stock does not notice without a checksum in the header")
@pytest.mark.parametrize("number", [1, 2])
def test_a_truncated_part(world: World, number: int) -> None:
    """[data-plane Q0]: less on the volume than the log says."""
    library, talk = started(world)
    library.dump(DATA, [("SRC01", 327_680), ("SRC01", 272_320)])
    path = world.path(library.path("SRC01", number))
    path.write_bytes(path.read_bytes()[:-1000])
    vault(talk, split=split_by(131_072))
    line = ending(talk)
    assert line.startswith(f"PARTIAL {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD "), line
    assert f"part {number} on 'SRC01' file {number} is truncated" in line
    talk.quit()


@pytest.mark.known_stock_failure("stock copies the padding, and then complains of the checksum")
def test_padding_is_not_copied(world: World) -> None:
    """[data-plane Q18]: a padded last block, as tapes have it, is cut at the size that the header
    tells."""
    library, talk = started(world)
    data = DATA + bytes(-len(DATA) % 32768)
    library.dump(data, [("SRC01", 327_680), ("SRC01", 294_912)], lines=server_crc(DATA))
    vault(talk)
    opened(talk, "SRC01")
    talk.grant("PROTO01")
    talk.ready()
    written(talk, DATA, [600_000])
    world.check_dump(HANDLE, DATA, DUMP)
    talk.quit()


def test_a_wrong_checksum(world: World) -> None:
    """The header's does not fit: written, and PARTIAL."""
    library, talk = started(world)
    library.dump(DATA, TWO_VOLUMES, lines=f"SERVER-CRC=12345678:{len(DATA)}\n")
    vault(talk)
    line = ending(talk)
    assert line.startswith(f"PARTIAL {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD "), line
    assert f"source server crc ({crc(DATA)}) and input server crc (12345678:600000) differ)" in line
    talk.quit()


@pytest.mark.known_stock_failure("stock does not look at the checksum in the log")
def test_a_wrong_checksum_in_the_catalogue(world: World) -> None:
    """The header has none, but the log of the day tells it."""
    library, talk = started(world)
    library.dump(DATA, TWO_VOLUMES, server=f"12345678:{len(DATA)}")
    vault(talk)
    line = ending(talk)
    assert line.startswith(f"PARTIAL {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD "), line
    assert f"source server crc ({crc(DATA)}) and input server crc (12345678:600000) differ)" in line
    talk.quit()


@pytest.mark.known_stock_failure("stock dies of a storage that it cannot make")
@pytest.mark.parametrize("storage", ["NOSUCH", "BAD"])
def test_a_bad_source_storage(world: World, storage: str) -> None:
    """The dump fails with the text; the next one is fine."""
    bad = STORAGE.replace("SRC", "BAD", 1).replace("/source", "/nowhere")
    library, talk = started(world, extra=bad)
    library.dump(SMALL, [("SRC01", 65_536)])
    vault(talk, storage=storage)
    talk.expect(f'FAILED {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD "<*>" ""')
    vault(talk, handle=H2)
    opened(talk, "SRC01", H2)
    talk.grant("PROTO01", H2)
    talk.ready(H2)
    talk.part("PROTO01", 1, 65_536, handle=H2)
    talk.done(crc(SMALL), handle=H2)
    talk.quit()


@pytest.mark.known_stock_failure("stock is silent if nothing was ever vaulted")
def test_closing_before_anything_was_vaulted(world: World) -> None:
    """[data-plane Q27]."""
    _, talk = started(world)
    talk.send(f"CLOSE-SOURCE-VOLUME {WORKER}")
    talk.expect(f"CLOSED-SOURCE-VOLUME {WORKER}")


@pytest.mark.known_stock_failure("stock cannot quit while a transfer is active")
def test_quit_while_a_volume_is_awaited(world: World) -> None:
    """The source volume is given back, nothing is left behind."""
    library, talk = started(world)
    library.dump(DATA, TWO_VOLUMES)
    vault(talk)
    opened(talk, "SRC01")
    talk.expect(f"REQUEST-NEW-TAPE {WORKER} {HANDLE}")
    talk.send("QUIT")
    talk.expect(f'FAILED {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD "taper is quitting" ""')
    talk.expect_end(0)
    assert "slot1" not in world.path(f"{library.directory}/state").read_text()
    world.check_logged("FAIL taper VAULT <*>")


@pytest.mark.known_stock_failure("stock leaves an idle worker's source volume where it is")
def test_a_volume_that_another_worker_merely_keeps(world: World) -> None:
    """It is taken from the idle worker; the busy one goes on."""
    library, talk = started(world)
    other = Dump("/other", datestamp=OLD)
    library.dump(SMALL, [("SRC01", 65_536)])
    library.dump(SMALL, [("SRC01", 65_536)], other)
    vault(talk)
    opened(talk, "SRC01")
    talk.grant("PROTO01")
    talk.ready()
    talk.part("PROTO01", 1, 65_536)
    talk.done(crc(SMALL))
    talk.start_taper(W1)
    vault(talk, other, handle=H2, worker=W1)
    talk.expect(f"CLOSED-SOURCE-VOLUME {WORKER}")
    opened(talk, "SRC01", H2, W1)
    talk.grant("PROTO02", H2, W1)
    talk.ready(H2, W1)
    talk.part("PROTO02", 1, 65_536, handle=H2, worker=W1)
    talk.done(crc(SMALL), handle=H2, worker=W1)
    talk.quit()


def test_the_source_is_not_written_on(world: World) -> None:
    """Even a volume that retention lets go of is not the one to write on while it is read."""
    library = Library(world, directory=VTAPES)
    library.configure(tapecycle=1, slots=2)
    library.dump(DATA, [("SRC01", 600_000)])
    world.write(OLD_LOG, world.path(OLD_LOG).read_text().replace("SRC", "PROTO"))
    world.write(
        "/etc/amanda/PROTO/tapelist",
        f"{OLD} PROTO01 reuse BLOCKSIZE:32 POOL:PROTO STORAGE:PROTO CONFIG:PROTO\n",
    )
    slot = world.path(library.slot("SRC01"))
    (slot / "00000.SRC01").unlink()
    world.write(f"{library.slot('SRC01')}/00000.PROTO01", label_header("PROTO01", OLD))
    talk = world.start()
    talk.start_taper()
    vault(talk, storage="PROTO")
    line = ending(talk)
    assert not line.startswith("DONE") or f'"{crc(DATA)}"' in line
    talk.quit()
    assert (slot / "00000.PROTO01").exists()
    assert world.path(library.path("SRC01", 1)).read_bytes()[32768:] == DATA


def test_several_workers(world: World) -> None:
    """Two at once, each from its own volume to its own volume."""
    library, talk = started(world)
    other = Dump("/other", datestamp=OLD)
    library.dump(DATA, [("SRC01", 600_000)])
    library.dump(SMALL, [("SRC02", 65_536)], other)
    talk.start_taper(W1)
    vault(talk)
    opened(talk, "SRC01")
    talk.expect(f"REQUEST-NEW-TAPE {WORKER} {HANDLE}")
    vault(talk, other, handle=H2, worker=W1)
    opened(talk, "SRC02", H2, W1)
    talk.expect(f"REQUEST-NEW-TAPE {W1} {H2}")
    talk.send(f"NEW-TAPE {WORKER} {HANDLE}")
    talk.expect(f"NEW-TAPE {WORKER} {HANDLE} PROTO01")
    talk.ready()
    talk.part("PROTO01", 1, 600_000)
    talk.done(crc(DATA))
    talk.send(f"NEW-TAPE {W1} {H2}")
    talk.expect(f"NEW-TAPE {W1} {H2} PROTO02")
    talk.ready(H2, W1)
    talk.part("PROTO02", 1, 65_536, handle=H2, worker=W1)
    talk.done(crc(SMALL), handle=H2, worker=W1)
    world.check_dump(HANDLE, DATA, DUMP)
    world.check_dump(H2, SMALL, other)
    talk.quit()


def test_a_dump_that_was_begun_anew(world: World) -> None:
    """Two parts and PARTIAL, then one part and DONE: the copy has what the second one wrote."""
    library, talk = started(world)
    library.part("SRC01", 1, DATA[:100_000])
    library.part("SRC01", 2, DATA[100_000:200_000])
    library.done(DATA[:200_000], 2, word="PARTIAL")
    library.part("SRC01", 1, SMALL)
    library.done(SMALL, 1)
    vault(talk)
    line = ending(talk)
    assert line.startswith(f'DONE {WORKER} {HANDLE} INPUT-GOOD TAPE-GOOD "{crc(SMALL)}"'), line
    world.check_dump(HANDLE, SMALL, DUMP)
    talk.quit()


@pytest.mark.known_stock_failure("stock takes whatever the file holds")
def test_a_part_that_is_too_long(world: World) -> None:
    """More than padding can explain."""
    library, talk = started(world)
    library.dump(DATA, [("SRC01", 600_000)])
    path = world.path(library.path("SRC01", 1))
    path.write_bytes(path.read_bytes() + bytes(40_000))
    vault(talk)
    line = ending(talk)
    assert line.startswith(f"PARTIAL {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD "), line
    assert "part 1 on 'SRC01' file 1 is longer than the 600000 bytes it should have" in line
    talk.quit()


@pytest.mark.known_stock_failure("stock cannot quit while it looks for a volume")
def test_quit_while_the_source_changer_is_locked(world: World) -> None:
    """Another program holds its state file: QUIT does not wait for it."""
    library, talk = started(world)
    library.dump(SMALL, [("SRC01", 65_536)])
    world.write(f"{library.directory}/state", "$STATE = {};\n")
    with open(world.path(f"{library.directory}/state"), "r+b") as state:
        fcntl.lockf(state, fcntl.LOCK_EX)
        vault(talk)
        talk.expect_silence(0.5)
        talk.send("QUIT")
        talk.expect(f'FAILED {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD "taper is quitting" ""')
        talk.expect_end(0, timeout=SOON)


def test_a_source_changer_that_is_locked_for_a_while(world: World) -> None:
    """The dump goes on when the other program is done."""
    library, talk = started(world)
    library.dump(SMALL, [("SRC01", 65_536)])
    world.write(f"{library.directory}/state", "$STATE = {};\n")
    with open(world.path(f"{library.directory}/state"), "r+b") as state:
        fcntl.lockf(state, fcntl.LOCK_EX)
        vault(talk)
        talk.expect_silence(0.5)
    opened(talk, "SRC01")
    talk.grant("PROTO01")
    talk.ready()
    written(talk, SMALL, [65_536])
    talk.quit()
