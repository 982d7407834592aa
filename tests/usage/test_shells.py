"""The shells themselves complete command lines by our scripts."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from taper.usage.shells import SHELLS, BashLine, script
from tests.usage.lines import PATIENCE, Place, Terminal


def script_for(shell: str, place: Place) -> Path:
    """What ``taperctl completion`` prints, in a file."""
    done = subprocess.run(
        [sys.executable, "-m", "taper.ctl", "completion", shell],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env=place.environment,
        check=True,
    )
    path = place.root / f"completion.{shell}"
    path.write_text(done.stdout)
    return path


def need(shell: str) -> str:
    found = shutil.which(shell)
    if found is None:
        pytest.skip(f"there is no {shell}")
    return found


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "here").mkdir()
    (tmp_path / "here/restored").mkdir()
    (tmp_path / "here/rest.log").touch()
    return Place(tmp_path)


class Shell:
    """One whose line editor completes what is typed; then the line is shown, not run."""

    def __init__(self, command: list[str], place: Place, setup: str) -> None:
        self._terminal = Terminal(command, place.environment, place.root / "here")
        self._terminal.press(f"{setup}\rprintf '%s|' re ady\r")
        self._terminal.read_until("re|ady|")
        self._count = 0

    def completed(self, line: str, key: str = "\t") -> list[str]:
        """The words of a line after a key was pressed at its end."""
        self._count += 1
        mark = f"line {self._count} "
        # Control-A: to the begin of the line. What is typed is shown too, so the mark is quoted
        start = f"printf '[%s]' '{mark}''begins' "
        end = f" '{mark}''ends'"
        self._terminal.press(f"{line}{key}\x01{start}\x05{end}\r")
        self._terminal.read_until(f"[{mark}begins]")
        shown = self._terminal.read_until(f"[{mark}ends]")
        return re.findall(r"\[(.*?)\]", shown)

    def close(self) -> None:
        self._terminal.close()


@pytest.fixture
def bash(place: Place) -> Iterator[Shell]:
    path = script_for("bash", place)
    shell = Shell([need("bash"), "--norc", "--noprofile", "-i"], place, f"source {path}")
    yield shell
    shell.close()


ALL = "\x1b*"
"""Bash puts all that is offered into the line."""


def test_bash(bash: Shell) -> None:
    assert bash.completed("taperctl vol") == ["taperctl", "volumes"]
    assert bash.completed("/opt/taper/bin/taperctl volumes ")[1:] == ["volumes", "C"]
    assert bash.completed("taperctl show C ", ALL)[3:] == ["W-01", "W-02"]
    assert bash.completed("taperctl check C --storage=v") == [
        *("taperctl", "check", "C", "--storage=vtapes")
    ]
    assert bash.completed("taperctl restore C one /m")[4] == "/my $files"
    assert bash.completed('taperctl restore C one "/m')[4] == "/my $files"
    assert bash.completed("taperctl monitor C --disk two")[4] == "two:/srv"
    assert bash.completed("taperctl monitor C --disk two:")[4] == "two:/srv"
    assert bash.completed("taperctl restore C one /home --to rest")[6] == "restored/"
    assert bash.completed("taper --log-filename rest.l")[2] == "rest.log"
    assert bash.completed("amdirecttar self") == ["amdirecttar", "selfcheck"]


def test_zsh(place: Place) -> None:
    path = script_for("zsh", place)
    setup = f"PS1=; bindkey -e; autoload -U compinit; compinit -D -u; source {path}"
    shell = Shell([need("zsh"), "-f", "-i"], place, setup)
    try:
        assert shell.completed("taperctl vol") == ["taperctl", "volumes"]
        assert shell.completed("taperctl check C --storage=v")[3] == "--storage=vtapes"
        assert shell.completed("taperctl restore C one /m")[4] == "/my $files"
        assert shell.completed("taperctl monitor C --disk two")[4] == "two:/srv"
        assert shell.completed("taper --log-filename=rest.l")[1] == "--log-filename=rest.log"
    finally:
        shell.close()


def test_zsh_finds_it_in_a_directory_of_its_own(place: Place) -> None:
    """As it does with that of a package."""
    (place.root / "functions").mkdir()
    script_for("zsh", place).rename(place.root / "functions/_taperctl")
    setup = f"PS1=; bindkey -e; fpath=({place.root}/functions $fpath); autoload -U compinit"
    shell = Shell([need("zsh"), "-f", "-i"], place, f"{setup}; compinit -D -u")
    try:
        assert shell.completed("taper C --storage-name v")[3] == "vtapes"
    finally:
        shell.close()


def test_fish(place: Place) -> None:
    path = script_for("fish", place)
    fish = need("fish")

    def offered(line: str) -> list[str]:
        done = subprocess.run(
            [fish, "--no-config", "-c", 'source $argv[1]; complete -C "$argv[2]"', path, line],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            env=place.environment,
            cwd=place.root / "here",
            check=True,
        )
        return done.stdout.splitlines()

    (volumes,) = offered("taperctl vol")
    assert volumes.split("\t")[0] == "volumes"
    assert "list the volumes" in volumes
    assert [line.split("\t")[0] for line in offered("taperctl show C ")] == ["W-01", "W-02"]
    assert offered("taperctl restore C one /m") == ["/my $files"]
    assert [line.split("\t")[0] for line in offered("taperctl restore C one /home --to re")] == [
        "restored/"
    ]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_may_ask_another_installation(shell: str) -> None:
    """By a name that the shell has to quote."""
    assert "'/usr/x y' complete" in script(shell, ["/usr/x y"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("taperctl", [""]),
        ("taperctl ", [""]),
        ("taperctl a\\ b c", ["a b", "c"]),
        ("taperctl a\\", ["a"]),
        ("taperctl 'a b", ["a b"]),
        ("taperctl x \"a'", ["x", "a'"]),
    ],
)
def test_words_of_a_line_of_bash(text: str, words: list[str]) -> None:
    assert BashLine(text, ":=").words == words
