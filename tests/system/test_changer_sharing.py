"""Ours and stock programs use one chg-disk at the same time [changers 2.6, 3.1]."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from devices.changers.state import StateFile
from devices.errors import ChangerError, ChangerReason
from devices.interfaces import AccessMode, LoadRequest, Relative
from devices.processes import is_alive
from tests.system.sharing_world import HOLD_SLOT, PROLOGUE, USER, World, in_child, missing_stock

_REASON = missing_stock()
pytestmark = [pytest.mark.system, pytest.mark.skipif(_REASON is not None, reason=_REASON or "")]

HOLD_SLOT_2 = HOLD_SLOT.replace("SLOT", "2")

COUNT_UP = (
    PROLOGUE
    + """
my ($file, $left) = ($chg->{'state_filename'}, ROUNDS);
my $once; $once = sub {
    $chg->with_locked_state($file, sub {
        my ($err) = @_;
        die "$err" if $err;
        return Amanda::MainLoop::quit() unless --$left;
        Amanda::MainLoop::call_later($once);
    }, sub {
        my ($state, $done) = @_;
        $state->{'count'} += 1;
        $state->{'theirs'}{"round $left"} = { 'text' => "it's \\\\ round $left", 'none' => undef };
        delete $state->{'theirs'}{"round " . ($left + 3)};
        $done->(undef);
    });
};
Amanda::MainLoop::call_later($once);
print "counting\\n";
Amanda::MainLoop::run();
$storage->quit(); $chg->quit();
Amanda::Util::finish_application();
"""
)


@pytest.fixture
def world() -> Iterator[World]:
    base = Path(tempfile.mkdtemp(prefix="changer-sharing-", dir="/var/tmp"))
    yield World(base)
    shutil.rmtree(base)


@pytest.fixture
def flat_world() -> Iterator[World]:
    base = Path(tempfile.mkdtemp(prefix="changer-sharing-", dir="/var/tmp"))
    yield World(base, "diskflat")
    shutil.rmtree(base)


class Impatient(threading.Event):
    """Makes us try again at once, so that the two really meet."""

    def wait(self, timeout: float | None = None) -> bool:
        return super().wait(0.001)


def test_the_current_slot_set_by_stock_is_ours_too(world):
    """amtape slot 3, then next: ours loads what stock made current."""
    assert "slot" in world.amtape("slot", "3")
    reservation = world.changer().load(LoadRequest(relative=Relative.CURRENT))
    assert reservation.slot == "3"
    reservation.release()
    world.amtape("slot", "next")
    assert [e.slot for e in world.changer().inventory() if e.current] == ["4"]
    assert os.readlink(world.vtapes / "data") == "slot4"


def test_the_current_slot_set_by_ours_is_stocks_too(world):
    """A load of ours that sets the current slot is what amtape current shows."""
    changer = world.changer()
    reservation = changer.load(LoadRequest(slot="2", set_current=True))
    reservation.device.start(AccessMode.WRITE, "SHARE-2", "20260102030405")
    reservation.release()
    shutil.chown(world.vtapes / "slot2" / "00000.SHARE-2", USER, USER)
    shown = world.amtape("current")
    assert "slot   2:" in shown
    assert "SHARE-2" in shown
    inventory = world.amtape("inventory")
    assert "slot 2: label SHARE-2" in inventory
    assert [line[:7] for line in inventory.splitlines() if "(current)" in line] == ["slot 2:"]
    assert changer.inventory()[1].label == "SHARE-2"


def test_a_slot_held_by_ours_is_refused_by_stock(world):
    """Stock says which process holds the slot: ours; after the release it loads it."""
    reservation = world.changer().load(LoadRequest(slot="2"))
    text = f"Slot 2 is already in use by drive 'drive0' and process '{os.getpid()}'"
    assert text in world.amtape("slot", "2")
    assert "slot   2: in use" in world.amtape("show")
    assert "slot 2: blank reserved" in world.amtape("inventory")
    reservation.release()
    assert "already in use" not in world.amtape("slot", "2")


def test_our_entries_keep_what_stock_does_not_know(world):
    """Stock rewrites the state round our reservation without harming it."""
    reservation = world.changer().load(LoadRequest(slot="2"))
    before = world.state()["drives"]
    world.amtape("slot", "1")
    assert world.state()["current"] == "slot1"
    assert world.state()["drives"] == before
    reservation.release()
    assert world.state()["drives"] == {}


def test_a_slot_held_by_stock_is_refused_by_ours(world):
    """Ours says which stock process holds the slot, and loads it once that is over."""
    with world.perl(HOLD_SLOT_2) as holder:
        words = holder.stdout.readline().split()
        assert words[:1] == ["holding"], holder.stderr.read()
        changer = world.changer()
        with pytest.raises(ChangerError) as caught:
            changer.load(LoadRequest(slot="2"))
        assert caught.value.message == (
            f"Slot 2 is already in use by drive 'drive0' and process '{words[1]}'"
        )
        assert caught.value.reason is ChangerReason.VOLINUSE
        assert [e.slot for e in changer.inventory() if e.reserved] == ["2"]
        holder.stdin.write("go\n")
        holder.stdin.flush()
        assert holder.stdout.readline() == "released\n"
        changer.load(LoadRequest(slot="2")).release()


def test_a_killed_holder_of_stock_blocks_nobody(world):
    """After kill -9 of a stock program its slot is free for ours."""
    with world.perl(HOLD_SLOT_2) as holder:
        pid = int(holder.stdout.readline().split()[1])
        os.kill(pid, signal.SIGKILL)
        holder.wait()
        assert not is_alive(pid)
        world.changer().load(LoadRequest(slot="2")).release()


def test_our_killed_process_blocks_nobody(world):
    """After kill -9 of ours its slot is free for stock, and for another of ours."""
    for take in (
        lambda: "already in use" not in world.amtape("slot", "2"),
        lambda: world.changer().load(LoadRequest(slot="2")),
    ):
        child, pipe = in_child(lambda: world.changer().load(LoadRequest(slot="2")))
        assert f"and process '{child}'" in world.amtape("slot", "2")
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(pipe)
        assert world.state()["drives"]["drive0"]["pid"] == child
        assert take()


def test_both_hammering_one_state_file_lose_nothing(world):
    """300 updates by stock and 300 by ours at the same time: all counted, nothing wiped."""
    rounds = 300
    file = StateFile(str(world.state_path), lock_timeout=50, stop=Impatient())
    with file.locked() as state:
        state["kept"] = {"since": "the start"}
    with world.perl(COUNT_UP.replace("ROUNDS", str(rounds))) as stock:
        assert stock.stdout.readline() == "counting\n", stock.stderr.read()
        for number in range(rounds):
            with file.locked() as state:
                state["count"] = int(state.get("count") or 0) + 1
                state["ours"] = {"text": "'\\" * (number % 7 * 40)}
        _, errors = stock.communicate(timeout=600)
        assert stock.returncode == 0, errors
    state = world.state()
    assert int(state["count"]) == 2 * rounds
    assert state["kept"] == {"since": "the start"}
    assert state["theirs"]["round 1"] == {"text": "it's \\ round 1", "none": None}


# chg-diskflat: the same state, other slots


def test_the_current_flat_slot_is_shared(flat_world):
    """amtape slot 3, then next, is ours; what ours makes current is what amtape shows."""
    world = flat_world
    assert "slot" in world.amtape("slot", "3")
    reservation = world.changer().load(LoadRequest(relative=Relative.CURRENT))
    assert reservation.slot == "3"
    reservation.release()
    world.amtape("slot", "next")
    assert [e.slot for e in world.changer().inventory() if e.current] == ["4"]
    reservation = world.changer().load(LoadRequest(slot="2", set_current=True))
    reservation.device.start(AccessMode.WRITE, "SHARE-2", "20260102030405")
    reservation.release()
    assert "SHARE-2" in world.amtape("current")
    inventory = world.amtape("inventory").splitlines()
    assert [line[:7] for line in inventory if "(current)" in line] == ["slot 2:"]
    ours = [(entry.slot, entry.label) for entry in world.changer().inventory()]
    assert ours == [("1", None), ("2", "SHARE-2"), ("3", None), ("4", None)]
    for slot, label in ours:
        wanted = f"slot {slot}: label {label}" if label else f"slot {slot}: blank"
        assert any(line.startswith(wanted) for line in inventory)


def test_a_flat_slot_is_held_by_one_only(flat_world):
    """Each says of the other which drive and process holds the slot."""
    world = flat_world
    reservation = world.changer().load(LoadRequest(slot="2"))
    text = f"Slot 2 is already in use by drive 'drive0' and process '{os.getpid()}'"
    assert text in world.amtape("slot", "2")
    reservation.release()
    assert "already in use" not in world.amtape("slot", "2")
    with world.perl(HOLD_SLOT_2) as holder:
        words = holder.stdout.readline().split()
        assert words[:1] == ["holding"], holder.stderr.read()
        with pytest.raises(ChangerError) as caught:
            world.changer().load(LoadRequest(slot="2"))
        assert caught.value.message == (
            f"Slot 2 is already in use by drive 'drive0' and process '{words[1]}'"
        )
        assert [e.slot for e in world.changer().inventory() if e.reserved] == ["2"]
        holder.stdin.write("go\n")
        holder.stdin.flush()
        assert holder.stdout.readline() == "released\n"
    world.changer().load(LoadRequest(slot="2")).release()


def test_both_see_the_same_flat_slots(flat_world):
    """Files, holes, volumes that were taken away: amtape and ours list the same."""
    world = flat_world
    (world.vtapes / "SHARE-3").unlink()
    (world.vtapes / "notes.txt").touch()
    (world.base / "etc/SHARE/tapelist").write_text(
        "20260102030405 SHARE-6 reuse POOL:SHARE STORAGE:SHARE CONFIG:SHARE\n"
        "20260102030404 SHARE-9 reuse POOL:OTHER STORAGE:OTHER CONFIG:SHARE\n"
    )
    inventory = world.amtape("inventory").splitlines()
    theirs = [line.split(":")[0] for line in inventory if line.startswith("slot ")]
    ours = [f"slot {entry.slot}" for entry in world.changer().inventory()]
    assert ours == theirs == [f"slot {number}" for number in range(1, 7)]
    gone = [entry.slot for entry in world.changer().inventory() if entry.state == 2]
    assert gone == ["6"]
    assert [line for line in inventory if "empty" in line] == ["slot 6: empty"]
    text = "label 'SHARE-6' already in tapelist and slot file"
    assert text in world.amtape("slot", "6")
    with pytest.raises(ChangerError, match=text):
        world.changer().load(LoadRequest(slot="6"))
