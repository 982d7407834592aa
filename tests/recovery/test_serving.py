"""The process, as amandad starts it: a packet on stdin, one on stdout, numbered descriptors."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from protocols.recovery.features import OURS
from taper.recovery.streams import MAX_PACKET
from tests.recovery.amandad import Amandad

SERVICE = (sys.executable, "-m", "taper.recovery.cli", "amandad", "local")
ELSEWHERE = """
import sys

sys.prefix = sys.argv.pop(1)
from taper.recovery.cli import main

main()
"""
"""The same, installed in another place."""
ROOT = Path(__file__).parents[2]


@pytest.fixture
def amandads(tmp_path: Path) -> Iterator[list[Amandad]]:
    """Those that a test has made."""
    (tmp_path / "etc").mkdir()
    made: list[Amandad] = []
    yield made
    for one in made:
        one.close()


def start(
    amandads: list[Amandad], place: Path, packet: str, service: Sequence[str] = SERVICE
) -> Amandad:
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "AMANDA_CONFIG_DIR": str(place / "etc"),
        "AMANDA_STATE_DIR": str(place / "state"),
        "AMANDA_TMPDIR": str(place / "tmp"),
        "AMANDA_DBGDIR": str(place / "dbg"),
    }
    amandads.append(Amandad(service, packet, environment))
    return amandads[-1]


def test_another_auth(amandads: list[Amandad], tmp_path: Path) -> None:
    amandad = start(amandads, tmp_path, f"OPTIONS features={OURS.text()};auth=bsdtcp;\n")
    status, packet, _ = amandad.end()
    text = "recover program requested auth 'bsdtcp', but amandad is using auth 'local'"
    assert (status, packet) == (1, f"ERROR {text}\n\n")


@pytest.mark.parametrize(
    ("packet", "words"),
    [
        ("OPTIONS features=zz;\n", "expected hex digits"),
        ("x" * (MAX_PACKET + 1), f"longer than {MAX_PACKET} bytes"),
    ],
)
def test_bad_packets(amandads: list[Amandad], tmp_path: Path, packet: str, words: str) -> None:
    status, said, _ = start(amandads, tmp_path, packet).end()
    assert status == 1
    assert said.startswith("ERROR ")
    assert words in said


def test_a_peer_without_a_state_stream(amandads: list[Amandad], tmp_path: Path) -> None:
    """It hangs up before it has asked for anything."""
    amandad = start(amandads, tmp_path, "OPTIONS auth=local;\n")
    amandad.hang_up()
    assert amandad.end() == (1, "CONNECT CTL 150 DATA 151\n\n", "")


def test_a_configuration_that_is_not_there(amandads: list[Amandad], tmp_path: Path) -> None:
    amandad = start(amandads, tmp_path, f"OPTIONS features={OURS.text()};auth=local;\n")
    amandad.type("CONFIG=NONE", "LABEL=S:D:1", "END")
    status, packet, said = amandad.end()
    assert (status, packet) == (1, "CONNECT CTL 150 DATA 151 STATE 152\n\n")
    text = "MESSAGE recovery failed: Errors processing config file: parse error: could not open"
    path = f"{tmp_path}/etc/NONE/amanda.conf"
    assert said == f"{text} conf file '{path}': No such file or directory\r\n"


def test_a_request_for_another_file(amandads: list[Amandad], tmp_path: Path) -> None:
    amandad = start(amandads, tmp_path, f"OPTIONS features={OURS.text()};auth=local;\n")
    amandad.type("CONFIG=../../tmp/mine", "LABEL=S:D:1", "END")
    status, _, said = amandad.end()
    assert status == 1
    assert said.startswith("MESSAGE recovery failed: CONFIG is '../../tmp/mine'")


def test_a_damaged_record_of_the_installation(amandads: list[Amandad], tmp_path: Path) -> None:
    """The person at amrecover hears of it, before there is any stream."""
    record = tmp_path / "etc" / "twisted-taper" / "amanda.json"
    record.parent.mkdir()
    record.write_text("{")
    service = (sys.executable, "-c", ELSEWHERE, str(tmp_path), "amandad", "local")
    amandad = start(amandads, tmp_path, "OPTIONS auth=local;\n", service)
    status, packet, _ = amandad.end()
    assert status == 1
    assert packet.startswith(f"ERROR {record}, which says where Amanda keeps things: ")
    assert packet.endswith('; "taperctl install", as root, writes it anew\n\n')
    assert packet.count("\n") == 2


def test_it_is_told_to_end(amandads: list[Amandad], tmp_path: Path) -> None:
    """As when the server goes down: whoever recovers hears that it was not all."""
    amandad = start(amandads, tmp_path, f"OPTIONS features={OURS.text()};auth=local;\n")
    amandad.type(f"FEATURES={OURS.text()}")
    amandad.wait_for("FEATURES=")
    amandad.process.terminate()
    status, _, said = amandad.end()
    assert status == 1
    text = "recovery failed: the program that serves it was told to end"
    assert said.splitlines()[1:] == [f"MESSAGE {text}"]
