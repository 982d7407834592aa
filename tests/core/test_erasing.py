"""erase-on-full and erase-volume: room is made of volumes nobody needs, and of no others."""

from __future__ import annotations

import pytest

from devices.errors import ChangerError, ChangerReason, DriveFailed, VolumeFailed
from protocols.tapelist import TapelistEntry, TapelistError
from taper.core.erasing import EraseFirst, erase_reusable
from taper.core.scan import ScanResult
from tests.core.checking import check_dump
from tests.core.conversing import (
    HANDLE,
    PLAIN,
    RUN,
    START,
    WORKER,
    Conversation,
    configuration,
    content,
    file_write,
)
from tests.core.stocked import Tape
from tests.core.surroundings import Dumped
from tests.fakes.device import FakeDevice

BLOCK = 1024
DATA = content(20 * BLOCK)
ON_FULL = "erase-on-full yes"


def old(number: int, *, reuse: bool = True, pool: str = "PROTO") -> TapelistEntry:
    """A volume written on the so-many-th of May."""
    return TapelistEntry(
        datestamp=f"202605{number:02d}010101",
        label=f"PROTO{number:02d}",
        reuse=reuse,
        pool=pool,
        storage="PROTO",
        config="PROTO",
    )


def tape(entry: TapelistEntry | None, capacity: int | None = None) -> Tape:
    label, stamp = (entry.label, entry.datestamp) if entry else (None, None)
    return Tape(capacity, label=label, timestamp=stamp, shared=True, block_size=BLOCK, warning=0)


class Full(Conversation):
    """A storage whose file system is full after some blocks; erasing a volume frees some more.

    The dump goes to the first volume, the oldest.
    """

    def __init__(
        self,
        *entries: TapelistEntry,
        room: int = 8,
        frees: int = 6,
        more: str = ON_FULL,
        data: bytes = DATA,
        blank: int = 0,
        tapecycle: int = 2,
    ) -> None:
        tapes = [tape(entry) for entry in entries] + [tape(None, 40 * BLOCK) for _ in range(blank)]
        tapes[0].medium.capacity = room * BLOCK
        for other in tapes[1 : len(entries)]:
            other.at_label = lambda label, stamp: self.free(frees)
        super().__init__(
            *tapes,
            entries=entries,
            config=configuration(more=more, tapecycle=tapecycle),
            dumps={"HF": Dumped(data)},
        )
        self.changer.global_space = True
        self.freed = 0

    def free(self, blocks: int) -> None:
        self.freed += 1
        self.tapes["1"].medium.capacity += blocks * BLOCK  # type: ignore[operator]

    def begin(self) -> None:
        assert self.say(START) == [f"TAPER-OK {WORKER} ALLOW-TAKE-SCRIBE-FROM"]

    def listed(self) -> dict[str, str]:
        return {entry.label: entry.datestamp for entry in self.tapelists.store.tapelist.entries}


def test_the_same_part_goes_on_after_volumes_were_erased() -> None:
    """One volume after the other, the oldest first, keeps its label; the dump is one part."""
    talk = Full(*(old(number) for number in range(1, 6)))
    talk.begin()
    talk.say(file_write())
    assert check_dump(talk, HANDLE, DATA, "/home") == "DONE"
    assert talk.words().count("PARTDONE") == 1
    assert talk.words().count("REQUEST-NEW-TAPE") == 1
    assert talk.freed == 3
    assert talk.listed() == {
        "PROTO01": RUN,
        "PROTO02": "0",
        "PROTO03": "0",
        "PROTO04": "0",
        "PROTO05": "20260505010101",
    }
    for number in "234":
        medium = talk.tapes[number].medium
        assert (medium.label, medium.timestamp, medium.files) == (f"PROTO0{number}", "X", {})
    entry = talk.tapelists.store.tapelist.lookup("PROTO02")
    assert entry is not None
    assert (entry.reuse, entry.pool, entry.storage, entry.config) == (True, "PROTO", None, None)
    assert [line for line in talk.logged("INFO taper Erased")] == [
        f"INFO taper Erased volume PROTO0{number} in slot {number}, which is reusable"
        for number in "234"
    ]
    talk.quit()
    talk.check_sound()


@pytest.mark.parametrize("touched", [False, True])
def test_a_device_that_refuses(touched: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of a volume that it has not touched is lost, so the tapelist knows it as before."""

    def refuse(device: FakeDevice) -> None:
        if touched:
            device.label = device.timestamp = None
        raise VolumeFailed("it is locked")

    monkeypatch.setattr(FakeDevice, "erase", refuse)
    talk = Full(old(1), old(2), more="erase-volume yes")
    scan = EraseFirst(talk.world.scan, lambda timestamp: erase_reusable(talk.world, timestamp))
    scan.scan(RUN)
    talk.settle()
    assert "INFO taper cannot erase volume PROTO01: it is locked" in talk.logged("INFO taper")
    entry = talk.tapelists.store.tapelist.lookup("PROTO01")
    assert entry is not None
    assert entry.datestamp == ("0" if touched else old(1).datestamp)
    assert (entry == old(1)) is not touched


def test_active_volumes_are_never_erased() -> None:
    """no-reuse, another pool, in use elsewhere, retained: the part ends, a volume is asked for."""
    entries = [old(1), old(2), old(3, reuse=False), old(4, pool="OTHER"), old(5)]
    talk = Full(*entries, blank=1)
    talk.changer.slots["2"].in_use = True
    before = talk.listed()
    talk.begin()
    talk.changer.slots["5"].in_use = True
    talk.say(file_write())
    assert check_dump(talk, HANDLE, DATA, "/home") == "DONE"
    assert talk.freed == 0
    assert talk.words().count("REQUEST-NEW-TAPE") == 2
    assert {label: stamp for label, stamp in talk.listed().items() if label in before} == {
        **before,
        "PROTO01": RUN,
    }
    talk.quit()
    talk.check_sound()


def test_a_volume_that_becomes_active_meanwhile_is_spared() -> None:
    """The rules are asked again under the tapelist's lock."""
    talk = Full(old(1), old(2), old(3), blank=1)
    talk.begin()
    talk.tell(file_write())
    talk.until("load")
    store = talk.tapelists.store
    store.tapelist = store.tapelist.replacing(old(2, reuse=False))
    talk.settle()
    assert check_dump(talk, HANDLE, DATA, "/home") in ("DONE", "PARTIAL")
    assert talk.listed()["PROTO02"] == "20260502010101"
    assert talk.tapes["2"].medium.label == "PROTO02"
    assert talk.tapes["2"].medium.timestamp == "20260502010101"
    assert any("cannot erase volume PROTO02" in line for line in talk.logged("INFO taper"))
    talk.quit()
    talk.check_sound()


@pytest.mark.parametrize(
    ("more", "shared"), [("", True), (ON_FULL, False)], ids=["not wanted", "not shared"]
)
def test_without_the_option_or_shared_space_nothing_is_erased(more: str, shared: bool) -> None:
    """The part ends where the space does, and another volume is asked for."""
    talk = Full(old(1), old(2), old(3), blank=1, more=more)
    talk.changer.global_space = shared
    talk.begin()
    talk.say(file_write())
    assert talk.freed == (1 if talk.listed()["PROTO02"] == RUN else 0)
    assert "0" not in talk.listed().values()
    assert not talk.logged("INFO taper Erased")
    talk.quit()


def test_no_room_for_a_header_makes_room_too() -> None:
    """A part that cannot even be begun is begun again on the same volume."""
    talk = Full(old(1), old(2), old(3), room=1, frees=30)
    talk.begin()
    talk.say(file_write())
    assert check_dump(talk, HANDLE, DATA, "/home") == "DONE"
    assert talk.words().count("REQUEST-NEW-TAPE") == 1
    assert talk.freed == 1
    talk.quit()
    talk.check_sound()


def test_erasing_in_vain_ends_soon() -> None:
    """Volumes whose space is not the one that is short are not erased one after the other."""
    talk = Full(*(old(number) for number in range(1, 10)), frees=0, blank=1)
    talk.begin()
    talk.say(file_write())
    assert check_dump(talk, HANDLE, DATA, "/home") == "DONE"
    assert len(talk.logged("INFO taper Erased")) == 2
    assert talk.words().count("REQUEST-NEW-TAPE") > 1
    talk.quit()


def test_a_dump_that_may_not_be_split_goes_on_too() -> None:
    """The file stays open, so it is no split."""
    talk = Full(old(1), old(2), old(3), frees=30)
    talk.begin()
    talk.say(file_write(split=PLAIN.replace('""', "0", 4).replace("0 0 0 0", '"" "" "" 0')))
    assert check_dump(talk, HANDLE, DATA, "/home") == "DONE"
    assert talk.words().count("PARTDONE") == 1
    talk.quit()


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("load", ChangerError("the state is locked", ChangerReason.UNKNOWN)),
        ("tapelist read", TapelistError("line 3 is not well formed")),
        ("tapelist update", OSError(28, "No space left on device")),
        ("erase", DriveFailed("it does not erase")),
        ("release", OSError(5, "Input/output error")),
        ("set_label", ChangerError("no")),
    ],
)
def test_what_fails_while_erasing_ends_no_dump(name: str, fault: Exception) -> None:
    """The next volume is tried, or the part ends; nothing is left reserved."""
    talk = Full(*(old(number) for number in range(1, 6)), blank=1, frees=30)
    talk.begin()
    talk.tell(file_write())
    talk.until("run")
    talk.moments.fail(name, fault)
    talk.settle()
    assert check_dump(talk, HANDLE, DATA, "/home") == "DONE"
    talk.quit()
    talk.check_sound()


@pytest.mark.parametrize("word", ["load", "erase", "tapelist update", "released"])
def test_quit_while_room_is_made(word: str) -> None:
    """The part ends where it is; all is told, logged and given back."""
    talk = Full(*(old(number) for number in range(1, 6)))
    talk.begin()
    talk.tell(file_write())
    talk.until("run")
    talk.step()
    talk.until(word)
    talk.quit()
    assert check_dump(talk, HANDLE, DATA, "/home") == "PARTIAL"
    talk.check_sound()


# erase-volume


def test_all_reusable_volumes_are_erased_before_the_first_scan() -> None:
    """Once, however many scans there are; active volumes and those of others are let be."""
    entries = [old(1), old(2), old(3, reuse=False), old(4, pool="OTHER"), old(5)]
    talk = Full(*entries, more="erase-volume yes")
    erased: list[str] = []

    async def erase(timestamp: str) -> None:
        erased.append(timestamp)
        await erase_reusable(talk.world, timestamp)

    scan = EraseFirst(talk.world.scan, erase)
    found: list[ScanResult] = []
    for _ in range(2):
        scan.scan(RUN).addCallback(found.append)
    talk.settle()
    assert erased == [RUN]
    assert talk.listed() == {
        "PROTO01": "0",
        "PROTO02": "0",
        **{entry.label: entry.datestamp for entry in entries[2:]},
    }
    assert [result.label for result in found] == ["PROTO01", "PROTO02"]
    assert [result.reservation.reading.timestamp for result in found] == ["X", "X"]
    assert [talk.tapes[slot].medium.label for slot in "12345"] == [e.label for e in entries]
    for result in found:
        result.reservation.release()
    talk.settle()
    assert talk.changer.reserved == []


def test_a_changer_that_cannot_be_looked_into_is_scanned_all_the_same() -> None:
    talk = Full(old(1), old(2), more="erase-volume yes")
    talk.changer.inventory_error = ChangerError("it is jammed", ChangerReason.UNKNOWN)
    scan = EraseFirst(talk.world.scan, lambda timestamp: erase_reusable(talk.world, timestamp))
    found: list[ScanResult] = []
    scan.scan(RUN).addCallback(found.append)
    talk.settle()
    assert "0" not in talk.listed().values()
    assert talk.logged("INFO taper cannot erase") == [
        "INFO taper cannot erase volumes: it is jammed"
    ]
    assert [result.label for result in found] == ["PROTO01"]


def test_erasing_can_be_stopped() -> None:
    """A cancelled scan leaves nothing reserved, wherever it was."""
    for steps in range(30):
        talk = Full(old(1), old(2), old(3), more="erase-volume yes")
        scan = EraseFirst(talk.world.scan, lambda ts, world=talk.world: erase_reusable(world, ts))  # type: ignore[misc]
        over: list[object] = []
        scanning = scan.scan(RUN).addBoth(over.append)
        for _ in range(steps):
            talk.step()
        scanning.cancel()
        talk.settle()
        assert len(over) == 1
        kept = [result.reservation for result in over if isinstance(result, ScanResult)]
        assert [held.slot for held in talk.changer.reserved] == [held.slot for held in kept]
