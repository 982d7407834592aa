"""VAULT-WRITE from NDMP volumes to volumes whose devices share no connection: one after another,
past this host where two movers can meet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.conformance.harness import ETC, VTAPES, World
from tests.conformance.harness_files import read_volume
from tests.conformance.harness_talk import split_by
from tests.conformance.harness_text import crc, payload
from tests.conformance.test_spanning import Shelf
from tests.conformance.vaulting import OLD, server_crc, vault
from tests.conformance.vaulting_ndmp import (
    BLOCK,
    SOURCE,
    TapeLibrary,
    drive,
    robot,
    tape_files,
)
from tests.fakes.ndmjob import NdmJob, missing_ndmjob
from tests.fakes.ndmp_process import NdmpProcess
from tests.fakes.ndmp_runs import begin, carry_on, close_volume, on_tapes, options, padded
from tests.tapeserver.process import TapeServerProcess

pytestmark = pytest.mark.known_stock_failure("it does not go on on another kind of device")

RECORDS = [9, 3, 7, 4, 8]
"""Of each tape to write on before its early warning."""
PARTS = [("SRC01", 13), ("SRC01", 8), ("SRC02", 21), ("SRC03", 2), ("SRC03", 17)]
"""Volume and records of each part of the source; the last one has what is left."""
TREE = "/tmp/amanda/tree"


def stored(library: TapeLibrary, data: bytes) -> None:
    """Put the dump on the source volumes; its header knows the checksum."""
    plan = [(label, records * BLOCK) for label, records in PARTS[:-1]]
    plan.append((PARTS[-1][0], len(data) - sum(size for _, size in plan)))
    library.dump(data, plan, lines=server_crc(data))


@pytest.fixture
def shelf(world: World) -> Iterator[Shelf]:
    limits = {f"t{number}": f"{limit}r" for number, limit in enumerate(RECORDS)}
    with ExitStack() as stack:
        servers = [
            stack.enter_context(NdmpProcess(limits, arguments=[f"--{kind}"]))
            for kind in ("lenient", "strict")
        ]
        yield Shelf(world, servers, 3 * len(RECORDS))


def test_over_fifteen_volumes(world: World, shelf: Shelf) -> None:
    """From three volumes of a robot. Every change is to a device that cannot take the connection;
    nothing is stored twice, and no source volume is fetched twice without need."""
    data = payload(68 * BLOCK + 321)
    source = NdmpProcess(slots=["", "", ""], arguments=["--conforming"])
    tapes = {f"SRC{n:02}": source.directory / f"s{n}" for n in (1, 2, 3)}
    stored(TapeLibrary(world, tapes=tapes), data)
    with source:
        chosen = shelf.options
        chosen.extra += robot("from", source.port) + SOURCE.format(changer="from")
        talk = begin(world, chosen, "-oruntapes=40", "-otapecycle=60")
        vault(talk, split=split_by(4 * BLOCK))
        outcome = carry_on(talk)
        assert outcome.word == "DONE", outcome.words
        close_volume(talk)
        assert len(outcome.labels) > 12
        assert on_tapes(outcome, shelf.tapes(), OLD) in (data, padded(data))
        world.check_logged(f"DONE taper <*> {crc(data)} [sec <*>")
        assert source.said("MOVER_CONNECT") > 5


@pytest.mark.skipif(missing_ndmjob() is not None, reason="no ndmjob here")
@pytest.mark.parametrize("source", ["ndmjob", "our tape server"])
def test_between_real_servers(world: World, source: str) -> None:
    """Onto a tape of ndmjob, a vtape of this host, a vtape of our tape server, another ndmjob."""
    data = payload(80 * BLOCK + 321)
    world.mkdir(f"{TREE}/slot1")
    ours = TapeServerProcess("", "data-peers = 127.0.0.0/8")
    old = ours.directory / "old"
    vtape = f"[drive vt]\nvtape = {world.path(TREE)}/slot1\n"
    ours.add(f"{vtape}block-size = {BLOCK}\nlimit = {16 * BLOCK}\n[drive old]\nfile = {old}\n")
    with NdmJob(tape_limit=20 * BLOCK) as small, NdmJob() as large:
        old = large.blank("old") if source == "ndmjob" else old
        old.touch()
        library = TapeLibrary(world, tapes={f"SRC{n:02}": old for n in (1, 2, 3)})
        on_one_tape(library, data)
        small.blank("one")
        large.blank("two")
        with ours:
            url = large.url("old") if source == "ndmjob" else ours.url("old")
            chosen = options(
                f'''
define device dir {{
  tapedev "file:{VTAPES}/slot1"
  device-property "MAX_VOLUME_USAGE" "{13 * BLOCK}"
  device-property "LEOM" "true"
}}
define changer shelf {{
  tpchanger "chg-multi:{{{small.url("one")},dir,{ours.url("vt")},{large.url("two")}}}"
  changerfile "{ETC}/shelf"
}}
tpchanger "shelf"
''',
                extra=drive("from", url) + SOURCE.format(changer="from"),
            )
            chosen.slots = 1
            talk = begin(world, chosen, "-oruntapes=40", "-otapecycle=60")
            vault(talk, split=split_by(7 * BLOCK))
            outcome = carry_on(talk)
            assert outcome.word == "DONE", outcome.words
            close_volume(talk)
        world.check_logged(f"DONE taper <*> {crc(data)} [sec <*>")
        assert len(outcome.labels) == 4
        tapes = [tape_files(small.directory / "one"), tape_files(large.directory / "two")]
        tapes.append([[f.header.encode(), f.data] for f in world.slot(1)])
        there = read_volume(world.path(f"{TREE}/slot1"))
        tapes.append([[f.header.encode(), f.data] for f in there])
        assert on_tapes(outcome, tapes, OLD) == padded(data)


def on_one_tape(library: TapeLibrary, data: bytes) -> None:
    """Put the dump on one volume, in two parts."""
    plan = [("SRC01", 37 * BLOCK), ("SRC01", len(data) - 37 * BLOCK)]
    library.dump(data, plan, lines=server_crc(data))
