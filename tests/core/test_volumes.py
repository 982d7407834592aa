"""Volumes in a conversation: spanning, retries, labelling, release, QUIT and CLOSE-VOLUME."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from attrs import evolve

from devices.errors import DeviceError, Status
from protocols.header import Header, HeaderType
from protocols.tapelist import Tapelist, TapelistEntry, TapelistError
from taper.core.splitting import DirectoryFacts
from tests.core.checking import check_dump, check_permissions
from tests.core.conversing import (
    HANDLE,
    RUN,
    START,
    WORKER,
    Conversation,
    configuration,
    content,
    file_write,
    masked,
    port_write,
    split_by,
)
from tests.core.stocked import Tape
from tests.core.surroundings import Dumped

BLOCK = 1000
DATA = content(9500)


def small(blocks: int = 10, **options: object) -> Tape:
    """A volume for so many blocks, label and file headers included."""
    return Tape(blocks * BLOCK, block_size=BLOCK, warning=1, **options)  # type: ignore[arg-type]


def idle(*tapes: Tape, data: bytes = DATA, **options: object) -> Conversation:
    options = {"dumps": {"HF": Dumped(data)}, "dumpers": [Dumped(data)], **options}
    talk = Conversation(*tapes, **options)  # type: ignore[arg-type]
    assert talk.say(START) == [f"TAPER-OK {WORKER} ALLOW-TAKE-SCRIBE-FROM"]
    return talk


# Spanning


def test_a_failed_part_is_written_again_from_the_holding_file() -> None:
    """[protocol T3]: PARTPARTIAL, the volume is let go, the same part comes first on the next."""
    talk = idle(small(leom=False), small(leom=False))
    talk.say(file_write(split=split_by(4000)))
    assert check_dump(talk, HANDLE, DATA, "/home") == "DONE"
    assert [line.split(" ")[0] for line in talk.logged()] == [
        "INFO",
        "START",
        "PART",
        "PARTPARTIAL",
        "INFO",
        "INFO",
        "INFO",
        "START",
        "PART",
        "PART",
        "DONE",
    ]
    assert talk.logged("PARTPARTIAL")[0].endswith(
        '2/-1 0 [3000 orig-kb 64] "No space left on device"'
    )
    assert talk.logged("INFO")[1:3] == [
        "INFO taper Will request retry of failed split part.",
        "INFO taper tape PROTO01 kb 3 fm 2 [OK]",
    ]
    talk.quit()


def test_with_leom_no_part_fails() -> None:
    """[protocol T4]: parts end early, all good, and go on where they stopped."""
    talk = idle(small(), small())
    talk.say(file_write(split=split_by(4000)))
    assert check_dump(talk, HANDLE, DATA, "/home") == "DONE"
    assert not talk.logged("PARTPARTIAL")
    talk.quit()


@pytest.mark.parametrize("cache", ["memory", "disk"])
def test_a_part_in_a_cache_is_written_again(cache: str, tmp_path: object) -> None:
    """A dump over TCP, no LEOM: from memory or disk onto the next volume."""
    split = f'"" "" "" 1 4000 {cache} {tmp_path} ""'
    talk = idle(small(leom=False), small(leom=False))
    talk.look.directories[str(tmp_path)] = DirectoryFacts(exists=True, free=1 << 30)
    talk.tell(port_write(split=split))
    talk.settle()
    talk.say(f"DONE {WORKER} {HANDLE} 1 1:1 2:2 00000000:0")
    assert check_dump(talk, HANDLE, DATA, "/var") == "DONE"
    assert talk.logged("PARTPARTIAL")
    talk.quit()


def test_a_cache_directory_that_is_missing_is_warned_of() -> None:
    talk = idle(Tape(leom=False))
    talk.say(port_write(split='"" "" "" 1 65536 disk /nowhere ""'))
    assert talk.logged("WARNING") == [
        "WARNING taper localhost:/var: part-cache-dir '/nowhere does not exist; "
        "using part cache type 'none'"
    ]
    talk.quit()


def test_without_cache_the_end_of_the_volume_is_fatal() -> None:
    """[protocol T12]: PARTIAL, splitting not enabled; the next dump asks for another volume."""
    talk = idle(small(leom=False), small(20))
    replies = talk.say(file_write(split='"" "" "" 0 "" "" "" ""'))
    assert masked(replies)[-1] == (
        f"PARTIAL {WORKER} {HANDLE} INPUT-GOOD TAPE-ERROR "
        '"00000000:0" "[0 orig-kb 64]" "" "No space left '
        'on device: more than MAX_VOLUME_USAGE bytes written, splitting not enabled"'
    )
    assert talk.say(file_write("HF", "00-00002").replace("/home", "/b"))[0].startswith("REQUEST")
    assert check_dump(talk, "00-00002", DATA, "/b") == "DONE"
    assert talk.logged("INFO taper tape") == ["INFO taper tape PROTO01 kb 0 fm 1 [OK]"]
    talk.quit()


def test_leom_without_splitting_keeps_what_was_written() -> None:
    talk = idle(small(), small())
    replies = talk.say(file_write(split='"" "" "" 0 "" "" "" ""'))
    assert replies[-1].endswith('"" "No space left on device, splitting not enabled"')
    assert check_dump(talk, HANDLE, DATA, "/home") == "PARTIAL"
    talk.quit()


def test_a_header_that_does_not_fit_is_no_part() -> None:
    """[protocol T5] done better: nothing is told of it, and its number is used on the next
    volume."""
    talk = idle(small(5, leom=False), small(20), data=content(1000))
    talk.say(file_write())
    assert check_dump(talk, HANDLE, content(1000), "/home") == "DONE"
    talk.tapes["1"].medium.capacity = 4 * BLOCK
    talk.say(file_write("HF", "00-00002", split_by(3000)).replace("/home", "/b"))
    assert check_dump(talk, "00-00002", content(1000), "/b") == "DONE"
    assert " PROTO02 1 localhost /b 20260101000000 1/-1 " in talk.logged("PART ")[-1]
    talk.quit()


@pytest.mark.parametrize("leom", [False, True])
def test_a_part_larger_than_any_volume_stops(leom: bool) -> None:
    """It does not go from volume to volume for ever [data-plane Q14]: two that took nothing
    without losing anything are enough, and one that failed."""
    talk = idle(*(small(2 if leom else 6, leom=leom) for _ in range(4)))
    talk.say(file_write(split=split_by(8000)))
    assert check_dump(talk, HANDLE, DATA, "/home") == ("FAILED" if leom else "PARTIAL")
    tried = 2 if leom else 1
    assert f"does not fit on the empty volume PROTO0{tried}" in talk.driver.lines[-1]
    assert talk.words().count("REQUEST-NEW-TAPE") == tried
    talk.quit()


def test_a_second_volume_of_another_block_size_is_refused_before_its_label_dies() -> None:
    """NO-NEW-TAPE, PARTIAL; the volume is not written [data-plane Q7]."""
    other = Tape(block_size=2000)
    talk = idle(small(), other)
    talk.say(file_write(split=split_by(4000)))
    assert check_dump(talk, HANDLE, DATA, "/home") == "PARTIAL"
    assert "must have the same block size" in talk.driver.lines[-1]
    assert other.medium.label is None
    check_permissions(talk)
    talk.quit()


def test_a_scan_that_finds_no_second_volume() -> None:
    """[protocol T9]: NO-NEW-TAPE, then PARTIAL TAPE-ERROR."""
    talk = idle(small())
    replies = talk.say(file_write(split=split_by(4000)))
    assert [line.split()[0] for line in replies[-3:]] == [
        "REQUEST-NEW-TAPE",
        "NO-NEW-TAPE",
        "PARTIAL",
    ]
    assert "INPUT-GOOD TAPE-ERROR" in replies[-1]
    assert replies[-1].endswith('"" "No acceptable volumes found"')
    check_dump(talk, HANDLE, DATA, "/home")
    # and it is looked for again when the next dump begins
    (reply,) = talk.say(file_write("HF", "00-00002"))
    assert reply == (
        f'FAILED {WORKER} 00-00002 INPUT-GOOD TAPE-ERROR "" '
        '"error; got_device failed: No acceptable volumes found"'
    )
    talk.quit()


def test_a_new_tape_without_a_scan_scans() -> None:
    """No START-SCAN is needed [data-plane Q17]."""
    talk = idle(small(), small(), granting=False)
    talk.say(file_write(split=split_by(4000)), f"NEW-TAPE {WORKER} {HANDLE}")
    talk.say(f"NEW-TAPE {WORKER} {HANDLE}")
    talk.say(f"NEW-TAPE {WORKER} {HANDLE}")
    assert check_dump(talk, HANDLE, DATA, "/home") == "DONE"
    talk.quit()


def test_a_second_permission_is_refused() -> None:
    talk = idle(Tape(), granting=False)
    talk.say(file_write())
    talk.tell(f"NEW-TAPE {WORKER} {HANDLE}")
    talk.tell(f"NEW-TAPE {WORKER} {HANDLE}")
    assert talk.driver.lines[-1].startswith("BAD-COMMAND")
    talk.settle()
    assert check_dump(talk, HANDLE, DATA, "/home") == "DONE"
    check_permissions(talk)
    talk.quit()


def test_a_device_error_in_a_part_ends_the_dump() -> None:
    wanted = {"finish_file"}
    talk = idle(Tape(faults=wanted.__contains__), Tape())
    talk.say(file_write())
    assert check_dump(talk, HANDLE, DATA, "/home") == "PARTIAL"
    assert talk.driver.lines[-1].endswith('"" "the fake filemark fails"')
    wanted.clear()
    talk.say(file_write("HF", "00-00002").replace("/home", "/b"))
    assert check_dump(talk, "00-00002", DATA, "/b") == "DONE"
    talk.quit()


def test_cancelled_while_a_part_is_written() -> None:
    """FAILED comes between two blocks: PARTPARTIAL with the true reason, PARTIAL, no waiting."""
    talk = idle(Tape(block_size=BLOCK), data=content(4_000_000))
    blocks: list[int] = []

    def fail_at_third() -> None:
        blocks.append(1)
        if len(blocks) == 3:
            talk.tell(f"FAILED {WORKER} {HANDLE}")

    talk.tapes["1"].at_write = fail_at_third
    talk.say(port_write())
    assert check_dump(talk, HANDLE, content(4_000_000), "/var") == "PARTIAL"
    assert '"dumper failed" ""' in talk.driver.lines[-1]
    assert talk.logged("PARTPARTIAL")[0].endswith('"dumper failed"')
    assert len(blocks) < 4000
    talk.quit()
    talk.check_sound()


def test_quit_while_a_part_is_written() -> None:
    """The part ends, all is logged, the volume is finished."""
    talk = idle(Tape(block_size=BLOCK), data=content(4_000_000))
    talk.tapes["1"].at_write = lambda: talk.tell("QUIT")
    talk.say(file_write())
    talk.check_released()
    assert check_dump(talk, HANDLE, content(4_000_000), "/home") == "PARTIAL"
    assert '"taper is quitting" ""' in talk.driver.lines[-1]
    assert talk.logged()[-1].startswith("INFO taper tape PROTO01 kb 0 fm 1")
    talk.check_sound()


def test_a_volume_that_failed_before_its_first_part_is_not_called_ok() -> None:
    """What amtoc would take for a volume with a dump on it."""
    talk = idle(Tape(faults={"start_file"}.__contains__))
    talk.say(file_write())
    assert check_dump(talk, HANDLE, DATA, "/home") == "FAILED"
    assert talk.say(f"CLOSE-VOLUME {WORKER}") == [f"CLOSED-VOLUME {WORKER}"]
    assert talk.logged("INFO taper tape") == [
        "INFO taper tape PROTO01 kb 0 fm 0 [the fake header fails]"
    ]
    talk.quit()


def test_a_volume_that_failed_after_a_part_is_told_as_ever() -> None:
    """amtoc shows what is on it."""
    failing = iter([False] * 5 + [True])
    talk = idle(small(faults=lambda what: what == "write" and next(failing)))
    talk.say(file_write(split=split_by(4000)))
    assert check_dump(talk, HANDLE, DATA, "/home") == "PARTIAL"
    talk.say(f"CLOSE-VOLUME {WORKER}")
    assert talk.logged("INFO taper tape") == ["INFO taper tape PROTO01 kb 3 fm 2 [OK]"]
    talk.quit()


def test_a_name_that_no_header_holds_whole_is_told_by_its_size() -> None:
    """The cut name and the whole one would look alike."""
    disk = "/" + "d" * 299
    there = Header(
        type=HeaderType.DUMPFILE,
        datestamp="20260101000000",
        host="localhost",
        disk=disk[:255],
        program="/usr/bin/tar",
    )
    talk = idle(Tape(), dumps={"HF": Dumped(DATA, header=there)})
    (reply,) = talk.say(file_write().replace("/home", disk))
    text = f"disk '/{'d' * 59}...' has 300 bytes, of which a header holds 255"
    assert reply == (
        f"FAILED {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD "
        f'"Header of dumpfile does not match command from driver: {text}" ""'
    )
    talk.quit()


# Labelling


def test_a_volume_that_cannot_be_labelled_is_told_and_the_next_one_asked_for() -> None:
    """[protocol T10]: NO-NEW-TAPE and REQUEST-NEW-TAPE; the tapelist keeps no trace of the
    first."""
    wanted = {"start"}
    talk = idle(Tape(faults=wanted.__contains__), Tape(), granting=False)
    talk.say(file_write())
    assert talk.say(f"NEW-TAPE {WORKER} {HANDLE}") == [
        f"NO-NEW-TAPE {WORKER} {HANDLE}",
        f"REQUEST-NEW-TAPE {WORKER} {HANDLE}",
    ]
    assert talk.tapelists.store.tapelist == Tapelist()
    assert talk.changer.told[0][1].status is Status.DEVICE_ERROR
    assert "INFO taper while labeling new volume: the fake drive does not start" in talk.logged()
    talk.say(f"START-SCAN {WORKER} {HANDLE}", f"NEW-TAPE {WORKER} {HANDLE}")
    assert check_dump(talk, HANDLE, DATA, "/home") == "DONE"
    assert talk.changer.released == [("1", False)]
    check_permissions(talk)
    talk.quit()


def test_a_label_that_may_be_on_the_volume_is_not_given_to_another() -> None:
    """The device fails when the label is there: the claim stays, the next volume gets another."""
    talk = idle(Tape(faults={"labelled"}.__contains__), Tape(), granting=False)
    talk.say(file_write())
    assert talk.say(f"NEW-TAPE {WORKER} {HANDLE}") == [
        f"NO-NEW-TAPE {WORKER} {HANDLE}",
        f"REQUEST-NEW-TAPE {WORKER} {HANDLE}",
    ]
    kept = talk.tapelists.store.tapelist.lookup("PROTO01")
    assert kept is not None
    assert (kept.datestamp, kept.reuse) == ("1", False)
    assert talk.logged("INFO taper label") == [
        "INFO taper label PROTO01 stays taken: slot 1 may hold it, "
        f"what is read there is label PROTO01 of {RUN}"
    ]
    talk.say(f"START-SCAN {WORKER} {HANDLE}", f"NEW-TAPE {WORKER} {HANDLE}")
    assert check_dump(talk, HANDLE, DATA, "/home") == "DONE"
    assert [tape.medium.label for tape in talk.tapes.values()] == ["PROTO01", "PROTO02"]
    talk.quit()
    talk.check_sound()


def test_a_label_stays_taken_while_nobody_knows_what_the_volume_bears() -> None:
    """The drive is gone when it is asked again."""
    talk = idle(Tape(faults={"start"}.__contains__), Tape(), granting=False)
    talk.say(file_write())
    talk.moments.fail("read_label", None, DeviceError("the drive is gone"))
    talk.say(f"NEW-TAPE {WORKER} {HANDLE}")
    assert talk.tapelists.store.tapelist.lookup("PROTO01") is not None
    assert talk.logged("INFO taper label")[0].endswith("is unknown (the drive is gone)")
    talk.quit()
    talk.check_sound()


def test_quit_does_not_wait_for_what_the_volume_bears() -> None:
    """Asking may take long, and is not needed to end."""
    talk = idle(Tape(faults={"start"}.__contains__), Tape(), granting=False)
    talk.say(file_write())
    talk.tell(f"NEW-TAPE {WORKER} {HANDLE}")
    talk.until("read_label", times=2)
    talk.quit()
    assert talk.tapelists.store.tapelist.lookup("PROTO01") is not None
    talk.check_sound()


def test_a_label_that_labelstr_does_not_match_is_never_written() -> None:
    """Others took the labels that would have matched since the scan looked."""
    config = configuration(autolabel='"PROTO%" any', more='labelstr "^PROTO[12]$"')
    talk = idle(Tape(), granting=False, config=config)
    talk.say(file_write())
    store = talk.tapelists.store
    for label in ("PROTO1", "PROTO2"):
        store.tapelist = store.tapelist.adding(TapelistEntry(datestamp="0", label=label))
    before = store.tapelist
    talk.say(f"NEW-TAPE {WORKER} {HANDLE}")
    assert talk.words()[-2:] == ["NO-NEW-TAPE", "REQUEST-NEW-TAPE"]
    assert talk.logged("INFO taper while") == [
        "INFO taper while labeling new volume: the new label 'PROTO3', made by autolabel "
        "'PROTO%', does not match labelstr '^PROTO[12]$'"
    ]
    assert (talk.tapes["1"].medium.label, store.tapelist) == (None, before)
    talk.quit()
    talk.check_sound()


def disturbed(change: Callable[[Conversation], object]) -> Conversation:
    """A permission for a known volume of which something changed since the scan."""
    known = TapelistEntry(
        datestamp="20250101000000", label="PROTO07", pool="PROTO", storage="PROTO", config="PROTO"
    )
    older = [evolve(known, label=f"PROTO{n}", datestamp=f"202502{n}000000") for n in (20, 21)]
    talk = idle(
        Tape(label="PROTO07", timestamp="20250101000000", barcode="B7"),
        entries=[known, *older],
        granting=False,
    )
    talk.say(file_write())
    change(talk)
    talk.say(f"NEW-TAPE {WORKER} {HANDLE}")
    return talk


def test_a_known_volume_is_labelled_again() -> None:
    talk = disturbed(lambda talk: None)
    assert check_dump(talk, HANDLE, DATA, "/home") == "DONE"
    entry = talk.tapelists.store.tapelist.lookup("PROTO07")
    assert entry is not None
    assert (entry.datestamp, entry.barcode) == (RUN, "B7")
    talk.quit()


def test_a_label_claimed_by_a_taper_that_died_is_free_again() -> None:
    """The blank volume of that barcode gets it; claims for other volumes stay."""
    claims = [
        TapelistEntry(
            datestamp="1", label=label, reuse=False, barcode=code, pool="PROTO", config="PROTO"
        )
        for label, code in (("PROTO01", "B1"), ("PROTO02", "B2"), ("PROTO03", None))
    ]
    talk = idle(small(20, barcode="B2"), entries=claims)
    talk.say(file_write())
    assert check_dump(talk, HANDLE, DATA, "/home") == "DONE"
    listed = {entry.label: entry.datestamp for entry in talk.tapelists.store.tapelist.entries}
    assert listed == {"PROTO01": "1", "PROTO02": RUN, "PROTO03": "1"}
    talk.quit()


def _claim(label: str, **facts: object) -> TapelistEntry:
    """What a taper leaves that died before it wrote the label."""
    owner = {"pool": "PROTO", "storage": "PROTO", "config": "PROTO"}
    return TapelistEntry(datestamp="1", label=label, reuse=False, **owner | facts)  # type: ignore[arg-type]


@pytest.mark.parametrize("scan", ["traditional", "lexical", "oldest"])
def test_a_label_that_the_slot_makes_is_free_again(scan: str) -> None:
    """A taper claimed it and died; who holds the slot now may have it, and other claims stay."""
    config = configuration(autolabel='"PROTO$2s" any', more=f'taperscan "{scan}"')
    claims = [_claim("PROTO01"), _claim("PROTO02")]
    talk = Conversation(small(20), config=config, entries=claims, dumps={"HF": Dumped(DATA)})
    talk.changer.global_space = True
    assert talk.say(START) == [f"TAPER-OK {WORKER} ALLOW-TAKE-SCRIBE-FROM"]
    talk.say(file_write())
    assert check_dump(talk, HANDLE, DATA, "/home") == "DONE"
    listed = {entry.label: entry.datestamp for entry in talk.tapelists.store.tapelist.entries}
    assert listed == {"PROTO01": RUN, "PROTO02": "1"}
    talk.quit()
    talk.check_sound()


def test_a_label_stays_claimed_where_volumes_move() -> None:
    """The volume that was in the slot, and may bear the label, can be in another one now."""
    config = configuration(autolabel='"PROTO$2s" any')
    talk = Conversation(small(20), config=config, entries=[_claim("PROTO01")])
    assert talk.say(START) == [f"TAPE-ERROR {WORKER} \"Label 'PROTO01' already exists\""]
    talk.quit()


def _entry_changes(**facts: object) -> Callable[[Conversation], None]:
    def change(talk: Conversation) -> None:
        store = talk.tapelists.store
        entry = store.tapelist.lookup("PROTO07")
        assert entry is not None
        store.tapelist = store.tapelist.replacing(evolve(entry, **facts))

    return change


def _entry_goes(talk: Conversation) -> None:
    talk.tapelists.store.tapelist = talk.tapelists.store.tapelist.removing("PROTO07")


def _medium_changes(talk: Conversation) -> None:
    talk.tapes["1"].medium.label = "PROTO99"


def _medium_goes(talk: Conversation) -> None:
    talk.tapes["1"].medium.label = None


CHANGES = {
    "written by another run": _entry_changes(datestamp="20260531000000"),
    "no-reuse": _entry_changes(reuse=False),
    "of another pool": _entry_changes(pool="other"),
    "of another config": _entry_changes(config="other"),
    "another barcode": _entry_changes(barcode="B8"),
    "no longer listed": _entry_goes,
    "another volume": _medium_changes,
    "erased": _medium_goes,
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_changed_since_the_scan_is_seen_before_the_label_is_written(what: str) -> None:
    """NO-NEW-TAPE; the volume is as it was, the tapelist too."""
    before: list[object] = []

    def change(talk: Conversation) -> None:
        CHANGES[what](talk)
        before.append((talk.tapelists.store.tapelist, talk.tapes["1"].medium.label))

    talk = disturbed(change)
    assert talk.words()[-2:] == ["NO-NEW-TAPE", "REQUEST-NEW-TAPE"]
    assert (talk.tapelists.store.tapelist, talk.tapes["1"].medium.label) == before[0]
    assert talk.tapes["1"].medium.timestamp == "20250101000000"
    assert talk.changer.reserved == []
    talk.say(f'NO-NEW-TAPE {WORKER} {HANDLE} "taper found no tape"')
    assert check_dump(talk, HANDLE, DATA, "/home") == "FAILED"
    talk.quit()
    talk.check_sound()


@pytest.mark.parametrize(
    "fault", [TapelistError("line 3: not well formed"), OSError(5, "Input/output error")]
)
@pytest.mark.parametrize("which", [0, 1])
def test_a_tapelist_that_cannot_be_changed_is_no_permission(fault: Exception, which: int) -> None:
    """The claim of a new label fails, or the entry after labelling: NO-NEW-TAPE with the reason."""
    talk = idle(Tape(), Tape(), granting=False)
    talk.say(file_write())
    talk.moments.fail("tapelist update", *[None] * which, fault)
    assert talk.say(f"NEW-TAPE {WORKER} {HANDLE}") == [
        f"NO-NEW-TAPE {WORKER} {HANDLE}",
        f"REQUEST-NEW-TAPE {WORKER} {HANDLE}",
    ]
    assert f"while labeling new volume: {fault}" in talk.logged("INFO taper while")[0]
    talk.say(f"NEW-TAPE {WORKER} {HANDLE}")
    assert check_dump(talk, HANDLE, DATA, "/home") == "DONE"
    talk.quit()
