"""The simulated mtx obeys a robot's rules and speaks as the real one."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fakes.library import Library

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(tmp_path / "library", {1: "A1", 3: "A3"}, drives=2, slots=4, ports=1)


@pytest.fixture
def run(library: Library) -> Run:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [library.program, "-f", library.device, *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=600)

    return run


def test_a_status_has_the_lines_of_mtx(library: Library, run: Run) -> None:
    """Drives first, then slots, with barcodes, ports and the slot of origin."""
    run("load", "1", "1")
    assert run("status").stdout == (
        f"  Storage Changer {library.device}:2 Drives, 4 Slots ( 1 Import/Export )\n"
        "Data Transfer Element 0:Empty\n"
        "Data Transfer Element 1:Full (Storage Element 1 Loaded):VolumeTag = A1\n"
        "      Storage Element 1:Empty\n"
        "      Storage Element 2:Empty\n"
        "      Storage Element 3:Full :VolumeTag=A3\n"
        "      Storage Element 4 IMPORT/EXPORT:Empty\n"
    )
    assert "VolumeTag" not in run("nobarcode", "status").stdout
    assert "Vendor ID: 'ACME    '" in run("inquiry").stdout


def test_no_two_cartridges_are_in_one_place(library: Library, run: Run) -> None:
    """What cannot be moved stays where it is, and mtx fails."""
    run("load", "1", "0")
    before = library.places()
    for words, text in (
        (("load", "3", "0"), "Drive 0 Full (Storage Element 1 loaded)"),
        (("load", "2", "1"), "source Element Address 2 is Empty"),
        (("unload", "1", "1"), "Data Transfer Element 1 is Empty"),
        (("unload", "3", "0"), "Storage Element 3 is Already Full"),
        (("transfer", "2", "4"), "source Element Address 2 is Empty"),
        (("load", "9", "1"), "Illegal <storage-element-number> argument '9'"),
        (("load", "3", "2"), "Illegal <transfer-element-number> argument '2'"),
    ):
        done = run(*words)
        assert (done.returncode, text in done.stderr) == (1, True), words
    assert library.places() == before == {"A1": "drive 0", "A3": "slot 3"}
    assert (library.drives[0].resolve(), library.drives[1].exists()) == (
        library.cartridge("A1").resolve(),
        False,
    )


def test_faults(library: Library, run: Run) -> None:
    """Jammed, not ready for a while, crossed cables."""
    library.fault(jammed=True)
    assert "Sense Key=Hardware Error" in run("load", "1", "0").stderr
    assert library.places()["A1"] == "slot 1"
    library.fault(not_ready=1, wiring=[1, 0])
    assert "Sense Key=Not Ready" in run("status").stderr
    assert run("status").returncode == run("load", "1", "0").returncode == 0
    assert library.drives[1].resolve() == library.cartridge("A1").resolve()
    assert library.log() == ["load 1 0", "load 1 0"]


def test_a_tape_drive_keeps_what_was_not_ejected(tmp_path: Path) -> None:
    """Only then can the robot take it."""
    library = Library(tmp_path / "tapes", {1: "T1"}, drives=1, slots=2, tapes={"load_polls": 3})

    def run(*words: str) -> int:
        command = [library.program, "-f", library.device, *words]
        return subprocess.run(command, capture_output=True, timeout=600).returncode

    assert run("load", "1", "0") == 0
    assert (library.drives[0] / "loaded").resolve() == library.cartridge("T1").resolve()
    assert '"polls": 3' in (library.drives[0] / "state.json").read_text()
    assert run("unload", "2", "0") == 1
    (library.drives[0] / "state.json").write_text('{"at": 7, "ejected": true}')
    assert run("unload", "2", "0") == 0
    assert library.places() == {"T1": "slot 2"}
