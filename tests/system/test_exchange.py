"""Two tapers take turns on the same volumes, and each respects what the other wrote."""

from __future__ import annotations

import pytest

from tests.system.amanda import VTAPES, Amanda, Options
from tests.system.conftest import MakeAmanda

pytestmark = pytest.mark.system


def header_of(amanda: Amanda, slot: int) -> list[str]:
    """Words of the label of the volume in a slot."""
    (path,) = amanda.path(f"{VTAPES}/slot{slot}").glob("00000.*")
    return path.read_bytes()[:32768].split(b"\n")[0].decode().split()


def night(amanda: Amanda, number: int, *, ours: bool) -> str:
    """One more full dump of changed files, by either taper. :return: its timestamp"""
    amanda.use(ours=ours)
    amanda.fill("home", 2, seed=number)
    amanda.ask("amdump")
    assert len(amanda.trace_log("DONE taper")) == 1
    return amanda.stamp()


def test_volumes_go_round_between_two_tapers(make_amanda: MakeAmanda) -> None:
    """Each night's volume is the oldest one, whoever wrote it; the others are left alone."""
    options = Options(slots=3, tapecycle=3, tapetype="part-size 1 mbytes")
    amanda = make_amanda(options, ours=False)
    amanda.ask("amlabel", "SYS-01", "slot", "1")
    turns = [False, True, False, True, False]
    stamps = [night(amanda, number, ours=ours) for number, ours in enumerate(turns)]
    # nights 0..2 used slots 1..3 (the first labelled beforehand), nights 3 and 4 slots 1 and 2
    for slot, last in ((1, 3), (2, 4), (3, 2)):
        words = header_of(amanda, slot)
        assert words[:2] == ["AMANDA:", "TAPESTART"]
        assert stamps[last] in words
        assert f"SYS-0{slot}" in words
    assert amanda.tapelist() == ["SYS-02", "SYS-01", "SYS-03"]
    shown = amanda.satisfied("amtape", "show")
    for slot, last in ((1, 3), (2, 4), (3, 2)):
        assert f"slot   {slot}: date {stamps[last]} label SYS-0{slot}" in shown
    amanda.satisfied("amcheckdump")
    amanda.report()
    amanda.check_restored("home", amanda.fetch("home", stamps[4]))
    older = amanda.fetch("home", stamps[3])  # the same without the last night's files
    assert {path.name for path in amanda.path(f"{older}/part0").iterdir()} == {
        f"file0.{number}" for number in range(4)
    }
    amanda.check_ours(at_least=2)
