"""chg-robot beside Amanda's own: the same is done to two libraries that are alike."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest

from tests.fakes.turning import Turning, turning_reactor
from tests.namespace import missing
from tests.system.robot_pair import pair

_REASON = missing("/usr/sbin/amtape")
pytestmark = [pytest.mark.system, pytest.mark.skipif(_REASON is not None, reason=_REASON or "")]

CARTRIDGES = {1: "A1", 2: "A2", 4: "A4", 5: "A5", 8: "A8"}


@pytest.fixture
def turning() -> Iterator[Turning]:
    with turning_reactor() as turning:
        yield turning


STORY = """
info
inventory
load slot 1 current 1
load slot 1
load label ROBOT-1
write 1 ROBOT-1
load slot 2
load slot 4
inventory
release 1
load slot 4
inventory
write 4 ROBOT-4
release 4 1
release 2
inventory
load label ROBOT-1
load relative next
load relative next after 1
load relative current
load relative next after 4 except 5,8
release 1 1
load relative current except 1
load slot 3
load slot 9
load slot x
load label NONE
eject
eject 0
eject 1
eject 7
inventory
move 1 3
move 1 3
move 3 2
move 3 1
load label ROBOT-1
load label ROBOT-4
release 1
move 1 6
inventory
reset
inventory
update 2=ROBOT-9
update 3=ROBOT-9
load label ROBOT-9
update 2=
update
inventory
"""


def test_a_story_is_told_alike(turning: Turning) -> None:
    """Every answer, every error, every inventory, and what the two robots had to do."""
    with pair(turning, CARTRIDGES, ports=1) as both:
        for line in STORY.split("\n"):
            if line:
                both.alike(line)
        ours, stock = both.libraries()
        assert ours.log() == stock.log()
        assert ours.places() == stock.places()


def test_troubles_are_told_alike(turning: Turning) -> None:
    """A jam, nonsense, a wrong label, a cartridge moved by hand: the same texts and reasons."""
    with pair(turning, CARTRIDGES, 'property "use-slots" "1-5"\n') as both:
        libraries = both.libraries()
        for library in libraries:
            library.fault(jammed=True)
        both.alike("load slot 1")
        both.alike("move 1 3")
        for library in libraries:
            library.fault()
        both.alike("load slot 1")
        both.alike("write 1 ROBOT-1")
        for library in libraries:
            library.fault(jammed=True)
        both.alike("release 1 1")
        both.alike("eject 0")
        for library in libraries:
            library.fault()
        for line in ("eject 0", "load slot 2", "write 2 ROBOT-2", "release 2 1", "inventory"):
            both.alike(line)
        for library in libraries:
            library.swap(1, 8)
            library.swap(2, 3)
        # stock shows the slots with what it read of the cartridges that were there before
        for line in ("load label ROBOT-1", "load label ROBOT-2", "write 3 ROBOT-3", "load slot 8"):
            both.alike(line)
        for library in libraries:
            library.fault(not_ready=1)
        for line in ("release 3", "update 4=ROBOT-7", "load label ROBOT-7", "load slot 4"):
            both.alike(line)
        assert libraries[0].log() == libraries[1].log()


@pytest.mark.parametrize("seed", [1])
def test_whatever_is_done_is_done_alike(turning: Turning, seed: int) -> None:
    """Loads, labels, moves, ejects, updates, in any order."""
    random = Random(seed)
    held: set[str] = set()
    with pair(turning, CARTRIDGES) as both:
        for number in range(20):
            line = random_line(random, held, number)
            told = both.alike(line).split()
            if told[0] == "loaded":
                held.add(told[1])
            elif told[0] == "released":
                held.discard(line.split()[1])
            both.alike("inventory")
        ours, stock = both.libraries()
        assert ours.log() == stock.log()
        assert ours.places() == stock.places()


def random_line(random: Random, held: set[str], number: int) -> str:
    """Something to do; only what is held is written or released, and no label is given twice:
    stock then believes in two cartridges of that label."""
    slot, other = random.randint(1, 8), random.randint(1, 8)
    label, drive = f"ROBOT-{number}", random.randint(0, 1)
    choices = [
        f"load slot {slot}",
        f"load label ROBOT-{random.randint(0, number)}",
        f"load relative {random.choice(['next', 'current'])}",
        f"load relative next after {slot} except {other}",
        f"load slot {slot} current 1",
        f"eject {drive}",
        f"move {slot} {other}",
        "reset",
        f"update {slot}={label}",
        f"update {slot}=",
        f"update {slot}",
    ]
    if held and random.random() < 0.6:
        one = random.choice(sorted(held))
        return random.choice([f"release {one}", f"release {one} 1", f"write {one} {label}"])
    return random.choice(choices)
