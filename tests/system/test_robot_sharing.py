"""Ours and stock programs use one library and one state file of chg-robot."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.fakes.turning import Turning, turning_reactor
from tests.namespace import missing
from tests.system.robot_pair import NAME, Ours, Place, Stock

_REASON = missing("/usr/sbin/amtape", "/usr/sbin/amlabel")
pytestmark = [pytest.mark.system, pytest.mark.skipif(_REASON is not None, reason=_REASON or "")]


@pytest.fixture
def turning() -> Iterator[Turning]:
    with turning_reactor() as turning:
        yield turning


@pytest.fixture
def place() -> Iterator[Place]:
    place = Place({1: "A1", 2: "A2", 4: "A4"}, "", slots=4)
    yield place
    place.close()


@pytest.fixture
def ours(place: Place, turning: Turning) -> Iterator[Ours]:
    ours = Ours(place, turning)
    yield ours
    ours.close()


def test_labels_and_current_slot_go_both_ways(place: Place, ours: Ours) -> None:
    """What ours writes amtape finds, what amlabel writes ours finds; so the current slot."""
    for line in ("load slot 1 current 1", "write 1 ROBOT-1", "release 1"):
        ours.do(line)
    told = place.amtape("inventory")
    assert "slot 1: label ROBOT-1 barcode A1 (in drive 0) (current)" in told
    assert re.search(r"slot   1: .* ROBOT-1", place.amtape("label", "ROBOT-1"))
    place.own_all()
    done = place.namespace.run("/usr/sbin/amlabel", NAME, "ROBOT-2", "slot", "2")
    assert "Success!" in done.stdout
    assert ours.do("load label ROBOT-2") == "loaded 2 ROBOT-2 A2"
    assert ours.do("release 2") == "released"
    assert "slot   2" in place.amtape("slot", "next")
    assert ours.do("load relative current") == "loaded 2 ROBOT-2 A2"
    assert ours.do("release 2") == "released"
    assert place.state()["bc2lb"] == {"A1": "ROBOT-1", "A2": "ROBOT-2"}


def test_stock_programs_work_on_our_state(place: Place, ours: Ours) -> None:
    """Every command of amtape comes to a good end, and ours goes on after each."""
    for line in ("load slot 1", "write 1 ROBOT-1", "release 1"):
        ours.do(line)
    for words in (
        *(("inventory",), ("current",), ("slot", "next"), ("show",), ("update",), ("reset",)),
        *(("eject", "0"), ("eject", "1"), ("verify",)),
    ):
        place.own_all()
        done = place.namespace.run("/usr/sbin/amtape", NAME, *words)
        assert done.returncode == 0, done.stdout
        told = ours.do("inventory")
        assert told.split()[0].split("|")[4:6] == ["ROBOT-1", "A1"], told


def test_what_one_holds_the_other_cannot_have(place: Place, ours: Ours) -> None:
    """Each says which drive holds the volume, and gets it once it is released."""
    stock = Stock(place, as_root=True)
    try:
        assert ours.do("load slot 1") == "loaded 1 - A1"
        assert stock.do("load slot 2") == "loaded 2 - A2"
        refused = "error failed volinuse the requested volume is in use (drive"
        assert stock.do("load slot 1") == f"{refused} 0)"
        assert ours.do("load slot 2") == f"{refused} 1)"
        assert ours.do("load slot 4") == "error failed driveinuse no drives available"
        assert ours.do("eject 1") == "error failed volinuse tape in drive '1' is in use"
        for inventory in (ours.do("inventory"), stock.do("inventory")):
            assert [entry.split("|")[6] for entry in inventory.split()] == ["1", "1", "", ""]
        assert stock.do("release 2") == "released"
        assert ours.do("load slot 2") == "loaded 2 - A2"
        assert ours.do("release 1") == "released"
        assert stock.do("load slot 1") == "loaded 1 - A1"
    finally:
        stock.close()
    assert ours.do("load slot 1") == "loaded 1 - A1"  # who was killed holds nothing
