"""How volumes are let go: CLOSE-VOLUME, QUIT, set-no-reuse, erase-on-failure, eject-volume."""

from __future__ import annotations

import pytest

from devices.errors import ChangerError, DriveFailed, NotOnVolume
from protocols.tapelist import TapelistError
from tests.core.checking import check_dump
from tests.core.conversing import (
    HANDLE,
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

DATA = content(5000)


def idle(*tapes: Tape, more: str = "", **options: object) -> Conversation:
    options = {"dumps": {"HF": Dumped(DATA)}, "dumpers": [Dumped(DATA)], **options}
    talk = Conversation(*tapes, config=configuration(more=more), **options)  # type: ignore[arg-type]
    assert talk.say(START) == [f"TAPER-OK {WORKER} ALLOW-TAKE-SCRIBE-FROM"]
    return talk


def test_close_volume_finishes_and_the_next_dump_scans_first() -> None:
    """[protocol T23]."""
    talk = idle(Tape(), Tape())
    talk.say(file_write())
    assert talk.say(f"CLOSE-VOLUME {WORKER}") == [f"CLOSED-VOLUME {WORKER}"]
    assert talk.logged()[-1] == "INFO taper tape PROTO01 kb 4 fm 1 [OK]"
    assert talk.changer.released == [("1", False)]
    replies = talk.say(file_write("HF", "00-00002").replace("/home", "/b"))
    assert replies[:2] == [
        f"REQUEST-NEW-TAPE {WORKER} 00-00002",
        f"NEW-TAPE {WORKER} 00-00002 PROTO02",
    ]
    assert talk.logged("START")[-1].endswith("label PROTO02 tape 2")
    talk.quit()


def test_close_volume_keeps_a_mere_reservation() -> None:
    """It is what the next dump gets, without a new scan; it answers every time."""
    talk = idle(Tape())
    assert talk.say(f"CLOSE-VOLUME {WORKER}") == [f"CLOSED-VOLUME {WORKER}"]
    assert talk.say(f"CLOSE-VOLUME {WORKER}") == [f"CLOSED-VOLUME {WORKER}"]
    assert talk.changer.released == []
    scans = talk.moments.done.count("load")
    talk.say(file_write())
    assert check_dump(talk, HANDLE, DATA, "/home") == "DONE"
    assert talk.moments.done.count("load") == scans
    talk.quit()


def test_a_command_while_the_volume_is_being_closed_is_refused() -> None:
    talk = idle(Tape(), Tape())
    talk.say(file_write())
    talk.tell(f"CLOSE-VOLUME {WORKER}")
    talk.tell(file_write("HF", "00-00002"))
    assert "command not appropriate in state 'closing' : 'idle'" in talk.driver.lines[-1]
    talk.settle()
    assert talk.driver.lines[-1] == f"CLOSED-VOLUME {WORKER}"
    talk.quit()


def test_close_source_volume_is_answered() -> None:
    """Also before anything was vaulted [data-plane Q27]."""
    talk = idle(Tape())
    assert talk.say(f"CLOSE-SOURCE-VOLUME {WORKER}") == [f"CLOSED-SOURCE-VOLUME {WORKER}"]
    talk.quit()


FAULTS = [
    ("finish", DriveFailed("it does not rewind")),
    ("release", ChangerError("the door is shut")),
    ("release", OSError(28, "No space left on device")),
    ("log TapeInfo", OSError(28, "No space left on device")),
]


@pytest.mark.parametrize(("name", "fault"), FAULTS)
def test_a_volume_that_cannot_be_let_go_well_is_let_go(name: str, fault: Exception) -> None:
    """CLOSED-VOLUME all the same, and nothing is held."""
    talk = idle(Tape(), Tape())
    talk.say(file_write())
    talk.moments.fail(name, fault)
    assert talk.say(f"CLOSE-VOLUME {WORKER}") == [f"CLOSED-VOLUME {WORKER}"]
    assert talk.changer.reserved == []
    assert any(str(fault) in text for text in talk.debugged)
    talk.say(file_write("HF", "00-00002").replace("/home", "/b"))
    assert check_dump(talk, "00-00002", DATA, "/b") == "DONE"
    talk.quit()


def test_what_is_not_on_its_volume_is_told_in_the_trace_log() -> None:
    """Its dumps were told DONE; an operator must see to them."""
    talk = idle(Tape(), Tape())
    talk.say(file_write())
    talk.moments.fail("finish", NotOnVolume("the disc is bad; all is in the cache"))
    assert talk.say(f"CLOSE-VOLUME {WORKER}") == [f"CLOSED-VOLUME {WORKER}"]
    assert talk.logged()[-1] == "ERROR taper the disc is bad; all is in the cache"
    talk.quit()


def test_set_no_reuse_marks_the_volume() -> None:
    """Once it is let go; stock dies there [data-plane Q9]."""
    talk = idle(Tape(), more="set-no-reuse yes")
    talk.say(file_write())
    entry = talk.tapelists.store.tapelist.lookup("PROTO01")
    assert entry is not None
    assert entry.reuse
    talk.say(f"CLOSE-VOLUME {WORKER}")
    entry = talk.tapelists.store.tapelist.lookup("PROTO01")
    assert entry is not None
    assert (entry.datestamp, entry.reuse) == (RUN, False)
    talk.quit()
    talk.check_sound()


def test_a_label_that_left_the_tapelist_meanwhile_is_let_be() -> None:
    for more in ("set-no-reuse yes", "erase-on-failure yes"):
        talk = idle(Tape(), more=more, dumps={"HF": Dumped(b"", source_error="gone")})
        talk.say(file_write())
        store = talk.tapelists.store
        store.tapelist = store.tapelist.removing("PROTO01")
        assert talk.say(f"CLOSE-VOLUME {WORKER}") == [f"CLOSED-VOLUME {WORKER}"]
        assert not store.tapelist.entries
        talk.quit()


def test_a_volume_without_a_good_part_is_as_never_written() -> None:
    """erase-on-failure: no dump on the medium, and free in the tapelist [config 4.4]."""
    talk = idle(
        Tape(), more="erase-on-failure yes", dumps={"HF": Dumped(DATA, source_error="gone")}
    )
    talk.say(file_write())
    assert check_dump(talk, HANDLE, DATA, "/home") in ("FAILED", "PARTIAL")
    talk.say(f"CLOSE-VOLUME {WORKER}")
    (entry,) = talk.tapelists.store.tapelist.entries
    assert (entry.label, entry.datestamp, entry.reuse) == ("PROTO01", "0", True)
    assert (entry.storage, entry.config) == (None, None)
    medium = talk.tapes["1"].medium
    assert (medium.label, medium.timestamp, medium.files) == ("PROTO01", "X", {})
    talk.quit()


def test_a_volume_with_a_good_part_is_kept() -> None:
    talk = idle(Tape(), more="erase-on-failure yes")
    talk.say(file_write())
    talk.quit()
    assert talk.stored() == DATA
    assert talk.tapelists.store.tapelist.entries[0].datestamp == RUN


@pytest.mark.parametrize(
    ("more", "name", "fault"),
    [
        ("set-no-reuse yes", "tapelist update", TapelistError("line 3 is not well formed")),
        ("set-no-reuse yes", "tapelist update", OSError(5, "Input/output error")),
        ("erase-on-failure yes", "tapelist update", TapelistError("line 3 is not well formed")),
        ("erase-on-failure yes", "erase", DriveFailed("it does not erase")),
        ("erase-on-failure yes", "start", DriveFailed("it does not start")),
        ("erase-on-failure yes", "finish", DriveFailed("it does not finish")),
    ],
)
def test_the_slot_is_given_back_whatever_fails_before(
    more: str, name: str, fault: Exception
) -> None:
    talk = idle(Tape(), more=more, dumps={"HF": Dumped(DATA, source_error="gone")})
    talk.say(file_write())
    talk.moments.fail(name, fault)
    assert talk.say(f"CLOSE-VOLUME {WORKER}") == [f"CLOSED-VOLUME {WORKER}"]
    assert talk.changer.reserved == []
    assert any(str(fault) in text for text in talk.debugged)
    talk.quit()


def test_eject_volume() -> None:
    talk = idle(Tape(), more="eject-volume yes")
    talk.say(file_write())
    talk.quit()
    assert talk.changer.released == [("1", True)]


def test_one_volume_that_sticks_at_quit_does_not_hold_the_others() -> None:
    """All workers are waited for, and all slots given back."""
    talk = idle(Tape(), Tape(), Tape())
    talk.say(f"START-TAPER taper0 worker0-1 PROTO {RUN}", file_write())
    talk.say(file_write("HF", "01-00002", worker="worker0-1").replace("/home", "/b"))
    talk.moments.fail("finish", DriveFailed("it does not rewind"))
    talk.quit()
    assert sorted(talk.changer.released) == [("1", False), ("2", False)]
    assert len(talk.logged("INFO taper tape")) == 2
