"""Every program of ours, started where something is broken: a sentence, never a traceback.

Each row of the tables below breaks one thing. All programs are started there, side by side; those
that a row names must fail, and say the words of the row.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.run.broken_rows import APPLICATION, CONFIGURATION, CTL, PROCESS, Broken
from tests.run.broken_scene import ALL, STATUSES, TAPERS, Scene, end_of, make_scene, play, start


def test_there_are_enough_rows() -> None:
    for table in (CONFIGURATION, CTL, APPLICATION):
        rows = [*PROCESS, *table]
        assert len({row.name for row in rows}) == len(rows) >= 40


def check(scene: Scene, row: Broken, programs: str) -> None:
    """Break what the row says, start the programs, and look at what each said and left."""
    row.how(scene)
    if scene.harmless and not os.geteuid() and shutil.which("setpriv") is None:
        pytest.skip("needs setpriv, to give up root's right to pass over permissions")
    ends = play(scene, programs)
    daemon = _text_of(scene.root / "twistd.log")
    assert "Traceback" not in daemon, daemon
    # once a process has the trace log, its last words go there, as stock's do
    logged = _text_of(scene.place.log)
    mute = 2 in scene.closed or 2 in scene.streams
    for end in ends:
        assert "Traceback" not in end.said, f"{end.name}:\n{end.said}"
        assert "internal error" not in end.said, f"{end.name}:\n{end.said}"
        assert end.status in STATUSES, f"{end.name} ended with {end.status}: {end.said}"
        assert end.said or logged or mute or not end.status, f"{end.name} failed without a word"
        if {end.name, end.name.split()[0]} & set(row.fails.split(", ")):
            assert end.status, f"{end.name} did not fail: {end.said}"
            assert mute or row.says in end.said + logged, f"{end.name}:\n{end.said}"


def _text_of(path: Path) -> str:
    return path.read_text(errors="replace") if os.path.isfile(path) else ""


@pytest.mark.parametrize("row", PROCESS, ids=lambda row: row.name)
def test_a_broken_process(tmp_path: Path, row: Broken) -> None:
    check(make_scene(tmp_path), row, ALL)


@pytest.mark.parametrize("row", CONFIGURATION, ids=lambda row: row.name)
def test_a_broken_configuration(tmp_path: Path, row: Broken) -> None:
    """The other programs read none."""
    check(make_scene(tmp_path), row, TAPERS)


@pytest.mark.parametrize("row", CTL, ids=lambda row: row.name)
def test_a_broken_place_for_taperctl(tmp_path: Path, row: Broken) -> None:
    check(make_scene(tmp_path), row, "taperctl")


@pytest.mark.parametrize("row", APPLICATION, ids=lambda row: row.name)
def test_a_broken_client(tmp_path: Path, row: Broken) -> None:
    check(make_scene(tmp_path), row, "amdirecttar")


def test_where_nothing_is_broken(tmp_path: Path) -> None:
    """The tables break what works: here only those fail whose surroundings are none of theirs.

    One after the other: side by side, one would meet what another is about to install or remove.
    """
    scene = make_scene(tmp_path)
    ends = [end_of(name, start(scene, command)) for name, command in scene.programs().items()]
    failed = {end.name: end.said for end in ends if end.status}
    assert set(failed) <= {
        "taperctl demo",  # there is no such source
        "taperctl install",  # not the machine's taper, or no root
        "taperctl uninstall",
        "amdirecttar backup",  # nobody listens
        "amdirecttar restore",  # nothing comes in
        "amdirecttar validate",
        "amdirecttar index",
    }, failed
