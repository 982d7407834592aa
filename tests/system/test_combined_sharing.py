"""Ours and stock programs use one chg-multi, chg-aggregate or chg-rait at the same time.

Each reads what the other wrote [changers 3.5, 3.6, 3.7].
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from devices.errors import ChangerError, ChangerReason
from devices.interfaces import AccessMode, LoadRequest, Relative
from protocols.perldata import parse_perl_data
from tests.system.sharing_world import HOLD_SLOT, USER, World, in_child, missing_stock

_REASON = missing_stock()
pytestmark = [pytest.mark.system, pytest.mark.skipif(_REASON is not None, reason=_REASON or "")]

MakeWorld = Callable[..., World]
CURRENT = LoadRequest(relative=Relative.CURRENT)


@pytest.fixture
def base() -> Iterator[Path]:
    base = Path(tempfile.mkdtemp(prefix="changer-sharing-", dir="/var/tmp"))
    yield base
    shutil.rmtree(base)


@pytest.fixture
def multi(base: Path) -> World:
    """Slots 5 to 8 are the vtapes."""
    return World(
        base,
        "multi",
        tpchanger=f"chg-multi:file:{base}/vtapes/slot{{1..4}}",
        properties={"first-slot": "5"},
        changerfile=str(base / "vtapes/state"),
    )


@pytest.fixture
def aggregate(base: Path) -> World:
    """Two lists of two vtapes each."""
    for name in ("a/slot1", "a/slot2", "b/slot1", "b/slot2"):
        (base / name).mkdir(parents=True)
        (base / name[0] / "state").touch()  # ours, as root, would make one that stock cannot open
    return World(
        base,
        "aggregate",
        tpchanger=f"chg-aggregate:{{chg-disk:{base}/a,chg-disk:{base}/b}}",
        properties={"state-filename": f"{base}/vtapes/state"},
    )


@pytest.fixture
def rait(base: Path) -> World:
    """Three roots of two vtapes each."""
    for name in ("a", "b", "c"):
        for slot in (1, 2):
            (base / name / f"slot{slot}").mkdir(parents=True)
        (base / name / "state").touch()
    children = ",".join(f"chg-disk:{base}/{name}" for name in ("a", "b", "c"))
    return World(base, "rait", tpchanger=f"chg-rait:{{{children}}}", properties={})


def inventory(world: World) -> list[tuple[str, str | None, bool, bool]]:
    """Slot, label, current, reserved of all slots, as ours has them."""
    return [(e.slot, e.label, e.current, e.reserved) for e in world.changer().inventory()]


def stock_inventory(world: World) -> list[tuple[str, str | None, bool, bool]]:
    """The same, as amtape tells them."""
    told = []
    for line in world.amtape("inventory").splitlines():
        slot, _, rest = line.removeprefix("slot ").partition(": ")
        words = rest.split()
        label = words[1] if words[0] == "label" else None
        told.append((slot, label, "(current)" in words, "reserved" in words))
    return told


def write(world: World, slot: str, label: str) -> None:
    """Ours labels a volume."""
    reservation = world.changer().load(LoadRequest(slot=slot))
    reservation.device.start(AccessMode.WRITE, label, "20260102030405")
    reservation.set_label(label)
    reservation.release()
    for path in world.base.rglob("00000.*"):
        shutil.chown(path, USER, USER)


def stock_label(world: World, label: str, slot: str) -> None:
    """Stock labels a volume."""
    done = world.run("/usr/sbin/amlabel", "SHARE", label, "slot", slot)
    assert "Success" in done, done


def check_both_ways(world: World, slots: tuple[str, str]) -> None:
    """Labels, the current slot and reservations that one has written are what the other reads."""
    second, third = slots
    write(world, second, "SHARE-2")
    stock_label(world, "SHARE-3", third)
    assert "changed to slot" in world.amtape("slot", third)
    assert f"slot {third}:" in world.amtape("current").replace("slot   ", "slot ")
    reservation = world.changer().load(CURRENT)
    assert (reservation.slot, reservation.reading.label) == (third, "SHARE-3")
    reservation.release()
    ours = inventory(world)
    assert ours == stock_inventory(world)
    assert [entry[1] for entry in ours] == [None, "SHARE-2", "SHARE-3", None]
    world.changer().load(LoadRequest(slot=second, set_current=True)).release()
    told = world.amtape("current")
    assert "SHARE-2" in told, told
    world.amtape("slot", "next")
    reservation = world.changer().load(CURRENT)
    assert reservation.slot == third
    held = stock_inventory(world)
    assert [entry[0] for entry in held if entry[3]] == [third]
    reservation.release()
    assert world.changer().load(LoadRequest(label="SHARE-3")).slot == third


def test_multi_is_shared_both_ways(multi: World) -> None:
    """amtape and amlabel beside ours on one state file of a chg-multi."""
    check_both_ways(multi, ("6", "7"))


def test_aggregate_is_shared_both_ways(aggregate: World) -> None:
    """amtape and amlabel beside ours on the states of a chg-aggregate and its children."""
    check_both_ways(aggregate, ("0:2", "1:1"))
    state = parse_perl_data(aggregate.state_path.read_bytes())
    assert state["current_slot"] == "1:1"


def test_rait_is_shared_both_ways(rait: World) -> None:
    """Volumes, reservations and the children's current slots; each labels, and the other reads."""
    write(rait, "{1,1,1}", "SHARE-1")
    stock_label(rait, "SHARE-2", "{2,2,2}")
    ours = inventory(rait)
    assert ours == stock_inventory(rait)
    assert [entry[:2] for entry in ours] == [("{1,1,1}", "SHARE-1"), ("{2,2,2}", "SHARE-2")]
    reservation = rait.changer().load(LoadRequest(label="SHARE-2", set_current=True))
    assert reservation.reading.label == "SHARE-2"
    assert [entry[3] for entry in stock_inventory(rait)] == [False, True]
    told = rait.amtape("slot", "{2,2,2}")
    with pytest.raises(ChangerError) as caught:
        rait.changer().load(LoadRequest(slot="{2,2,2}"))
    assert caught.value.message in told
    reservation.release()
    assert "SHARE-2" in rait.amtape("current")
    assert "SHARE-1" in rait.amtape("slot", "{1,1,1}")
    reservation = rait.changer().load(CURRENT)
    assert reservation.reading.label == "SHARE-1"
    reservation.release()


def test_a_multi_slot_held_by_ours_is_refused_by_stock(multi: World) -> None:
    """Stock says which process holds the slot, keeps what we say of it, and reset hurts nobody."""
    reservation = multi.changer().load(LoadRequest(slot="6"))
    text = f"Slot 6 is already in use by process '{os.getpid()}'"
    assert text in multi.amtape("slot", "6")
    entry = multi.state()["slots"][f"file:{multi.vtapes}/slot2"]
    multi.amtape("slot", "5")
    assert multi.state()["slots"][f"file:{multi.vtapes}/slot2"] == entry
    multi.changer().reset()
    assert text in multi.amtape("slot", "6")
    reservation.release()
    assert "already in use" not in multi.amtape("slot", "6")


@pytest.mark.parametrize(
    ("kind", "slot", "text"),
    [
        ("multi", "6", "Slot 6 is already in use by process '{pid}'"),
        ("aggregate", "0:2", "Slot 2 is already in use by drive 'drive0' and process '{pid}'"),
    ],
)
def test_a_slot_held_by_stock_is_refused_by_ours(
    request: pytest.FixtureRequest, kind: str, slot: str, text: str
) -> None:
    """Ours says which stock process holds the slot, and loads it when that is over or dead."""
    world: World = request.getfixturevalue(kind)
    for kill in (False, True):
        with world.perl(HOLD_SLOT.replace("SLOT", slot)) as holder:
            assert holder.stdin is not None
            assert holder.stdout is not None
            assert holder.stderr is not None
            words = holder.stdout.readline().split()
            assert words[:1] == ["holding"], holder.stderr.read()
            changer = world.changer()
            with pytest.raises(ChangerError) as caught:
                changer.load(LoadRequest(slot=slot))
            assert caught.value.message == text.format(pid=words[1])
            assert (caught.value.reason, caught.value.slot) == (ChangerReason.VOLINUSE, slot)
            assert [e.slot for e in changer.inventory() if e.reserved] == [slot]
            if kill:
                os.kill(int(words[1]), signal.SIGKILL)
                holder.wait()
            else:
                holder.stdin.write("go\n")
                holder.stdin.flush()
                assert holder.stdout.readline() == "released\n"
            changer.load(LoadRequest(slot=slot)).release()


@pytest.mark.parametrize(("kind", "slot"), [("multi", "6"), ("aggregate", "0:2")])
def test_our_killed_process_blocks_nobody(
    request: pytest.FixtureRequest, kind: str, slot: str
) -> None:
    """After kill -9 of ours its slot is free for stock, and for another of ours."""
    world: World = request.getfixturevalue(kind)

    def hold() -> Any:
        return world.changer().load(LoadRequest(slot=slot))

    for take in (lambda: "already in use" not in world.amtape("slot", slot), hold):
        child, pipe = in_child(hold)
        assert f"process '{child}'" in world.amtape("slot", slot)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(pipe)
        assert take()


def test_what_stock_updates_is_ours_too(multi: World) -> None:
    """amtape update, with a label, for a range and as forgotten, and ours the other way round."""
    write(multi, "5", "SHARE-1")
    multi.amtape("update", "7=SHARE-9")
    with pytest.raises(ChangerError, match="Found unlabeled tape while looking for 'SHARE-9'"):
        multi.changer().load(LoadRequest(label="SHARE-9"))
    multi.amtape("update", "5=")
    assert [entry[1] for entry in inventory(multi)] == [None] * 4
    multi.changer().update("5-6")
    assert stock_inventory(multi) == inventory(multi)
    assert stock_inventory(multi)[0][1] == "SHARE-1"
    multi.changer().update("5=")
    assert stock_inventory(multi)[0][1] is None
    assert "update complete" in multi.amtape("update")
    assert inventory(multi)[0][1] == "SHARE-1"


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("multi", ("slot", "1")),
        ("multi", ("eject", "77")),
        ("aggregate", ("slot", "7:7")),
        ("aggregate", ("slot", "3")),
        ("aggregate", ("slot", "1:7")),
        ("aggregate", ("eject", "0")),
        ("aggregate", ("eject",)),
        ("aggregate", ("update", "0:1")),
        ("rait", ("slot", "{1,2}")),
        ("rait", ("slot", "7")),
        ("rait", ("eject", "{1,2}")),
        ("rait", ("eject",)),
        ("rait", ("update",)),
    ],
)
def test_errors_are_told_in_stocks_words(
    request: pytest.FixtureRequest, kind: str, words: tuple[str, ...]
) -> None:
    """What amtape says of an operation that fails is what ours says."""
    world: World = request.getfixturevalue(kind)
    changer = world.changer()
    ask, *given = words
    arguments: list[Any] = given
    operation = changer.load if ask == "slot" else getattr(changer, ask)
    if ask == "slot":
        arguments = [LoadRequest(slot=arguments[0])]
    with pytest.raises(ChangerError) as caught:
        operation(*arguments)
    assert caught.value.message in world.amtape(*words)
