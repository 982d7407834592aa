"""Scans with an operator: asking, polling, and being told [changers 1.5, 1.9]."""

from __future__ import annotations

import pytest
from attrs import evolve
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from zope.interface import implementer
from zope.interface.verify import verifyObject

from devices.errors import ChangerError, ChangerReason
from devices.interfaces import IAsyncChanger, InventoryEntry
from taper.core.scan import IInteractivity, ScanFailed
from tests.fakes.async_changer import FakeAsyncChanger, FakeVolume, blank
from tests.fakes.scanning import Stage, set_stage


@implementer(IInteractivity)
class FakeOperator:
    """Keeps the questions; a test gives the replies, and lets the time pass."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.questions: list[str] = []
        self.taken_back = 0
        self.changers: dict[str, FakeAsyncChanger] = {}
        self.open: Deferred[str] | None = None

    def ask(self, text: str, changer_name: str) -> Deferred[str]:
        self.questions.append(f"{text} in {changer_name}")
        self.open = Deferred(self._take_back)
        return self.open

    def _take_back(self, _: Deferred[str]) -> None:
        self.taken_back += 1

    def reply(self, text: str) -> None:
        assert self.open is not None
        self.open.callback(text)

    def open_changer(self, name: str) -> Deferred[IAsyncChanger]:
        if name not in self.changers:
            return fail(ChangerError(f"no changer {name}"))
        return succeed(self.changers[name])


def ask_stage(slots: dict[str, FakeVolume | None], **facts: bool) -> tuple[Stage, FakeOperator]:
    operator = FakeOperator()
    changer = FakeAsyncChanger(slots, **facts)
    stage = set_stage("lexical", changer, clock=operator.clock, interactivity=operator)
    verifyObject(IInteractivity, operator)
    return stage, operator


def test_a_slot_in_use_is_tried_again_at_every_look() -> None:
    """A volume that another program held is found within ten seconds of its release."""
    held = blank(in_use=True)
    stage, operator = ask_stage({"1": held})
    outcome = stage.run()
    operator.clock.advance(10)
    assert not outcome.fired
    held.in_use = False
    operator.clock.advance(10)
    assert outcome.result.label == "Scan-01"
    assert operator.questions == ["Slot 1 is already in use in fake"]
    assert operator.taken_back == 1
    assert operator.clock.getDelayedCalls() == []


def test_a_reply_without_a_name_means_look_again() -> None:
    """The operator puts a volume in and presses enter; no ten seconds pass."""
    stage, operator = ask_stage({"1": None})
    outcome = stage.run()
    stage.changer.slots["1"] = blank()
    operator.reply(" \n")
    assert outcome.result.label == "Scan-01"


def test_a_new_question_follows_a_vain_reply() -> None:
    """When the second look brings nothing either, the operator is asked anew."""
    stage, operator = ask_stage({"1": None})
    outcome = stage.run()
    operator.reply("")
    assert operator.questions == ["No acceptable volumes found in fake"] * 2
    assert not outcome.fired


def test_a_reply_may_name_another_changer() -> None:
    """The scan goes on in the changer named; one that cannot be opened is told in the question."""
    stage, operator = ask_stage({"1": None})
    operator.changers["other"] = FakeAsyncChanger({"9": blank()})
    outcome = stage.run()
    operator.reply("nowhere")
    assert operator.questions[-1] == "no changer nowhere in fake"
    operator.reply("other")
    assert outcome.result.reservation.slot == "9"


def test_a_reply_during_a_look_is_not_lost() -> None:
    """What the operator says while slots are being looked at counts once that is over."""
    stage, operator = ask_stage({"1": None})
    outcome = stage.run()
    stage.changer.gate.open = False
    operator.clock.advance(10)
    operator.reply("")
    stage.changer.gate.step()
    stage.changer.slots["1"] = blank()
    while stage.changer.gate.step():
        pass
    assert outcome.result.label == "Scan-01"


def test_an_operator_who_gives_up_ends_the_scan() -> None:
    """The scan fails with the operator's text."""
    stage, operator = ask_stage({"1": None})
    outcome = stage.run()
    assert operator.open is not None
    operator.open.errback(ScanFailed("Aborted by user"))
    assert outcome.refusal == "Aborted by user"


def test_a_hand_fed_drive_is_looked_at_before_each_poll() -> None:
    """A changer that notices nothing by itself is told to look."""
    stage, operator = ask_stage({"1": None}, scan_require_update=True)
    stage.run()
    operator.clock.advance(10)
    operator.clock.advance(10)
    assert stage.changer.updates == 2


class HandFed(FakeAsyncChanger):
    """As chg-single: it knows of its volume what the last load told, until it is told to look."""

    def __init__(self, volume: FakeVolume) -> None:
        super().__init__({"1": volume}, scan_require_update=True)

    def update(self, changed: str | None = None) -> Deferred[None]:
        self.slots["1"] = evolve(self.slots["1"] or blank(), known=False)
        return super().update(changed)

    def _entry(self, slot: str, volume: FakeVolume | None) -> InventoryEntry:
        if volume is None or not volume.known:
            return InventoryEntry(slot=slot)
        return super()._entry(slot, volume)


@pytest.mark.parametrize("replied", [True, False])
def test_a_hand_fed_drive_may_hold_another_volume(replied: bool) -> None:
    """What the operator has put in is tried, at his word and by itself, though the drive said
    nothing of it, and the volume before it was taken in an earlier scan."""
    operator = FakeOperator()
    changer = HandFed(blank())
    stage = set_stage("lexical", changer, clock=operator.clock, interactivity=operator)
    stage.find().reservation.release()
    outcome = stage.run()
    assert not outcome.fired
    changer.slots["1"] = blank()
    if replied:
        operator.reply("")
    else:
        operator.clock.advance(10)
    assert outcome.fired
    assert outcome.result.reservation.slot == "1"


def test_an_unknown_error_is_not_waited_for() -> None:
    """What the changer itself cannot explain ends the scan, operator or not."""
    broken = blank(load_error=ChangerError("odd", ChangerReason.UNKNOWN))
    stage, operator = ask_stage({"1": broken})
    assert stage.refuse() == "odd"
    assert operator.questions == []


def test_a_scan_stopped_while_waiting_takes_its_question_back() -> None:
    """QUIT while the operator is asked leaves neither question nor timer."""
    stage, operator = ask_stage({"1": None})
    deferred = stage.scan.scan("20260601010101")
    caught: list[object] = []
    deferred.addErrback(caught.append)
    deferred.cancel()
    assert len(caught) == 1
    assert operator.taken_back == 1
    assert operator.clock.getDelayedCalls() == []
