"""``taperctl restore``, over volumes that our taper has written."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import Any

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import reactor

from devices.interfaces import AccessMode, LoadRequest
from protocols.errorcode import WRONG_WORDS
from taper.gnutar import find_tar
from taper.people.exits import Exit
from taper.people.restore.step import StepAtWork
from taper.people.screen import Screen, Style
from taper.people.site import Site
from taper.people.verify import Outcome
from tests.people.archives import (
    AGAIN,
    FULL,
    HOME,
    LATER,
    Archive,
    behead,
    found,
    part,
    two_nights,
)
from tests.people.nights import Nights
from tests.tapeserver.process import TapeServerProcess

pytestmark = pytest.mark.skipif(find_tar() is None, reason="there is no tar")


@ensureDeferred
async def test_two_levels(tmp_path: Path) -> None:
    nights = await two_nights(tmp_path)
    target = tmp_path / "back"
    before = nights.snapshot()
    plan = await nights.lines("restore", "LOCALHOST", "/home", "--to", str(target), "--dry-run")
    assert plan == [
        f"localhost /home is restored to {target}:",
        "level  dump of          size  parts  from",
        "0      2026-01-07  330.0 KiB      6  C01",
        "1      2026-01-08   50.0 KiB      1  C02",
        "Volumes, in the order of reading:",
        "volume  storage  parts  where",
        "C01     C            6  slot 1",
        "C02     C            1  slot 2",
    ]
    assert nights.snapshot() == before
    said = await nights.lines("restore", "localhost", "/home", "--to", str(target))
    assert said[: len(plan)] == plan
    assert found(target) == HOME.files() | AGAIN.files()
    assert said[-1] == "Restored. All checksums are as they were when it was dumped."


@ensureDeferred
async def test_a_date_and_a_path(tmp_path: Path) -> None:
    """What the later dump has not is taken from the full one; none is asked for what none has."""
    nights = await two_nights(tmp_path)
    words = ("restore", "localhost", "/home", "--to")
    await nights.lines(
        *(*words[:-1], "2026-01-07", "--to", str(tmp_path / "one"), "--path", "dir/f6")
    )
    assert found(tmp_path / "one") == {"dir/f6": HOME.files()["dir/f6"]}
    await nights.lines(*words, str(tmp_path / "two"), "--path", "/late", "--path", "dir/f1/")
    assert found(tmp_path / "two") == {"late": b"late", "dir/f1": HOME.files()["dir/f1"]}
    target = str(tmp_path / "three")
    record = await nights.record(*words, target, "--path", "no", exit=Exit.FOUND)
    assert record["not_found"] == ["no"]


def index(nights: Nights, stamp: str, level: int, names: str) -> None:
    """Write an index of /home."""
    place = nights.root / "index/localhost/_home"
    place.mkdir(parents=True, exist_ok=True)
    (place / f"{stamp}_{level}.gz").write_bytes(gzip.compress(names.encode()) if names else b"")


@ensureDeferred
async def test_an_index_that_lies(tmp_path: Path) -> None:
    """One that is empty is none; what another one has not is not told for certain."""
    nights = await two_nights(tmp_path)
    nights.configure(more=f'indexdir "{tmp_path}/index"')
    words = ("restore", "localhost", "/home", "--path", "dir/f6", "--to")
    index(nights, LATER, 1, "")
    await nights.lines(*words, str(tmp_path / "one"))
    assert found(tmp_path / "one") == {"dir/f6": b"new"}
    for stamp, level in ((FULL, 0), (LATER, 1)):
        index(nights, stamp, level, "/\n/../../etc/passwd\n/-x\n")
    said = await nights.lines(*words, str(tmp_path / "two"), exit=Exit.FOUND)
    assert said[-3:] == [
        "In none of these dumps: dir/f6",
        "Some were not read, by their indexes; with --no-index all of them are.",
        "NOT ALL was restored; what is wrong stands above.",
    ]
    await nights.lines(*words, str(tmp_path / "three"), "--no-index")
    assert found(tmp_path / "three") == {"dir/f6": b"new"}


@ensureDeferred
async def test_a_path_of_an_archive_without_dots(tmp_path: Path) -> None:
    """Members may be named either way."""
    nights = Nights(tmp_path).make()
    nights.hold_back(FULL, Archive("/home", 3, root=""))
    words = ("restore", "localhost", "/home", "--to", str(tmp_path / "back"), "--path", "dir/f1")
    await nights.lines(*words)
    assert found(tmp_path / "back") == {"dir/f1": HOME.files()["dir/f1"]}


@ensureDeferred
async def test_held_and_on_volumes(tmp_path: Path) -> None:
    """The holding disk is read without a volume; one that is not whole is not restored."""
    nights = await two_nights(tmp_path)
    nights.hold_back("20260109000000", Archive("/home", 1, level=2, more={"held": b"x"}))
    nights.hold_back("20260110000000", Archive("/home", 1, level=3), partial=True)
    words = ("restore", "localhost", "/home", "--to", str(tmp_path / "back"))
    said = await nights.lines(*words, exit=Exit.FOUND)
    assert any(line.endswith("the holding disk") for line in said)
    assert found(tmp_path / "back")["held"] == b"x"


@ensureDeferred
async def test_a_held_dump_needs_no_volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So those of the dump before it are given back before it is read: a taper may want them."""
    nights = await two_nights(tmp_path)
    nights.hold_back("20260109000000", Archive("/home", 1, level=2, more={"held": b"x"}))
    other = Site(reactor, nights.config(), nights.paths, Screen(Style.PLAIN, io.StringIO(), float))
    changer = other.shelves.open_changer("C")
    run, free = StepAtWork.run, []

    async def look_and_run(step: StepAtWork, *words: Any, **more: Any) -> Outcome:
        outcome = await run(step, *words, **more)
        if outcome.step.copy.dump is None:
            free.append(outcome.step.copy.level)
            for slot in ("1", "2"):
                held = await changer.load(LoadRequest(slot=slot, mode=AccessMode.READ))
                await held.release()
        return outcome

    monkeypatch.setattr(StepAtWork, "run", look_and_run)
    await nights.lines("restore", "localhost", "/home", "--to", str(tmp_path / "back"))
    assert free == [2]
    await changer.close()
    await other.close()


@ensureDeferred
async def test_what_cannot_be_done(tmp_path: Path) -> None:
    """Each with a sentence, and nothing is touched."""
    nights = await two_nights(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("precious")
    for words, text in (
        (("localhost", "/hom", "--to", "x"), "there are dumps of localhost /home"),
        (("localhost", "/home", "2026-01-06", "--to", "x"), "there is no dump of 2026-01-06"),
        (("localhost", "/home", "soon", "--to", "x"), "'soon' is no date"),
        (("localhost", "/home", "2026-13-45", "--to", "x"), "'2026-13-45' is no date: month must"),
        (("localhost", "/home"), "--to is missing"),
        (("localhost", "/home", "--to", "-"), "choose it with --level 0 or 1"),
        (("localhost", "/home", "--to", "x", "--path", "../y"), "is no path below"),
        (("localhost", "/home", "--to", str(tmp_path / "full")), "is not empty"),
        (("localhost", "/home", "--to", str(tmp_path / "full" / "mine")), "cannot restore into"),
    ):
        nights.said.clear()
        status, _ = await nights.run("restore", *words)
        assert status == (Exit.USAGE if nights.codes[-1] == WRONG_WORDS else Exit.FAILED)
        assert text in nights.said[-1]
    assert WRONG_WORDS in nights.codes
    assert found(tmp_path / "full") == {"mine": b"precious"}
    await nights.lines(
        "restore", "localhost", "/home", "--to", str(tmp_path / "full"), "--overwrite"
    )
    assert found(tmp_path / "full") == {"mine": b"precious"} | HOME.files() | AGAIN.files()


@pytest.mark.parametrize(("damaged", "drives"), [(False, 1), (True, 1), (False, 2)])
@ensureDeferred
async def test_by_a_tape_server(tmp_path: Path, damaged: bool, drives: int) -> None:
    """The volumes are behind a mover, which sends them to us; or behind two, of which one gets
    ready while the other sends."""
    nights = await two_nights(tmp_path)
    if damaged:
        part(nights, 1, 3).unlink()
        behead(part(nights, 1, 5))
        behead(part(nights, 2, 1))
    numbers = range(drives)
    names = " ".join(f"d{number}" for number in numbers)
    tree = f"[library robot]\ndisk = {tmp_path}/vtapes\ndrives = {names}\n"
    with TapeServerProcess(tree, "data-peers = 127.0.0.0/8") as server:
        where = f"127.0.0.1:{server.port}"
        devices = " ".join(f'"{number}=ndmp:{where}@d{number}"' for number in numbers)
        nights.configure(
            storage='tpchanger "robot"',
            more=f"""define changer robot {{
  tpchanger "chg-ndmp:{where}@robot"
  property "tape-device" {devices}
  changerfile "{tmp_path}/state/robot"
}}""",
        )
        words = ("restore", "localhost", "/home", "--to", str(tmp_path / "back"))
        words += ("--partial",) * damaged
        record = await nights.record(*words, exit=Exit.FOUND if damaged else Exit.WELL)
    if damaged:
        assert [loss["part"] for loss in record["outcomes"][0]["lost"]] == [3]
        assert [one["part"] for one in record["outcomes"][0]["headless"]] == [5]
        assert record["outcomes"][1]["header"]["undoing_from"] == "data"
        assert record["outcomes"][1]["whole"]
        assert (tmp_path / "back" / "late").exists()
    else:
        assert found(tmp_path / "back") == HOME.files() | AGAIN.files()
