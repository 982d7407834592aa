"""The version of Amanda is read from the taper that ours displaces, or is not known."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from taper.run import amanda_version
from taper.run.amanda_version import parse_version, version_text


def install(root: Path, name: str = "taper", version: str = "3.5.4") -> str:
    """Amanda's own taper and its library, as an installation has them. :return: the directory"""
    programs, library = root / "libexec", root / "perl with a blank"
    (library / "Amanda").mkdir(parents=True)
    programs.mkdir()
    (programs / name).write_text(f"#! /usr/bin/perl\n# (c)\nuse lib '{library}';\nuse strict;\n")
    (library / "Amanda" / "Constants.pm").write_text(
        f'package Amanda::Constants;\n$TAR = "/bin/tar";\n$VERSION = "{version}";\n1;\n'
    )
    return str(programs)


@pytest.mark.parametrize("name", ["taper", "taper.amanda"])
def test_the_version_of_amandas_own_taper(tmp_path: Path, name: str) -> None:
    """In its place, or put aside by ours."""
    directory = install(tmp_path, name)
    if name != "taper":
        Path(directory, "taper").write_text('#!/bin/sh\nexec python3 -I -m taper.cli "$@"\n')
    assert version_text(("/nowhere", directory)) == "3.5.4"


def test_what_does_not_tell_a_version(tmp_path: Path) -> None:
    """No program, ours alone, no library, something else than a file, bytes: not known."""
    assert version_text((str(tmp_path),)) is None
    program = tmp_path / "taper"
    for text in (
        b'#!/bin/sh\nexec python3 "$@"\n',
        b"#!/usr/bin/perl\nuse lib '/nowhere';\n",
        b"#!/usr/bin/perl\nuse lib '/no\0where';\n",
        b"use lib '\xff\xfe",
        b"use lib qw(/x);\n",
    ):
        program.write_bytes(text)
        assert version_text((str(tmp_path),)) is None
    program.unlink()
    os.mkfifo(program)
    assert version_text((str(tmp_path),)) is None


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("3.5.1", (3, 5, 1)),
        ("3.5", (3, 5)),
        ("4.0.0alpha.git.1", (4, 0, 0)),
        ("3.5.1-1build2", (3, 5, 1)),
        ("", None),
        ("x.5", None),
        ("9" * 5000, None),
    ],
)
def test_numbers_of_a_version(text: str, numbers: tuple[int, ...] | None) -> None:
    """What cannot be compared is not known."""
    assert parse_version(text) == numbers


def test_beside_the_driver_that_started_us(tmp_path: Path) -> None:
    """Of two installations that one counts whose driver started us, and no other."""
    directory = install(tmp_path, version="3.4.5")
    driver = Path(directory, "driver")  # any program that starts others, under that name
    driver.write_bytes(Path("/bin/sh").resolve().read_bytes())
    driver.chmod(0o755)
    done = subprocess.run(
        [
            str(driver),
            "-c",
            f"{sys.executable} -c 'from taper.run.amanda_version import amanda_version;"
            " print(amanda_version())'; true",
        ],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(amanda_version.__file__).parents[2],
    )
    assert done.stdout == "(3, 4, 5)\n"
