"""The manual pages: all of it is told there, and those who read man(7) find no fault."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from taper import ctl
from taper.people.exits import MEANINGS, Exit
from taper.usage.manual import SECTIONS, page, write_pages
from taper.usage.program import Program, Word
from taper.usage.programs import NAMES, program
from tests.usage.lines import PATIENCE

PARSER = ctl._parser()
PAGES = {name: page(program(name, PARSER), "2026-01-01") for name in NAMES}

LINTS = {
    "mandoc": ["mandoc", "-T", "lint"],
    "groff": ["groff", "-ww", "-man", "-z", "-T", "utf8"],
    "man": ["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z"],
}


def read(text: str) -> str:
    """What a page says, without its types; its lines are not those of a reader."""
    for written, letter in ((r"\-", "-"), (r"\(aq", "'"), (r"\(dq", '"'), (r"\(ti", "~")):
        text = text.replace(written, letter)
    return re.sub(r"\\f[BIR]|\\&", "", text)


def whole(text: str) -> str:
    """In one line."""
    return " ".join(re.sub(r"^\.\S+.*$", "", read(text), flags=re.MULTILINE).split())


@pytest.mark.parametrize("lint", LINTS)
@pytest.mark.parametrize("name", NAMES)
def test_no_fault_is_found(name: str, lint: str, tmp_path: Path) -> None:
    if shutil.which(lint) is None:
        pytest.skip(f"there is no {lint}")
    path = tmp_path / f"{name}.{SECTIONS[name]}"
    path.write_text(PAGES[name])
    done = subprocess.run(
        [*LINTS[lint], str(path)],
        stdout=subprocess.PIPE if lint == "mandoc" else subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        timeout=PATIENCE,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HOME": str(tmp_path)},
    )
    assert (done.returncode, done.stdout or "", done.stderr) == (0, "", "")


def arguments(of: Program) -> list[Word]:
    return [*of.words, *(word for command in of.commands for word in command.words)]


@pytest.mark.parametrize("name", NAMES)
def test_every_command_and_argument_is_told_of(name: str) -> None:
    told, found = whole(PAGES[name]), program(name, PARSER)
    assert f"{name} - {found.help}" in told
    for command in found.commands:
        assert f"\n.SS {command.name}\n" in PAGES[name]
        assert " ".join((command.description or command.help[1:]).split()[:9]) in told
    for word in arguments(found):
        assert word.help, word
        assert " ".join(word.help[1:].replace("`", "").split()) in told
        assert all(each in told for each in word.names), word


def test_exit_statuses() -> None:
    told = whole(PAGES["taperctl"])
    for one in Exit:
        assert f"{one:d} {MEANINGS[one][:1].upper()}{MEANINGS[one][1:]}." in told
    assert "3 UNKNOWN: it could not be found out" in told


def test_what_groff_would_take_for_something_else() -> None:
    told = page(
        Program(name="taper", help="x", description=".SH a\\b\n\n  .nf\n  it's ~/x^`\n\nend"), "d"
    )
    assert "\\&.SH a\\eb\n" in told
    assert ".nf\n.RS 4\n\\&.nf\nit\\(aqs \\(ti/x\\(ha\\(ga\n.RE\n.fi\n.PP\nend\n" in told


def test_a_build_can_be_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    written = write_pages(PARSER, str(tmp_path))
    assert sorted(written) == sorted(
        str(tmp_path / f"man{section}/{name}.{section}") for name, section in SECTIONS.items()
    )
    head = (tmp_path / "man8/taper.8").read_text().splitlines()[0]
    assert re.fullmatch(r'\.TH TAPER 8 1970-01-02 "taper [^"]+"', head)
