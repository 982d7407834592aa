"""chg-ndmp and the single ndmp drive, on ndmjob's simulated library, beside stock programs."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from devices.asynchronous import open_changer
from devices.context import DeviceContext
from devices.errors import ChangerError, ChangerReason, Status
from devices.interfaces import (
    AccessMode,
    IAsyncChanger,
    IAsyncDevice,
    IAsyncReservation,
    IDeviceFacts,
    LoadRequest,
    Relative,
    SlotState,
)
from devices.lane import Lane
from protocols.conf import Config, load
from protocols.perldata import parse_perl_data
from tests.fakes.ndmjob import NDMJOB, NdmJob, give_to_dump_user
from tests.fakes.turning import Turning, turning_reactor
from tests.namespace import Namespace, missing

AMTAPE, AMLABEL = "/usr/sbin/amtape", "/usr/sbin/amlabel"
_REASON = missing(NDMJOB, AMTAPE, AMLABEL)
pytestmark = [pytest.mark.system, pytest.mark.skipif(_REASON is not None, reason=_REASON or "")]

STAMP = "20260102030405"


class Library:
    """A library with ten slots and two drives, a configuration for it, and a changer of ours."""

    def __init__(self, namespace: Namespace, job: NdmJob, turning: Turning) -> None:
        self.namespace = namespace
        self.turning = turning
        self.job = job
        self.state_path = job.directory / "changer-state"
        where = f"127.0.0.1:{job.port}@{job.directory}"
        self.state_path.touch()
        give_to_dump_user(self.state_path)  # else stock takes our file for a busy one
        self.text = f"""
org "NDMP"
mailto ""
dumpcycle 0
tapecycle 4
autolabel "NDMP-%%" any
labelstr "^NDMP-[0-9][0-9]*$"
tpchanger "lib"
tapetype SMALL
define tapetype SMALL {{
    length 10 mbytes
}}
define changer lib {{
    tpchanger "chg-ndmp:{where}"
    property "tape-device" "0=ndmp:{where}/drive0"
    property append "tape-device" "1=ndmp:{where}/drive1"
    property "status-interval" "0"
    device-property "indirect" "FALSE"
    changerfile "{self.state_path}"
}}
define changer drive {{
    tpchanger "chg-single:ndmp:{where}/drive0"
}}
"""
        namespace.write("/etc/amanda/NDMP/amanda.conf", self.text)
        namespace.write("/etc/amanda/NDMP/tapelist", "")
        namespace.write("/etc/amanda/NDMP/disklist", "")
        self.config = self._load()
        self.changer = self.open("lib")

    def _load(self) -> Config:
        loaded = load(
            "NDMP", lambda path: self.namespace.path(path).read_bytes(), config_root="/etc/amanda"
        )
        assert not [message for message in loaded.messages if message.level == "error"]
        return loaded.config

    def open(self, name: str) -> Any:
        reactor = self.turning.reactor
        context = DeviceContext(reactor, lambda lane: Lane(reactor, lane), 20)
        storage = self.config.storages()[0]
        return open_changer(name, self.config, storage, context)

    def load(self, **request: Any) -> Any:
        return self.turning.wait(self.changer.load(LoadRequest(**request)))

    def amtape(self, *arguments: str) -> str:
        return self.namespace.run(AMTAPE, "NDMP", *arguments).stdout

    def state(self) -> dict[str, Any]:
        return parse_perl_data(self.state_path.read_bytes())

    def label(self, slot: str, label: str) -> None:
        reservation = self.load(slot=slot)
        self.turning.wait(reservation.device.start(AccessMode.WRITE, label, STAMP))
        self.turning.wait(reservation.set_label(label))
        self.turning.wait(reservation.release())


@pytest.fixture
def library() -> Iterator[Library]:
    namespace = Namespace()
    try:
        with NdmJob(command=namespace.command) as job, turning_reactor() as turning:
            library = Library(namespace, job, turning)
            yield library
            turning.wait(library.changer.close())
            assert not list(Path(job.directory).glob("*.lck"))
    finally:
        namespace.close()


def test_it_is_an_asynchronous_changer(library: Library) -> None:
    """Changer, reservation and device keep to their interfaces; the library has twelve slots."""
    assert verifyObject(IAsyncChanger, library.changer)
    info = library.turning.wait(library.changer.info())
    assert info.num_slots == len(info.slots) == 12
    assert info.fast_search
    reservation = library.load(slot="3")
    assert verifyObject(IAsyncReservation, reservation)
    assert verifyObject(IAsyncDevice, reservation.device)
    assert verifyObject(IDeviceFacts, reservation.device.facts)
    assert reservation.reading.status is Status.VOLUME_UNLABELED
    assert not reservation.device.facts.properties.flag("indirect")
    library.turning.wait(reservation.release())


def test_volumes_are_loaded_held_and_given_back(library: Library) -> None:
    """Two drives hold two volumes; a third load, or one of a held volume, is refused."""
    first, second = library.load(slot="3"), library.load(slot="4")
    with pytest.raises(ChangerError, match="no drives available") as caught:
        library.load(slot="5")
    assert caught.value.reason is ChangerReason.DRIVEINUSE
    with pytest.raises(ChangerError, match=r"the requested volume is in use \(drive 0\)"):
        library.load(slot="3")
    library.turning.wait(first.release())
    library.turning.wait(first.release())
    third = library.load(slot="5")
    library.turning.wait(second.release(eject=True))
    library.turning.wait(third.release())
    loaded = {
        entry.slot: entry.loaded_in
        for entry in library.turning.wait(library.changer.inventory())
        if entry.loaded_in is not None
    }
    assert loaded == {"5": "0"}


@pytest.mark.parametrize(
    ("request_", "text", "reason"),
    [
        (LoadRequest(slot="99"), "invalid slot '99'", ChangerReason.INVALID),
        (LoadRequest(slot="x"), "invalid slot 'x'", ChangerReason.INVALID),
        (LoadRequest(label="NO"), "label 'NO' not recognized or not found", ChangerReason.NOTFOUND),
        (
            LoadRequest(slot="3", except_slots=frozenset({"3"})),
            "all slots have been loaded",
            ChangerReason.NOTFOUND,
        ),
        (LoadRequest(slot="1"), "slot 1 is empty", ChangerReason.EMPTY),
    ],
)
def test_what_cannot_be_loaded(
    library: Library, request_: LoadRequest, text: str, reason: ChangerReason
) -> None:
    """Errors carry stock's texts and reasons."""
    with pytest.raises(ChangerError) as caught:
        library.turning.wait(library.changer.load(request_))
    assert (caught.value.message, caught.value.reason) == (text, reason)


def test_a_scan_walks_the_full_slots_and_ends(library: Library) -> None:
    """Current, then next after next, until all have been seen."""
    seen: list[str] = []
    request = LoadRequest(relative=Relative.CURRENT)
    while True:
        reservation = library.turning.settle(library.changer.load(request))
        if isinstance(reservation, Failure):
            assert str(reservation.value) == "all slots have been loaded"
            break
        seen.append(reservation.slot)
        library.turning.wait(reservation.release())
        request = LoadRequest(
            relative=Relative.NEXT, after=reservation.slot, except_slots=frozenset(seen)
        )
    full = [
        entry.slot
        for entry in library.turning.wait(library.changer.inventory())
        if entry.state is SlotState.FULL
    ]
    assert seen == full
    assert len(seen) == 10


def test_stock_knows_what_we_wrote_and_we_what_stock_wrote(library: Library) -> None:
    """Labels, inventory and the state file go back and forth between amtape, amlabel and us."""
    library.label("3", "NDMP-07")
    shown = library.amtape("inventory")
    assert re.search(r"slot 3: label NDMP-07 .*\(in drive 0\)", shown), shown
    done = library.namespace.run(AMLABEL, "NDMP", "NDMP-08", "slot", "4").stdout
    assert "Success!" in done, done
    entries = {entry.slot: entry for entry in library.turning.wait(library.changer.inventory())}
    assert entries["3"].label == "NDMP-07"
    assert entries["4"].label == "NDMP-08"
    assert entries["4"].barcode
    reservation = library.load(label="NDMP-08")
    assert reservation.slot == "4"
    assert reservation.reading.label == "NDMP-08"
    state = library.state()
    drive = state["drives"][str(state["slots"]["4"]["loaded_in"])]
    assert drive["res_info"]["pid"] == os.getpid()
    library.turning.wait(reservation.release())
    assert "slot   4" in (shown := library.amtape("label", "NDMP-08")), shown
    assert library.turning.wait(library.changer.inventory())[3].current


def test_stock_accepts_our_state_file(library: Library) -> None:
    """After ours wrote the state, every stock look at it works, and ours reads stock's again."""
    library.label("5", "NDMP-01")
    for arguments in (("inventory",), ("current",), ("slot", "next"), ("update",), ("reset",)):
        done = library.namespace.run(AMTAPE, "NDMP", *arguments)
        assert done.returncode == 0, done.stdout
    library.turning.wait(library.changer.update("6-7"))
    library.turning.wait(library.changer.update("error"))
    library.turning.wait(library.changer.move("5", "1"))
    said = library.amtape("inventory")
    assert re.search("slot 1: label NDMP-01", said), said
    assert re.search("slot 5: empty", said), said
    library.turning.wait(library.changer.reset())
    assert library.state()["slots"]["1"]["label"] == "NDMP-01"


def test_ejecting_and_updating(library: Library) -> None:
    """A drive must be named where there are two; an update can record and forget a label."""
    library.label("3", "NDMP-02")
    with pytest.raises(ChangerError, match="no drive specified"):
        library.turning.wait(library.changer.eject())
    with pytest.raises(ChangerError, match="invalid drive '7'"):
        library.turning.wait(library.changer.eject("7"))
    library.turning.wait(library.changer.eject("0"))
    library.turning.wait(library.changer.update("3="))
    assert library.turning.wait(library.changer.inventory())[2].label is None
    library.turning.wait(library.changer.update("4=NDMP-05"))
    assert library.turning.wait(library.changer.inventory())[3].label == "NDMP-05"
    with pytest.raises(ChangerError, match="Found unlabeled tape while looking for 'NDMP-05'"):
        library.load(label="NDMP-05")


def test_a_server_that_is_gone_fails_the_operation(library: Library) -> None:
    """Without a server every operation fails with the reason, and nothing stays locked."""
    library.job.stop()
    with pytest.raises(ChangerError, match="connect failed: ") as caught:
        library.load(slot="3")
    assert caught.value.reason is ChangerReason.INVALID
    with pytest.raises(ChangerError, match="connect failed: "):
        library.turning.wait(library.changer.inventory())


def test_one_drive_without_a_robot(library: Library) -> None:
    """chg-single and a bare device name work for an asynchronous device too."""
    library.turning.wait(library.load(slot="3").release())
    where = f"ndmp:127.0.0.1:{library.job.port}@{library.job.directory}/drive0"
    for name in ("drive", where):
        changer = library.open(name)
        assert verifyObject(IAsyncChanger, changer)
        reservation = library.turning.wait(changer.load(LoadRequest(relative=Relative.CURRENT)))
        assert reservation.slot == "1"
        with pytest.raises(ChangerError, match="is already reserved"):
            library.turning.wait(changer.load(LoadRequest(slot="1")))
        library.turning.wait(reservation.device.start(AccessMode.WRITE, "ONE", STAMP))
        library.turning.wait(changer.close())
        assert reservation.device.facts.access_mode is AccessMode.NULL
