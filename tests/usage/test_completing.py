"""What may stand at the end of a line."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taper import ctl
from taper.last_words import CannotStart
from taper.people.commands import COMMANDS
from taper.usage.asked import answer
from taper.usage.completing import Line, Paths, complete
from taper.usage.programs import NAMES, program
from tests.usage.lines import PATIENCE, Place

PARSER = ctl._parser()
TAPERCTL = program("taperctl", PARSER)


def nothing(kind: str, line: Line) -> Mapping[str, str]:
    return {}


def offered(*words: str) -> list[str]:
    return list(complete(TAPERCTL, words, nothing).values)


def test_every_command_with_all_its_options() -> None:
    assert set(COMMANDS) <= set(offered(""))
    for command in COMMANDS.values():
        there = offered(command.name, "C", "-")
        for argument in command.all_arguments:
            assert not argument.is_option or argument.names[-1] in there, argument


def test_what_is_not_for_people_is_not_offered() -> None:
    assert "complete" not in offered("")
    assert offered("comp") == ["completion"]


def test_an_option_is_offered_once_unless_it_may_be_repeated() -> None:
    there = offered("restore", "C", "--path", "a", "--dry-run", "--")
    assert "--path" in there
    assert "--dry-run" not in there
    assert "--to" in there
    assert "--to" not in offered("restore", "C", "--to=x", "--")


def test_choices() -> None:
    assert offered("application", "") == ["install", "uninstall", "status"]
    assert offered("completion", "z") == ["zsh"]


def test_behind_two_dashes_there_is_no_option() -> None:
    assert offered("show", "--", "-") == []
    assert complete(TAPERCTL, ["demo", "--source", ""], nothing).paths is Paths.DIRECTORIES


def test_names_of_a_configuration(tmp_path: Path) -> None:
    place = Place(tmp_path)

    def names(*words: str, name: str = "taperctl") -> list[str]:
        return list(complete(program(name, PARSER), words, place.known).values)

    assert names("check", "") == ["C"]
    assert names("check", "C", "") == []
    assert names("check", "C", "--storage", "") == ["vtapes", "archive"]
    assert names("check", "C", "--storage=a") == ["--storage=archive"]
    assert names("verify", "C", "W-01", "W") == ["W-01", "W-02"]
    assert names("erase", "C", "") == ["W-01", "W-02"]
    assert names("dumps", "C", "") == ["one", "two"]
    assert names("dumps", "C", "ONE", "") == ["/home", "/my $files"]
    assert names("monitor", "C", "--disk", "one:/h") == ["one:/home"]
    assert names("C", "--storage-name", "v", name="taper") == ["vtapes"]
    assert names("show", "C", "-o", f"tapelist={tmp_path}/none", "-") == names("show", "C", "-")


def test_overrides_count(tmp_path: Path) -> None:
    place = Place(tmp_path)
    (tmp_path / "other").write_text("0 OTHER reuse\n")
    words = ["show", "C", "-o", f"tapelist={tmp_path}/other", ""]
    assert list(complete(TAPERCTL, words, place.known).values) == ["OTHER"]


def test_what_would_disturb_a_terminal_is_not_offered(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.configure('"bad\x1bname"')
    assert list(complete(TAPERCTL, ["check", "C", "--storage", ""], place.known).values) == [
        "vtapes"
    ]


def test_a_configuration_that_cannot_be_read_ends_the_question(tmp_path: Path) -> None:
    """And the shell is told nothing: the script passes over stderr."""
    place = Place(tmp_path)
    (tmp_path / "etc/C/amanda.conf").write_text("nonsense\n")
    command = [sys.executable, "-m", "taper.ctl", "complete", "fish", "taperctl", "show", "C", ""]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE, env=place.environment
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "taperctl: Errors processing config file" in done.stderr


@pytest.mark.parametrize("words", [[], ["bash", "taperctl"], ["csh", "taperctl", ""], ["zsh"]])
def test_what_no_script_asks(words: list[str]) -> None:
    with pytest.raises(CannotStart, match='"taperctl completion"'):
        answer(PARSER, words)


@given(
    name=st.sampled_from(NAMES),
    words=st.lists(
        st.sampled_from(["restore", "backup", "ndmp-tape", "C", "-", "--", "--to", "--o=", ""])
        | st.text(max_size=5),
        min_size=1,
        max_size=6,
    ),
)
def test_any_line(name: str, words: list[str]) -> None:
    """All that is offered begins as the last word does."""
    found = complete(program(name, PARSER), words, lambda kind, line: {"C": "", "x:y": ""})
    assert all(value.startswith(words[-1]) for value in found.values)
