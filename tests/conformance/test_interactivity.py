"""An operator is asked for a volume by mail, and replies in a file [changers 1.9]."""

from typing import Any

import pytest

from tests.conformance.harness import VTAPES, Options, World
from tests.conformance.harness_files import Dump, dump_header
from tests.conformance.harness_talk import HANDLE, WORKER, Conversation, split_by
from tests.conformance.harness_text import crc, payload

HOME = "/var/lib/amanda"
STAMP = "20260101000000"
START = f"START-TAPER taper0 {WORKER} PROTO {STAMP}"
WHO = f"""mailer "{HOME}/mailer"
mailto "one@x two@x"
define interactivity who {{{{
  plugin "{{plugin}}"
  property "check-file" "{HOME}/reply"
  property "check-file-delay" "1"
}}}}
define storage PROTO {{{{
  tpchanger "chg-disk:{VTAPES}"
  tapetype "T"
  tapepool "PROTO"
  taperscan "lexical"
  interactivity "who"
}}}}
storage "PROTO"
"""


def asking(world: World, plugin: str = "email", **more: Any) -> Conversation:
    """Start a worker whose changer has no volume, or as many as are asked for."""
    script = f'#!/bin/sh\ncat > {HOME}/body\necho "$*" > {HOME}/words\n'
    world.write(f"{HOME}/mailer", script, 0o700)
    world.configure(Options(**{"slots": 0, "extra": WHO.format(plugin=plugin), **more}))
    talk = world.start()
    talk.send(START)
    return talk


def mailed(world: World) -> tuple[str, str]:
    """Wait for the mail: arguments of the mailer, and the mail's first line."""
    words = world.path(f"{HOME}/words")
    world.wait_for("a mail", lambda: words.exists() and words.read_text())
    return words.read_text().strip(), world.path(f"{HOME}/body").read_text().split("\n")[0]


def test_abort_in_the_file_ends_the_scan(world: World) -> None:
    """The mail has subject and addresses; 'abort' is TAPE-ERROR, and the taper goes on."""
    talk = asking(world)
    assert mailed(world) == (
        f"-s AMANDA VOLUME REQUEST (chg-disk:{VTAPES}): new volume one@x two@x",
        "No acceptable volumes found",
    )
    talk.expect_silence()
    world.write(f"{HOME}/reply", "abort\n")
    talk.expect(f'TAPE-ERROR {WORKER} "Aborted by user"')
    talk.quit()
    world.check_logged("ERROR taper no-tape error [Aborted by user]")


def test_a_changer_in_the_file_is_used(world: World) -> None:
    """The scan goes on with the changer that the operator names."""
    talk = asking(world)
    mailed(world)
    world.mkdir(f"{HOME}/other/slot1")
    world.write(f"{HOME}/reply", f"chg-disk:{HOME}/other\n")
    talk.expect(f"TAPER-OK {WORKER} ALLOW-TAKE-SCRIBE-FROM")
    talk.quit()


def test_a_volume_that_appears_is_found(world: World) -> None:
    """Nobody replies, but a slot is there at the next look."""
    talk = asking(world)
    mailed(world)
    world.mkdir(f"{VTAPES}/slot1")
    talk.expect(f"TAPER-OK {WORKER} ALLOW-TAKE-SCRIBE-FROM", timeout=600)
    talk.quit()


def test_quit_takes_the_question_back(world: World) -> None:
    """QUIT while the operator is waited for: the end, at once and well; ours answers first."""
    talk = asking(world)
    mailed(world)
    talk.send("QUIT")
    if not world.program.stock:
        talk.expect(f'TAPE-ERROR {WORKER} "taper is quitting"')
    talk.expect_end()


@pytest.mark.known_stock_failure("stock forgets to answer the NEW-TAPE")
def test_failed_while_the_operator_is_asked(world: World) -> None:
    """The dump ends at once; the question stands, and the next dump gets the volume."""
    data = payload(600_000)
    talk = asking(world, slots=1, usage_kib=512, leom=True)
    talk.expect(f"TAPER-OK {WORKER} ALLOW-TAKE-SCRIBE-FROM")
    dumper = talk.port_write(split_by(131072))
    dumper.header(dump_header(Dump()))
    dumper.data(data)
    talk.grant("PROTO01")
    talk.ready()
    for number in (1, 2, 3):
        talk.expect(f"PARTDONE {WORKER} {HANDLE} PROTO01 {number} <*>")
    talk.expect(f"REQUEST-NEW-TAPE {WORKER} {HANDLE}")
    talk.send(f"START-SCAN {WORKER} {HANDLE}", f"NEW-TAPE {WORKER} {HANDLE}")
    mailed(world)
    talk.send(f"FAILED {WORKER} {HANDLE}")
    talk.expect(
        f"NO-NEW-TAPE {WORKER} {HANDLE}",
        f'PARTIAL {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD <*> "dumper failed" ""',
    )
    world.mkdir(f"{VTAPES}/slot2")
    world.write(f"{HOME}/reply", "\n")
    talk.file_write(world.holding(payload(1000)), handle="00-00002")
    talk.grant("PROTO02", "00-00002")
    talk.ready("00-00002")
    talk.part("PROTO02", 1, 1000, handle="00-00002")
    talk.done(crc(payload(1000)), handle="00-00002")
    talk.quit()


@pytest.mark.known_stock_failure("stock asks the driver, on stdin and stdout")
def test_stdin_is_not_the_operators(world: World) -> None:
    """The driver's channel is nobody else's: the scan fails with a reason."""
    talk = asking(world, "stdin")
    talk.expect(f"TAPE-ERROR {WORKER} \"No acceptable volumes found (interactivity 'stdin' <*>\"")
    talk.still_there()
    talk.quit()


def test_no_terminal_to_ask_at(world: World) -> None:
    """The tty module without a terminal fails the scan at once."""
    talk = asking(world, "tty")
    talk.expect(f'TAPE-ERROR {WORKER} "Failed to open /dev/tty: No such device or address"')
    talk.quit()
