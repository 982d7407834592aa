"""``tests.slowly`` stops every process below it, lets all go, and tells how the command ended."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.slowly import parse

ROOT = Path(__file__).parent.parent.parent
FAST = ["--seed", "1", "--least", "1", "--most", "20", "--run", "20"]
AWAITING = (
    "import os, signal; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCONT]);"
    "signal.sigwait([signal.SIGCONT]); os.write(1, b'went on\\n')"
)


def slowly(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.slowly", *words], cwd=ROOT, capture_output=True, text=True
    )


def test_the_exit_status_is_the_commands() -> None:
    assert slowly(*FAST, "sh", "-c", "exit 3").returncode == 3
    assert slowly(*FAST, "--", "sh", "-c", "kill -9 $$").returncode == 137


def test_a_grandchild_is_stopped_and_goes_on() -> None:
    """Whoever waits for SIGCONT gets it only after a stop; an orphan too."""
    both = f'"$0" -c "{AWAITING}" & "$0" -c "{AWAITING}"; wait'
    done = slowly(*FAST, "sh", "-c", both, sys.executable)
    assert done.stdout == "went on\nwent on\n"
    assert done.returncode == 0
    orphan = slowly(*FAST, "sh", "-c", f'("$0" -c "{AWAITING}" &) | cat', sys.executable)
    assert orphan.stdout == "went on\n"


def test_busy_processes_end_with_the_command() -> None:
    """They are seen below the parent while it runs, and nothing holds our pipe open after it."""
    count = 'test "$(cat /proc/$PPID/task/*/children | wc -w)" = 3'
    assert slowly("--busy", "2", "sh", "-c", count).returncode == 0


def test_dead_orphans_are_gone() -> None:
    """Tests wait for processes that nobody of theirs is the parent of."""
    gone = "sh -c 'true & echo $!' | { read pid; while kill -0 $pid 2>&-; do sleep 0.01; done; }"
    assert slowly(*FAST, "sh", "-c", gone).returncode == 0


@pytest.mark.parametrize("words", [[], ["--least=9", "--most=8", "true"], ["--busy=-1", "true"]])
def test_nonsense_is_refused(words: list[str]) -> None:
    with pytest.raises(SystemExit):
        parse(words)
