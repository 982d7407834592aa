"""What every changer must do by its asynchronous face, the fake included.

A test class inherits :class:`ChangerContract` and gives a fixture ``open_changer``: a function
that opens the same changer again and again, as a :class:`tests.fakes.changers.Waited`. Its first
slot (as ``info`` lists it) can be loaded. Attributes tell what it cannot do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import CancelledError
from zope.interface.verify import verifyObject

from devices.errors import ChangerError, ChangerReason, Status
from devices.interfaces import (
    AccessMode,
    IAsyncChanger,
    IAsyncDevice,
    IAsyncReservation,
    InventoryEntry,
    LoadRequest,
    Relative,
    VolumeReading,
)


class ChangerContract:
    """Mix into a test class."""

    #: A held volume is refused to others; False where there is nothing to hold.
    exclusive = True

    #: What it does not do.
    lacks: tuple[str, ...] = ("eject", "move")

    @pytest.fixture
    def changer(self, open_changer: Callable[[], Any]) -> Any:
        return open_changer()

    def first(self, changer: Any) -> LoadRequest:
        return LoadRequest(slot=changer.info().slots[0])

    def test_provides_the_interface(self, changer: Any) -> None:
        """It is a changer, with a name and its facts as booleans."""
        assert verifyObject(IAsyncChanger, changer.thing)
        assert isinstance(changer.name, str)
        for fact in (changer.has_inventory, changer.scan_require_update, changer.global_space):
            assert isinstance(fact, bool)

    def test_info_counts_its_slots(self, changer: Any) -> None:
        """The number of slots is the number of slot names."""
        info = changer.info()
        assert info.num_slots == len(info.slots) == len(set(info.slots))

    def test_a_load_gives_a_device_whose_label_was_read(self, changer: Any) -> None:
        """A reservation holds an opened device, not started, with the reading of its label."""
        reservation = changer.load(self.first(changer))
        try:
            assert verifyObject(IAsyncReservation, reservation.thing)
            assert verifyObject(IAsyncDevice, reservation.device.thing)
            assert isinstance(reservation.reading, VolumeReading)
            assert reservation.device.access_mode is AccessMode.NULL
            assert reservation.device.label == reservation.reading.label
        finally:
            reservation.release()

    def test_what_is_held_is_refused_until_released(self, changer: Any) -> None:
        """A second load of a held slot fails as in use, and works once it is released."""
        reservation = changer.load(self.first(changer))
        if self.exclusive:
            with pytest.raises(ChangerError) as caught:
                changer.load(self.first(changer))
            assert caught.value.reason in (ChangerReason.VOLINUSE, ChangerReason.DRIVEINUSE)
        else:
            changer.load(self.first(changer)).release()
        reservation.release()
        changer.load(self.first(changer)).release()

    def test_a_second_release_does_nothing(self, changer: Any) -> None:
        """Releasing twice does not take the slot away from its next user."""
        reservation = changer.load(self.first(changer))
        reservation.release()
        other = changer.load(self.first(changer))
        reservation.release(eject=True)
        if self.exclusive:
            with pytest.raises(ChangerError):
                changer.load(self.first(changer))
        other.release()

    def test_a_release_finishes_the_device(self, changer: Any) -> None:
        """A device still writing is finished by the release."""
        reservation = changer.load(self.first(changer))
        reservation.device.start(AccessMode.WRITE, "CONTRACT-01", "20260102030405")
        reservation.set_label("CONTRACT-01")
        reservation.release()
        assert reservation.device.access_mode is AccessMode.NULL

    def test_when_all_slots_are_excluded_the_scan_ends(self, changer: Any) -> None:
        """A load whose every slot is excluded fails with the text that ends a scan."""
        slots = frozenset(changer.info().slots)
        for request in (
            LoadRequest(slot=min(slots), except_slots=slots),
            LoadRequest(relative=Relative.CURRENT, except_slots=slots),
            LoadRequest(relative=Relative.NEXT, except_slots=slots, set_current=True),
        ):
            with pytest.raises(ChangerError, match=r"^all slots have been loaded$") as caught:
                changer.load(request)
            assert caught.value.reason is ChangerReason.NOTFOUND

    def test_a_load_names_exactly_one_thing(self, changer: Any) -> None:
        """A request for nothing, or for two things, is a mistake of the caller."""
        with pytest.raises(ValueError, match="one of label, slot, relative"):
            changer.load(LoadRequest())
        with pytest.raises(ValueError, match="one of label, slot, relative"):
            changer.load(LoadRequest(slot="1", label="L"))

    def test_inventory(self, changer: Any) -> None:
        """The inventory lists the same slots in the same order each time, or is refused."""
        if not changer.has_inventory:
            with pytest.raises(ChangerError, match="does not support inventory") as caught:
                changer.inventory()
            assert caught.value.reason is ChangerReason.NOTIMPL
            return
        changer.load(self.first(changer)).release()
        inventory = changer.inventory()
        assert all(isinstance(entry, InventoryEntry) for entry in inventory)
        assert [entry.slot for entry in inventory] == [e.slot for e in changer.inventory()]
        assert set(changer.info().slots) <= {entry.slot for entry in inventory}
        assert sum(entry.current for entry in inventory) <= 1

    def test_news_about_the_volume_are_taken(self, changer: Any) -> None:
        """Label, error and meta label can be told to any reservation."""
        reservation = changer.load(self.first(changer))
        reservation.set_label("CONTRACT-02")
        reservation.set_device_error(VolumeReading(Status.VOLUME_ERROR, error="bad"))
        reservation.set_label(None)
        reservation.set_meta_label("META-01")
        assert reservation.get_meta_label() in ("META-01", None)
        reservation.release()

    def test_what_it_lacks_is_refused_with_a_reason(self, changer: Any) -> None:
        """Operations a changer lacks fail as not implemented, never otherwise."""
        refusals: list[ChangerError] = []
        for operation in (changer.reset, changer.update):
            try:
                operation()
            except ChangerError as error:
                refusals.append(error)
        assert all(error.reason is ChangerReason.NOTIMPL for error in refusals)
        assert all("does not support" in error.message for error in refusals)
        for name, arguments in (("eject", ()), ("move", ("1", "2"))):
            if name in self.lacks:
                with pytest.raises(ChangerError, match=f"does not support {name}") as caught:
                    getattr(changer, name)(*arguments)
                assert caught.value.reason is ChangerReason.NOTIMPL

    def test_one_thing_after_another(self, changer: Any) -> None:
        """Operations are done in the order of asking: whoever asks first gets the volume."""
        first = self.first(changer)
        asked = [changer.thing.load(first), changer.thing.info(), changer.thing.load(first)]
        reservation = changer.wait(asked[0])
        assert changer.wait(asked[1]) == changer.info()
        if self.exclusive:
            with pytest.raises(ChangerError):
                changer.wait(asked[2])
        else:
            changer.wait(changer.wait(asked[2]).release())
        changer.wait(reservation.release())

    def test_a_cancelled_load_leaves_nothing_reserved(self, changer: Any) -> None:
        """Whoever does not want it any more has not got it, and the next one gets it."""
        first = self.first(changer)
        loading = changer.thing.load(first)
        if not loading.called:
            loading.cancel()
            with pytest.raises(CancelledError):
                changer.wait(loading)
        else:
            changer.wait(changer.wait(loading).release())
        changer.load(first).release()

    def test_a_release_cannot_be_cancelled(self, changer: Any) -> None:
        """Cancelling gives up waiting, not releasing."""
        first = self.first(changer)
        reservation = changer.load(first)
        releasing = reservation.thing.release()
        if not releasing.called:
            releasing.addErrback(lambda failure: failure.trap(CancelledError) and None)
            releasing.cancel()
        reservation.release()  # waits for the one that goes on
        changer.load(first).release()

    def test_close_gives_back_what_is_held(
        self, changer: Any, open_changer: Callable[[], Any]
    ) -> None:
        """Closing the changer releases what was forgotten."""
        first = self.first(changer)
        reservation = changer.load(first)
        reservation.device.start(AccessMode.WRITE, "CONTRACT-03", "20260102030405")
        changer.close()
        assert reservation.device.access_mode is AccessMode.NULL
        open_changer().load(first).release()

    def test_close_cancels_what_is_going_on(
        self, changer: Any, open_changer: Callable[[], Any]
    ) -> None:
        """Neither what is going on nor what waits for its turn keeps anything."""
        first = self.first(changer)
        asked = [changer.thing.load(first), changer.thing.inventory(), changer.thing.info()]
        pending = [asking for asking in asked if not asking.called]
        for asking in asked:
            asking.addErrback(lambda failure: failure.value)
        changer.close()
        assert all(isinstance(changer.wait(asking), CancelledError) for asking in pending)
        open_changer().load(first).release()
