"""VAULT-WRITE from NDMP volumes: every kind of trouble at either side, and many volumes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.conformance.harness_talk import HANDLE, WORKER, Conversation, split_by
from tests.conformance.harness_text import crc, payload
from tests.conformance.vaulting import ending, opened, server_crc, vault
from tests.conformance.vaulting_ndmp import (
    BLOCK,
    DISK,
    MOVER,
    OTHER,
    PART,
    SECOND,
    WHOLE,
    TapeLibrary,
    check_input_error,
    drive,
    no_file,
    on_tape,
    robot,
    too_long,
    two_dumps,
    vaulting,
    whole,
    worker,
    wrong_header,
)
from tests.fakes.ndmp_process import NdmpProcess
from tests.system.ndmp_world import MakeWorld, make_world

pytestmark = pytest.mark.system

H2 = "00-00002"
NO_CRC = "00000000:0"
both_ways = pytest.mark.parametrize("to", [DISK, MOVER])
DAMAGES = [
    (too_long, f"part 2 on {SECOND} is longer than the {2 * BLOCK} bytes it should have"),
    (wrong_header, f"header on {SECOND} does not match expectations: got partnum '9'"),
    (no_file, f"{SECOND}: "),
]
FAULTS = {
    "halts": "after:MOVER_CONTINUE:1:halt=MEDIA_ERROR",
    "pauses": "after:MOVER_CONTINUE:1:pause=MEDIA_ERROR",
    "is refused": "request:MOVER_CONTINUE:1:wrong=IO",
    "is lost": "request:MOVER_CONTINUE:1:drop",
}
BREAKS = {
    "breaks off": "after:MOVER_CONTINUE:1:kill-data",
    "ends early": "after:MOVER_CONTINUE:1:end-data",
}

__all__ = ["make_world"]


@pytest.mark.parametrize(("damage", "text"), DAMAGES, ids=[it[0].__name__ for it in DAMAGES])
def test_a_damaged_source(
    make_world: MakeWorld, damage: Callable[[TapeLibrary], None], text: str
) -> None:
    """From mover to mover: volume and file are named."""
    with vaulting(make_world(), MOVER, damage) as made:
        talk = made.start()
        vault(talk, split=split_by(2 * BLOCK))
        check_input_error(ending(talk), text)
        talk.quit()
        assert WHOLE.startswith(made.stored()[:PART])


@pytest.mark.parametrize(
    ("to", "fault"),
    [
        *((to, fault) for to in (DISK, MOVER) for fault in FAULTS.values()),
        *((DISK, fault) for fault in BREAKS.values()),  # from mover to mover it goes on
    ],
)
def test_a_source_that_fails(make_world: MakeWorld, to: str, fault: str) -> None:
    """In the second part: it is named. The next dump from there is fine."""
    with vaulting(make_world(), to, two_dumps) as made:
        assert made.source.command(f"fault {fault}") == "OK"
        talk = made.start()
        vault(talk, split=split_by(2 * BLOCK))
        check_input_error(ending(talk), SECOND)
        good(talk)
        talk.quit()


@pytest.mark.parametrize("indirect", [True, False], ids=["indirect", "at once"])
def test_a_mover_that_connects_and_says_no(make_world: MakeWorld, indirect: bool) -> None:
    """Its connection is taken back; before a volume is asked for, or in the first part."""
    with vaulting(make_world(), MOVER, two_dumps) as made:
        spec = "fault reply:MOVER_CONNECT:1:wrong-header=NOT_SUPPORTED"
        assert made.source.command(spec) == "OK"
        talk = made.start(indirect=indirect)
        vault(talk)
        text = "'SRC01' file 1: error making DirectTCP connection: the mover is ACTIVE after it "
        check_input_error(ending(talk), text)
        if not indirect:  # else a part was broken off, and the volume is given up
            good(talk)
        talk.quit()


def good(talk: Conversation) -> None:
    """Another dump is vaulted well."""
    vault(talk, OTHER, handle=H2)
    line = ending(talk, H2)
    assert line.startswith(f"DONE {WORKER} {H2} INPUT-GOOD TAPE-GOOD "), line


TARGET_FAULTS = {
    "halts": "after:MOVER_CONTINUE:1:halt=MEDIA_ERROR",
    "is refused": "request:MOVER_CONTINUE:1:wrong=IO",
    "is lost": "after:MOVER_CONTINUE:1:drop",
}


@pytest.mark.parametrize("holding", [False, True], ids=["vault", "holding file"])
@pytest.mark.parametrize("fault", TARGET_FAULTS.values(), ids=TARGET_FAULTS)
def test_a_destination_that_fails(make_world: MakeWorld, fault: str, holding: bool) -> None:
    """It is to blame, not the mover that could not send any more, nor the file."""
    world = make_world()
    with vaulting(world, MOVER, two_dumps) as made:
        assert made.target.command(f"fault {fault}") == "OK"
        talk = made.start()
        if holding:  # more than a connection may hold
            talk.file_write(world.holding(WHOLE * 60), split_by(2 * BLOCK))
        else:
            vault(talk, split=split_by(2 * BLOCK))
        line = ending(talk)
        assert line.startswith(f"PARTIAL {WORKER} {HANDLE} INPUT-GOOD TAPE-ERROR "), line
        # it is sent again: another volume is sought for it, and the log says what came before
        said = world.log("PARTPARTIAL")
        assert "Error writing from DirectTCP connection: " in said[-1]
        talk.quit()


def test_quit_in_the_middle(make_world: MakeWorld) -> None:
    """The first volume is full, both movers are paused: all is given back."""
    with vaulting(make_world(), MOVER, whole, limit="4r") as made:
        talk = made.start()
        vault(talk)
        grant(talk)
        skip_to(talk, "REQUEST-NEW-TAPE")
        talk.send("QUIT")
        line = ending(talk)
        assert line.startswith(f"PARTIAL {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD "), line
        talk.expect_end(0)
        assert made.stored() == WHOLE[: 2 * BLOCK]
        for server in (made.source, made.target):
            assert server.said("MOVER_STOP")
            assert server.said("TAPE_CLOSE")


def skip_to(talk: Conversation, text: str) -> None:
    """Read until a line has this."""
    while text not in talk.expect("<w> <*>"):
        pass


def grant(talk: Conversation) -> None:
    """Let the next request of a volume come, and fulfil it."""
    skip_to(talk, "REQUEST-NEW-TAPE")
    talk.send(f"START-SCAN {WORKER} {HANDLE}", f"NEW-TAPE {WORKER} {HANDLE}")


def test_a_source_server_that_dies(make_world: MakeWorld) -> None:
    """Between its volumes."""
    with vaulting(make_world(), MOVER, whole) as made:
        assert made.source.command("fault request:MOVER_CONTINUE:1:silence") == "OK"
        talk = made.start()
        vault(talk)
        grant(talk)
        skip_to(talk, "SRC02")
        made.source.kill()
        check_input_error(ending(talk), "'SRC02' file 1")
        talk.quit()


def test_a_destination_server_that_dies(make_world: MakeWorld) -> None:
    """While a volume is asked for."""
    with vaulting(make_world(), MOVER, whole, limit="4r") as made:
        talk = made.start()
        vault(talk)
        grant(talk)
        skip_to(talk, "REQUEST-NEW-TAPE")
        made.target.kill()
        talk.send(f"START-SCAN {WORKER} {HANDLE}", f"NEW-TAPE {WORKER} {HANDLE}")
        line = ending(talk)
        assert line.startswith(f"PARTIAL {WORKER} {HANDLE} INPUT-GOOD TAPE-ERROR "), line
        talk.quit()


@both_ways
def test_an_empty_dump_and_one_after_it(make_world: MakeWorld, to: str) -> None:
    """The source volume is kept, its drive reads again."""

    def fill(library: TapeLibrary) -> None:
        library.dump(b"", [("SRC01", 0)])
        library.dump(WHOLE, [("SRC01", len(WHOLE))], OTHER)

    with vaulting(make_world(), to, fill) as made:
        talk = made.start()
        vault(talk)
        line = ending(talk)
        assert line.startswith(f"DONE {WORKER} {HANDLE} INPUT-GOOD TAPE-GOOD "), line
        good(talk)
        talk.send(f"CLOSE-SOURCE-VOLUME {WORKER}")
        talk.expect(f"CLOSED-SOURCE-VOLUME {WORKER}")
        talk.quit()
        assert made.stored() == WHOLE


@both_ways
@pytest.mark.parametrize("how", ["denied", "quit"])
def test_a_dump_that_is_given_up(make_world: MakeWorld, to: str, how: str) -> None:
    """While a volume is waited for; the source's drive is given back."""
    with vaulting(make_world(), to, two_dumps) as made:
        talk = made.start()
        vault(talk)
        opened(talk, "SRC01")
        talk.expect(f"REQUEST-NEW-TAPE {WORKER} {HANDLE}")
        if how == "denied":
            talk.send(f"NO-NEW-TAPE {WORKER} {HANDLE} enough")
            talk.expect(f"FAILED {WORKER} {HANDLE} INPUT-GOOD TAPE-CONFIG <*>")
            good(talk)
            talk.quit()
        else:
            talk.send("QUIT")
            talk.expect(f"FAILED {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD <*>")
            talk.expect_end(0)
        assert made.source.said("TAPE_CLOSE")


@pytest.mark.parametrize("version", [4, 3], ids=["straight", "through us"])
@pytest.mark.parametrize(("kind", "indirect"), [("lenient", False), ("strict", True)])
def test_many_volumes_on_both_sides(
    make_world: MakeWorld, kind: str, indirect: bool, version: int
) -> None:
    """One robot with two drives, one storage in each: volumes change at either side by itself."""
    straight = version == 4
    world = make_world()
    data = payload(40 * BLOCK - 5000)
    sizes = [7 * BLOCK, 3 * BLOCK, 8 * BLOCK, BLOCK, 9 * BLOCK, 12 * BLOCK - 5000]
    labels = ["SRC01", "SRC01", "SRC02", "SRC03", "SRC03", "SRC04"]
    limits = ["", "", "", "", "9r", "6r", "7r", "12r", "30r"]
    server = NdmpProcess(slots=limits, arguments=[f"--{kind}", f"--versions={version}"])
    tapes = {f"SRC{n:02}": server.directory / f"s{n}" for n in range(1, 5)}
    library = TapeLibrary(world, tapes=tapes)
    library.dump(data, list(zip(labels, sizes, strict=True)), lines=server_crc(data))
    with server:
        library.setup("robot", robot("robot", server.port, indirect=indirect), "robot")
        talk = worker(world, "-oruntapes=9")
        vault(talk, split=split_by(5 * BLOCK))
        line = ending(talk)
        found = NO_CRC if straight else crc(data)
        assert line.startswith(f'DONE {WORKER} {HANDLE} INPUT-GOOD TAPE-GOOD "{found}"'), line
        talk.quit()
        written = [on_tape(server.directory / f"s{n}") for n in range(5, 10)]
        assert b"".join(written) == data + bytes(5000)
        assert sum(bool(tape) for tape in written) >= 4
        assert bool(server.said("MOVER_CONNECT")) is straight


def test_one_drive_for_both(make_world: MakeWorld) -> None:
    """A dump cannot be copied within one drive, and that is said; the volume stays as it is."""
    world = make_world()
    server = NdmpProcess({"t": ""})
    library = TapeLibrary(world, tapes={"SRC01": server.directory / "other"})
    library.dump(WHOLE, [("SRC01", len(WHOLE))])
    with server:
        library.setup("drive", drive("drive", server.url("t")), "drive")
        talk = worker(world)
        vault(talk)
        text = f"SRC and PROTO have the same single drive '{server.url('t')}'"
        check_input_error(ending(talk), text)
        talk.quit()


def test_a_robot_with_one_drive(make_world: MakeWorld) -> None:
    """The volume to write on is in it, and that is said."""
    world = make_world()
    server = NdmpProcess(slots=["", ""], drives=1)
    library = TapeLibrary(world, tapes={"SRC01": server.directory / "s1"})
    library.dump(WHOLE, [("SRC01", len(WHOLE))])
    with server:
        library.setup("robot", robot("robot", server.port, drives=1), "robot")
        talk = worker(world)
        vault(talk)
        text = "no drive to read source volume 'SRC01' in: no drives available"
        check_input_error(ending(talk), text)
        talk.quit()
