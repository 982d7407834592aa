"""Conversations of the plain kind, and those in which something is refused or denied."""

from __future__ import annotations

import errno

import pytest
from zope.interface.verify import verifyObject

from devices.interfaces import IAsyncChanger, IAsyncDevice, IAsyncReservation, ILane, LoadRequest
from protocols.driver.codec import decode_command
from protocols.header import Header, HeaderType
from taper.core.errors import DeviceFault, SourceFault
from taper.core.interfaces import (
    IConsole,
    IDriver,
    IFlow,
    IFlows,
    IHistory,
    ILook,
    IOrigins,
    IStatusFile,
    IStatusFiles,
    ITapelistStore,
    ITraceLog,
)
from taper.core.splitting import CacheKind, Mode, SplitPlan
from taper.flow.interfaces import IBlockOrigin, IConnectingOrigin
from tests.core.checking import check_dump, check_permissions
from tests.core.conversing import (
    HANDLE,
    RUN,
    START,
    WORKER,
    Conversation,
    configuration,
    content,
    crc_text,
    file_write,
    mask,
    masked,
    port_write,
    shm_write,
    split_by,
)
from tests.core.steps import StepLane
from tests.core.stocked import Tape
from tests.core.surroundings import Dumped

DATA = content(100_000)
NOT_ANY = configuration(autolabel='"PROTO%%"')


def idle(*tapes: Tape, **options: object) -> Conversation:
    """A worker that waits for its first dump, of the file HF or by port."""
    options = {"dumps": {"HF": Dumped(DATA)}, "dumpers": [Dumped(DATA)], **options}
    talk = Conversation(*(tapes or (Tape(), Tape())), **options)  # type: ignore[arg-type]
    assert talk.say(START) == [f"TAPER-OK {WORKER} ALLOW-TAKE-SCRIBE-FROM"]
    return talk


def test_the_fakes_keep_their_promises() -> None:
    talk = Conversation(Tape(), dumpers=[Dumped()])
    plan = SplitPlan(
        part_size=0,
        block_size=32768,
        buffer_size=32768,
        mode=Mode.SPLITTER,
        cache=CacheKind.NONE,
        allow_split=False,
        retry=False,
        debug_text="",
    )
    loading = talk.changer.load(LoadRequest(slot="1"))
    creating = talk.status.create(lambda: 0)
    talk.settle()
    verifyObject(IDriver, talk.driver)
    verifyObject(ITraceLog, talk.log)
    verifyObject(IConsole, talk.console)
    verifyObject(ITapelistStore, talk.tapelists)
    verifyObject(IHistory, talk.world.history)
    verifyObject(IStatusFiles, talk.status)
    verifyObject(IStatusFile, creating.result)
    verifyObject(IOrigins, talk.origins)
    verifyObject(IFlows, talk.world.flows)
    verifyObject(ILook, talk.look)
    for command, interfaces in (
        (file_write(), [IBlockOrigin]),
        (port_write(), [IBlockOrigin, IConnectingOrigin]),
        (port_write(path="DIRECTTCP"), [IConnectingOrigin]),
        (shm_write(), [IBlockOrigin]),
    ):
        talk.origins.dumpers.append(Dumped())
        message = decode_command(command.encode())
        origin = talk.origins.of(message, lambda: None)  # type: ignore[arg-type, return-value]
        for interface in interfaces:
            verifyObject(interface, origin)
        assert IBlockOrigin.providedBy(origin) is (IBlockOrigin in interfaces)
        if IBlockOrigin in interfaces:
            flow = talk.world.flows.between(origin, loading.result.device, plan)  # type: ignore[attr-defined]
            verifyObject(IFlow, flow)
            flow.close()
    verifyObject(IAsyncChanger, talk.changer)
    verifyObject(IAsyncReservation, loading.result)
    verifyObject(IAsyncDevice, loading.result.device)  # type: ignore[attr-defined]
    verifyObject(ILane, StepLane(talk.moments, "x"))
    talk.settle()


def test_a_holding_file_onto_one_volume() -> None:
    """The whole of a simple dump: replies, trace log, stderr, tapelist."""
    talk = idle()
    assert masked(talk.say(file_write())) == [
        f"REQUEST-NEW-TAPE {WORKER} {HANDLE}",
        f"NEW-TAPE {WORKER} {HANDLE} PROTO01",
        f"READY {WORKER} {HANDLE}",
        f'PARTDONE {WORKER} {HANDLE} PROTO01 1 97 "[100000 orig-kb 64]"',
        f"DONE {WORKER} {HANDLE} INPUT-GOOD TAPE-GOOD "
        f'"{crc_text(DATA)}" "[100000 orig-kb 64]" "" ""',
    ]
    assert talk.stored() == DATA
    assert talk.console.lines == [
        f"taper: status file taper0 {WORKER} localhost /home:/tmp/amanda/taper_status_file_1",
        "taper: wrote label 'PROTO01'",
    ]
    (entry,) = talk.tapelists.store.tapelist.entries
    assert (entry.label, entry.datestamp, entry.reuse) == ("PROTO01", RUN, True)
    assert (entry.blocksize, entry.pool, entry.storage, entry.config) == (32, *["PROTO"] * 3)
    assert talk.quit() == []
    assert talk.logged()[-1] == "INFO taper tape PROTO01 kb 97 fm 1 [OK]"
    talk.check_sound()


def test_the_log_line_comes_before_the_reply() -> None:
    """PARTDONE and DONE are sent only when their trace-log lines are written; the last part's line
    is written with that of the end."""
    talk = idle()
    talk.tell(file_write(split=split_by(65536)))
    talk.until("log Part")
    assert "PARTDONE" not in talk.words()
    talk.moments.step()
    assert talk.words()[-1] == "PARTDONE"
    talk.until("log Done")
    assert talk.words().count("PARTDONE") == 1
    talk.moments.step()
    assert talk.words()[-3:] == ["PARTDONE", "PARTDONE", "DONE"]
    assert [line.split()[0] for line in talk.logged()][-3:] == ["PART", "PART", "DONE"]


def test_the_worker_is_free_the_moment_the_result_is_sent() -> None:
    """The driver answers DONE with the next command at once."""
    talk = idle()
    talk.tell(file_write())
    talk.until_reply("DONE")
    talk.tell(f"CLOSE-VOLUME {WORKER}")
    talk.settle()
    assert talk.driver.lines[-1] == f"CLOSED-VOLUME {WORKER}"
    talk.quit()


def test_a_dump_over_tcp() -> None:
    """PORT at once; the dumper's checksums go to the log; its DONE ends the dump."""
    talk = idle()
    talk.tell(port_write())
    assert talk.driver.lines[-1] == f'PORT {WORKER} {HANDLE} 40000 "127.0.0.1:40001"'
    talk.settle()
    assert talk.words()[-2:] == ["PARTDONE", "DUMPER-STATUS"]
    assert " orig-kb" not in talk.driver.lines[-2]
    (reply,) = talk.say(f"DONE {WORKER} {HANDLE} 98 11111111:1 22222222:2 00000000:0")
    assert mask(reply).endswith('"[100000 orig-kb 98]" "" ""')
    crc = crc_text(DATA)
    assert talk.logged("DONE") == [
        'DONE taper "ST:PROTO" "POOL:PROTO" localhost /var 20260101000000 1 0 '
        f"11111111:1 22222222:2 {crc} [100000 orig-kb 98]"
    ]
    check_dump(talk, HANDLE, DATA, "/var")
    talk.quit()


def test_a_done_that_comes_early_is_not_asked_for() -> None:
    """Its checksums count more than the header's [data-plane 5.2]."""
    talk = idle()
    talk.tell(port_write())
    talk.say(f"DONE {WORKER} {HANDLE} 98 11111111:1 22222222:2 00000000:0")
    assert "DUMPER-STATUS" not in talk.words()
    assert "11111111:1 22222222:2" in talk.logged("DONE")[0]
    talk.quit()


def test_a_dumper_that_failed_after_its_data_is_done_and_logged_partial() -> None:
    """The driver hears DONE, the trace log PARTIAL without a message [protocol T15]."""
    talk = idle()
    talk.say(port_write())
    (reply,) = talk.say(f"FAILED {WORKER} {HANDLE}")
    assert reply.startswith(f"DONE {WORKER} {HANDLE} INPUT-GOOD TAPE-GOOD")
    (line,) = talk.logged("PARTIAL")
    assert line.endswith("[100000]")
    assert talk.say(f"FAILED {WORKER} {HANDLE}", f"DONE {WORKER} {HANDLE} 1 1:1 1:1 1:1") == []
    talk.quit()


def test_a_partial_holding_file_is_done_and_logged_partial() -> None:
    header = Header(
        type=HeaderType.DUMPFILE,
        datestamp="20260101000000",
        host="localhost",
        program="/usr/bin/tar",
        disk="/home",
        is_partial=True,
    )
    talk = idle(dumps={"HF": Dumped(DATA, header=header)})
    assert talk.say(file_write())[-1].startswith(f"DONE {WORKER} {HANDLE} INPUT-GOOD TAPE-GOOD")
    assert not talk.logged("DONE")
    assert talk.logged("PARTIAL")[0].endswith("orig-kb 64]")
    talk.quit()


def test_done_and_failed_mean_nothing_to_a_holding_file() -> None:
    talk = idle()
    talk.tell(file_write())
    talk.say(f"FAILED {WORKER} {HANDLE}", f"DONE {WORKER} {HANDLE} 98 1:1 2:2 3:3")
    assert check_dump(talk, HANDLE, DATA, "/home") == "DONE"
    talk.quit()


def test_results_for_another_handle_or_an_idle_worker_are_ignored() -> None:
    talk = idle()
    assert talk.say(f"FAILED {WORKER} {HANDLE}", f"DONE {WORKER} {HANDLE} 98 1:1 2:2 3:3") == []
    talk.tell(port_write())
    talk.say(f"FAILED {WORKER} 00-00077")
    assert talk.words()[-1] == "DUMPER-STATUS"
    talk.say(f"DONE {WORKER} 00-00077 98 1:1 2:2 3:3")
    assert talk.words()[-1] == "DUMPER-STATUS"
    talk.quit()


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("host", "other", "host is 'other', expected 'localhost'"),
        ("disk", "/x", "disk is '/x', expected '/home'"),
        ("level", 1, "level is '1', expected '0'"),
        ("datestamp", "20260101000001", "datestamp is '20260101000001', expected"),
        ("type", HeaderType.EMPTY, "not that of a dump"),
        ("type", HeaderType.TAPESTART, "not that of a dump"),
        ("program", "", "cannot be put on a volume: program is ''"),
    ],
)
def test_a_header_of_another_dump_fails_this_one_only(field: str, value: object, text: str) -> None:
    """FAILED with INPUT-ERROR; no volume is asked for; the next dump goes well."""
    facts: dict[str, object] = {
        "type": HeaderType.DUMPFILE,
        "datestamp": "20260101000000",
        "host": "localhost",
        "disk": "/home",
        field: value,
    }
    wrong = Header(**facts)  # type: ignore[arg-type]
    talk = idle(dumps={"BAD": Dumped(DATA, header=wrong), "HF": Dumped(DATA)})
    (reply,) = talk.say(file_write("BAD"))
    assert reply.startswith(f"FAILED {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD")
    assert text in reply
    talk.say(file_write("HF", "00-00002").replace("/home", "/next"))
    assert check_dump(talk, "00-00002", DATA, "/next") == "DONE"
    talk.quit()
    talk.check_sound()


def test_a_missing_holding_file() -> None:
    talk = idle()
    (reply,) = talk.say(file_write("MISSING"))
    assert reply.startswith(f"FAILED {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD")
    assert talk.logged("FAIL")
    talk.quit()


def test_ports_that_cannot_be_opened_are_the_servers_fault() -> None:
    broken = Dumped(offer_error=DeviceFault("cannot listen on localhost: No file"))
    talk = idle(dumpers=[broken])
    (reply,) = talk.say(port_write())
    assert reply == (
        f'FAILED {WORKER} {HANDLE} INPUT-GOOD TAPE-ERROR "" "cannot listen on localhost: No file"'
    )
    talk.quit()


def test_directtcp_is_refused_for_a_device_that_has_none() -> None:
    talk = idle()
    (reply,) = talk.say(port_write(path="DIRECTTCP"))
    assert reply == (
        f"FAILED {WORKER} {HANDLE} INPUT-GOOD TAPE-ERROR "
        '"" "error; Can\'t dump DIRECTTCP data-path dle '
        "to a device ('fake:1') that doesn't support it\""
    )
    talk.quit()


def test_a_wrong_server_crc_is_an_input_error() -> None:
    """[protocol T13]: all is stored, and the driver is told PARTIAL."""
    from protocols.crc import Crc

    header = Header(
        type=HeaderType.DUMPFILE,
        datestamp="20260101000000",
        host="localhost",
        disk="/home",
        program="/usr/bin/tar",
        server_crc=Crc(0x12345678, 100_000),
    )
    talk = idle(dumps={"HF": Dumped(DATA, header=header)})
    reply = talk.say(file_write())[-1]
    assert reply.startswith(f"PARTIAL {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD")
    assert "and input server crc (12345678:100000) differ)" in reply
    assert "12345678:100000 [" in talk.logged("PARTIAL")[0]
    talk.quit()


def test_a_source_that_breaks_midway_keeps_the_good_parts() -> None:
    """PARTIAL, INPUT-ERROR with the reason; the parts before it are told and stored."""
    broken = Dumped(DATA, source_error="while reading holding file: Input/output error")
    talk = idle(dumps={"HF": broken})
    replies = talk.say(file_write(split=split_by(32768)))
    assert [line.split()[0] for line in replies].count("PARTDONE") == 3
    assert replies[-1].startswith(f"PARTIAL {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD")
    assert replies[-1].endswith('"while reading holding file: Input/output error" ""')
    assert check_dump(talk, HANDLE, DATA, "/home") == "PARTIAL"
    talk.quit()


def test_a_data_connection_that_never_comes_ends_while_a_volume_is_asked_for() -> None:
    """The request is withdrawn; an answer that crosses it gets its one reply."""
    talk = idle(dumpers=[Dumped(DATA)], granting=False)
    talk.tell(port_write())
    talk.until("data")
    talk.moments.fail("data", SourceFault("Error accepting incoming connection: timed out"))
    talk.settle()
    assert talk.words()[-2:] == ["REQUEST-NEW-TAPE", "FAILED"]
    assert "INPUT-ERROR TAPE-GOOD" in talk.driver.lines[-1]
    assert talk.say(f"NEW-TAPE {WORKER} {HANDLE}") == [f"NO-NEW-TAPE {WORKER} {HANDLE}"]
    (reply,) = talk.say(f"NEW-TAPE {WORKER} {HANDLE}")
    assert reply.startswith("BAD-COMMAND")
    check_permissions(talk)
    talk.quit()


def test_a_denial_that_crosses_the_end_is_nobodys_mistake() -> None:
    talk = idle(granting=False)
    talk.say(port_write())
    talk.say(f"FAILED {WORKER} {HANDLE}")
    assert talk.words()[-1] == "FAILED"
    assert talk.say(f"NO-NEW-TAPE {WORKER} {HANDLE} sorry") == []
    talk.quit()


@pytest.mark.parametrize("reason", ["sorry", "taperflush criteria not met", '""'])
def test_a_denial_at_the_first_request(reason: str) -> None:
    """[protocol T6]: FAILED TAPE-CONFIG; the reservation goes back; the next dump scans again."""
    talk = idle(granting=False)
    talk.say(file_write())
    given = reason if reason == '""' or " " not in reason else f'"{reason}"'
    (reply,) = talk.say(f"NO-NEW-TAPE {WORKER} {HANDLE} {given}")
    assert reply == f'FAILED {WORKER} {HANDLE} INPUT-GOOD TAPE-CONFIG "" {given}'
    assert talk.changer.reserved == []
    plain = "" if reason == '""' else reason
    assert talk.logged("ERROR") == [f"ERROR taper no-tape config [{plain}]"]
    assert talk.logged("FAIL")[0].split()[8] == "config"
    assert talk.say(file_write()) == [f"REQUEST-NEW-TAPE {WORKER} {HANDLE}"]
    assert len(talk.changer.reserved) == 1
    talk.quit()


def test_a_denial_after_a_part() -> None:
    """[protocol T7]: PARTIAL TAPE-CONFIG with what is stored."""
    talk = idle(Tape(10 * 32768, leom=False), Tape(), granting=False)
    talk.origins.dumps["HF"] = Dumped(content(500_000))
    talk.say(file_write(split=split_by(131072)), f"NEW-TAPE {WORKER} {HANDLE}")
    assert talk.say(f"NEW-TAPE {WORKER} {HANDLE}")[-1] == f"REQUEST-NEW-TAPE {WORKER} {HANDLE}"
    (reply,) = talk.say(f'NO-NEW-TAPE {WORKER} {HANDLE} "no more"')
    assert reply.startswith(f"PARTIAL {WORKER} {HANDLE} INPUT-GOOD TAPE-CONFIG")
    assert check_dump(talk, HANDLE, content(500_000), "/home") == "PARTIAL"
    talk.quit()


def test_no_volume_at_the_start() -> None:
    """[protocol T8]: TAPE-ERROR; writes are refused; a new START-TAPER may try again."""
    talk = Conversation(Tape(label="ALIEN", timestamp="20250101000000"), config=NOT_ANY)
    assert talk.say(START) == [f'TAPE-ERROR {WORKER} "No acceptable volumes found"']
    assert talk.logged("ERROR") == ["ERROR taper no-tape error [No acceptable volumes found]"]
    (reply,) = talk.say(file_write())
    assert "command not appropriate in state 'error' : 'idle'" in reply
    assert talk.say(START) == [f'TAPE-ERROR {WORKER} "No acceptable volumes found"']
    talk.quit()
    talk.check_sound()


def test_a_tapelist_that_cannot_be_read_is_a_failed_scan() -> None:
    talk = Conversation(Tape())
    talk.moments.fail("tapelist read", OSError(errno.EACCES, "Permission denied"))
    (reply,) = talk.say(START)
    assert reply.startswith(f"TAPE-ERROR {WORKER}")
    assert "Permission denied" in reply
    assert talk.say(START) == [f"TAPER-OK {WORKER} ALLOW-TAKE-SCRIBE-FROM"]
    talk.quit()


def test_a_device_that_cannot_be_handed_over_says_so() -> None:
    talk = Conversation(Tape(allow_take=False))
    assert talk.say(START) == [f"TAPER-OK {WORKER} NO-TAKE-SCRIBE-FROM"]
    talk.quit()
