"""Running other programs."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest
from twisted.internet.defer import CancelledError

from devices.processes import is_alive
from devices.programs import Ended, ProgramFailed, Programs, find_program
from protocols.twisted_transports.haste import Haste
from tests.devices.ndmp_world import turning
from tests.fakes.turning import Turning

__all__ = ["turning"]

PYTHON = sys.executable
LONG = 3600.0


WRITE_PID = (
    "import os, sys; open(sys.argv[1] + '.new', 'w').write(str(os.getpid()))\n"
    "os.rename(sys.argv[1] + '.new', sys.argv[1])\n"
)


class Pressing(Haste):
    """Whose deadlines come when the test says so."""

    def at_once(self) -> None:
        for call in self._calls:
            if call.active():
                call.reset(0)


@pytest.fixture
def programs(turning: Turning) -> Programs:
    return Programs(turning.reactor, Haste(turning.reactor))


def python(script: str, *more: str) -> list[str]:
    return [PYTHON, "-ISc", script, *more]


def test_what_it_says_and_how_it_ends_is_told(turning: Turning, programs: Programs) -> None:
    """Output and error output, exit status, death by a signal; arguments arrive as they are."""
    script = "import sys; sys.stderr.write('e\\xff'); print(sys.argv[1:]); sys.exit(3)"
    ran = programs.run(python(script, "$(x) *", ""), seconds=LONG, most=1000)
    assert turning.wait(ran) == Ended(3, "exit status 3", "['$(x) *', '']\ne\u00ff")
    ran = programs.run(python("import os; os.kill(os.getpid(), 9)"), seconds=LONG, most=1000)
    assert turning.wait(ran) == Ended(None, "killed by signal 9", "")


def test_it_has_nothing_to_read_and_no_foreign_language(
    turning: Turning, programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stdin is at its end; messages come in English."""
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    monkeypatch.setenv("LANG", "de_DE.UTF-8")
    monkeypatch.setenv("KEPT", "1")
    script = (
        "import os, sys; print(repr(sys.stdin.read()),"
        " *(os.environ.get(name) for name in ('LC_ALL', 'LANG', 'KEPT')))"
    )
    ran = turning.wait(programs.run(python(script), seconds=LONG, most=1000))
    assert ran.output == "'' None None 1\n"


@pytest.mark.parametrize("how", ["cancelled", "late", "talkative"])
def test_one_that_does_not_end_is_killed(turning: Turning, tmp_path: Path, how: str) -> None:
    """At its deadline, by whoever gave it up, or because it says too much."""
    pid_file = tmp_path / "pid"
    script = (
        WRITE_PID + "import time\n"
        "while True: print('x' * 999) if sys.argv[2] == 'talkative' else time.sleep(9)"
    )
    pressing = Pressing(turning.reactor)
    running = Programs(turning.reactor, pressing).run(
        python(script, str(pid_file), how), seconds=LONG, most=10**6
    )
    turning.until(pid_file.exists)
    if how == "cancelled":
        running.cancel()
        with pytest.raises(CancelledError):
            turning.wait(running)
    else:
        if how == "late":
            pressing.at_once()
        why = "said too much" if how == "talkative" else "took too long"
        with pytest.raises(ProgramFailed, match=f"'{PYTHON}' {why} and was killed"):
            turning.wait(running)
    pid = int(pid_file.read_text())
    turning.until(lambda: not is_alive(pid))


def test_who_leaves_a_child_behind_is_not_waited_for(turning: Turning, tmp_path: Path) -> None:
    """The deadline ends the wait for an output that another process keeps open."""
    pid_file = tmp_path / "pid"
    pressing = Pressing(turning.reactor)
    script = "import os, time\nif os.fork(): os._exit(0)\n" + WRITE_PID + "time.sleep(99)"
    words = python(script, str(pid_file))
    running = Programs(turning.reactor, pressing).run(words, seconds=LONG, most=1000)
    turning.until(pid_file.exists)
    try:
        assert not running.called
        pressing.at_once()
        with pytest.raises(ProgramFailed, match="took too long"):
            turning.wait(running)
    finally:
        os.kill(int(pid_file.read_text()), signal.SIGKILL)


def test_what_cannot_be_run_is_told(
    turning: Turning, programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A NUL byte in an argument, no process to be had."""
    with pytest.raises(ProgramFailed, match="has a NUL byte in it"):
        turning.wait(programs.run([PYTHON, "a\0b"], seconds=LONG, most=9))

    def spawn(*_: object, **__: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(turning.reactor, "spawnProcess", spawn)
    with pytest.raises(ProgramFailed, match="cannot be started: Resource temporarily"):
        turning.wait(programs.run([PYTHON], seconds=LONG, most=9))


def test_a_program_is_found_as_by_a_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its path, or in one of the usual places; one that nobody may run is none."""
    program = tmp_path / "mtx"
    program.touch()
    assert find_program(str(program)) is None
    program.chmod(0o755)
    assert find_program(str(program)) == str(program)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_program("mtx") == str(program)
    assert find_program("no-such-program") is None
    assert os.path.basename(find_program(str(program)) or "") == "mtx"
