"""Our taper in the place of Amanda's, and back (``taperctl install | uninstall | status``).

Amanda's driver starts a fixed path. There we put a launcher that runs this installation, and
keep Amanda's own program beside it; ``dpkg-divert`` makes upgrades of Amanda go to that place
too. Nothing is ever missing in between: the launcher is renamed over Amanda's program, which has
got a second name before.
"""

from __future__ import annotations

import contextlib
import enum
import os
import pwd
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable

from attrs import frozen

from taper.ownership import not_roots_alone
from taper.running import running_tapers

Say = Callable[[str], None]

MARK = '# Put here by "taperctl install" of twisted-taper; "taperctl uninstall" takes it away.'
LAUNCHER = '#!/bin/sh\n{mark}\nexec {python} -I -m {module} "$@"\n'
USUAL = "/usr/lib/amanda/taper"
_DIVERT = "dpkg-divert"
_LONGEST_LAUNCHER = 1 << 16
_SECONDS = 60


class Refused(Exception):
    """It cannot be done, and nothing was changed; the text says why."""


def run(action: Callable[[Say], None]) -> int:
    """Do one of the actions below. :return: the exit status"""
    try:
        action(print)
    except (Refused, OSError) as fault:
        sys.stderr.write(f"taperctl: {fault}\n")
        return 1
    return 0


@frozen
class Program:
    """A program of ours, and which of Amanda's it stands in for.

    :ivar name: Amanda's
    :ivar module: what the launcher runs
    :ivar proof: imports all that a real start does
    :ivar option: of taperctl, for it
    """

    name: str
    module: str
    proof: str
    option: str = ""

    def command(self, aside: str) -> str:
        """What the launcher lets Python run; a program may leave something to Amanda's own."""
        return f"{self.module} --amanda {shlex.quote(aside)}" if self is RECOVERY else self.module

    def words(self, state: State) -> str:
        """What is at its place, for people."""
        return state.value.replace("taper", self.name)


TAPER = Program("taper", "taper.cli", "taper.run.stdio")
RECOVERY = Program(
    "amidxtaped", "taper.recovery.cli", "taper.recovery.session", option=" --recovery"
)


class State(enum.Enum):
    """What is at the path that the driver starts."""

    STOCK = "Amanda's own taper"
    OURS = "our taper"
    HALF = "Amanda's own taper, with an install or uninstall of ours cut short"
    GAP = "nothing, though our diversion is there"
    MISSING = "nothing; is Amanda's server installed?"
    STRANGE = "neither Amanda's taper nor ours as installed"


@frozen
class Place:
    """The path that the driver starts, and what is there.

    :ivar aside: where Amanda's own program is kept
    :ivar diverted: by us, or at least exactly as we do it
    :ivar launcher: text of our launcher at the path, if there is one
    :ivar remark: what is strange
    """

    path: str
    aside: str
    diverted: bool
    launcher: str | None
    state: State
    remark: str = ""
    program: Program = TAPER

    @property
    def words(self) -> str:
        """What is there, for people."""
        return self.program.words(self.state)

    def refuse_strange(self) -> None:
        """Touch nothing that others have made."""
        if self.state is State.STRANGE:
            raise Refused(f"{self.path} is {self.words}: {self.remark}")


def look_at(path: str, program: Program = TAPER) -> Place:
    """See what is there. :raise Refused: this is no machine with dpkg, or not a path for us"""
    if not os.path.isabs(path):
        raise Refused(f"{path} is not an absolute path")
    if shutil.which(_DIVERT) is None:
        raise Refused(f"{_DIVERT} is needed, and this machine has none")
    if os.path.islink(path):
        raise Refused(f"{path} is a symbolic link to {os.readlink(path)}; name the program itself")
    aside = f"{path}.amanda"
    owner, truename = _divert("--listpackage", path), _divert("--truename", path)
    diverted = owner == "LOCAL" and truename == aside
    launcher = _launcher_text(path)
    state, remark = State.STRANGE, f"it is diverted to {truename} by {owner}"
    if diverted or not owner:
        state, remark = _judge(path, aside, diverted, launcher is not None)
    return Place(path, aside, diverted, launcher, state, remark, program)


def _judge(path: str, aside: str, diverted: bool, ours: bool) -> tuple[State, str]:
    """The state, and a remark if that is strange."""
    if ours:
        if diverted:
            return State.OURS, ""
        return State.STRANGE, "it is our launcher, but there is no diversion"
    if not os.path.exists(path):
        if diverted:
            return State.GAP, ""
        if os.path.lexists(aside):
            return State.STRANGE, f"it is missing, but there is {aside}"
        return State.MISSING, ""
    if _same_file(path, aside):
        return State.HALF, ""
    if os.path.lexists(aside):
        return State.STRANGE, f"{aside} is there too, and is another program"
    if diverted:
        return State.STRANGE, f"it is diverted to {aside}, but is not our launcher"
    return State.STOCK, ""


def _same_file(one: str, other: str) -> bool:
    return os.path.exists(one) and os.path.exists(other) and os.path.samefile(one, other)


def _divert(*arguments: str) -> str:
    done = subprocess.run(
        [_DIVERT, *arguments], capture_output=True, encoding="utf-8", errors="surrogateescape"
    )
    if done.returncode:
        raise Refused(f"{_DIVERT} {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout.strip()


def _launcher_text(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            text = file.read(_LONGEST_LAUNCHER)
    except FileNotFoundError:
        return None
    return text if text.split("\n")[1:2] == [MARK] else None


# -- install ------------------------------------------------------------------------------------


def install(path: str, user: str, say: Say, program: Program = TAPER) -> None:
    """Put our launcher at ``path``, if the dump user can run it; again is no mistake.

    :raise Refused: and everything is as before
    """
    _need_root("install")
    _need_silence("install", program)
    place = look_at(path, program)
    place.refuse_strange()
    if place.state is State.MISSING:
        raise Refused(f"{path} is {place.words}")
    _check_paths(user, path)
    python, command = shlex.quote(sys.executable), program.command(place.aside)
    text = LAUNCHER.format(mark=MARK, python=python, module=command)
    launcher = _write_beside(path, text)
    try:
        _check_launcher(launcher, user, program)
        if place.launcher == text:
            say(f"{path} is our {program.name} already, and {user} can run it.")
            return
        _take_place(place, launcher)
    finally:
        if os.path.lexists(launcher):
            os.unlink(launcher)
    say(f"{path} is our {program.name} now; it runs {sys.executable}.")
    say(f"Amanda's own is kept as {place.aside}; upgrades of Amanda go there too.")
    beside = os.path.join(os.path.dirname(path), TAPER.name)
    option = "" if beside == USUAL else f" --taper {shlex.quote(beside)}"
    say(f"To go back: taperctl uninstall{program.option}{option}")


def _need_root(what: str) -> None:
    if os.geteuid() != 0:
        raise Refused(f"{what} needs root")


def _need_silence(what: str, program: Program) -> None:
    """No taper runs: the driver of a run would start both kinds for it."""
    if program is not TAPER:
        return  # each recovery is on its own
    running = running_tapers()
    if running:
        pids = ", ".join(str(pid) for pid in running)
        raise Refused(f"a taper runs (process {pids}); {what} when its run is over")


def _take_place(place: Place, launcher: str) -> None:
    """Second name, diversion, launcher; what was done is undone if one of them fails."""
    with contextlib.ExitStack() as undo:
        if place.state is State.STOCK:
            os.link(place.path, place.aside)
            undo.callback(os.unlink, place.aside)
        if not place.diverted:
            _add_diversion(place)
            undo.callback(_remove_diversion, place)
        os.rename(launcher, place.path)
        undo.pop_all()


def _add_diversion(place: Place) -> None:
    _divert("--quiet", "--local", "--no-rename", "--divert", place.aside, "--add", place.path)


def _remove_diversion(place: Place) -> None:
    _divert("--quiet", "--local", "--no-rename", "--divert", place.aside, "--remove", place.path)


def _write_beside(path: str, text: str) -> str:
    """Write a launcher into the directory of ``path``, under a name of its own."""
    descriptor, name = tempfile.mkstemp(prefix=".taper.", dir=os.path.dirname(path))
    with open(descriptor, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)
        os.fchmod(descriptor, 0o755)
        file.flush()
        os.fsync(descriptor)
    return name


# -- can the dump user run it? ------------------------------------------------------------------


def _as_user(user: str, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command as the dump user; whoever is not root can only try it himself."""
    change = ["runuser", "-u", user, "--"] if os.geteuid() == 0 else []
    return subprocess.run(
        [*change, *command],
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",
        timeout=_SECONDS,
    )


def _check_paths(user: str, path: str, python: str = sys.executable) -> None:
    """Name the directory that keeps the dump user from the launcher or this installation."""
    try:
        pwd.getpwnam(user)
    except KeyError:
        raise Refused(f"there is no user {user}; --user names the dump user") from None
    ours = os.path.dirname(os.path.abspath(__file__))
    _check_owners(path, python, ours)
    for what in (path, python, os.path.realpath(python), ours):
        step = what
        steps = []
        while step != "/":
            step = os.path.dirname(step)
            steps.append(step)
        for directory in reversed(steps):
            if _as_user(user, "test", "-x", directory).returncode:
                raise Refused(
                    f"user {user} may not enter {directory}, but {what} is there;\n"
                    f"it must be where {user} can read it, for example in /opt/twisted-taper"
                )


def _check_owners(*paths: str) -> None:
    """Name what others than root may change: root runs it, and every dump depends on it."""
    reason = not_roots_alone(*paths)
    if reason is not None:
        raise Refused(reason)


def _check_launcher(
    launcher: str, user: str, program: Program, python: str = sys.executable
) -> None:
    """Run it as the dump user, and import all that a real start does."""
    done = _as_user(user, launcher, "--version")
    if not _is_ours(done):
        raise Refused(_failure(f"user {user} cannot run this installation", done))
    done = _as_user(user, python, "-I", "-c", f"import {program.proof}")
    if done.returncode:
        raise Refused(_failure(f"user {user} cannot import this installation", done))


def _is_ours(done: subprocess.CompletedProcess[str]) -> bool:
    """What ``--version`` said; an older one of ours did not say whose it is."""
    return not done.returncode and done.stdout.startswith("taper-")


def _failure(text: str, done: subprocess.CompletedProcess[str]) -> str:
    said = (done.stderr or done.stdout).strip().split("\n")[-1]
    return f"{text}: status {done.returncode}, {said or 'nothing said'}"


# -- uninstall ----------------------------------------------------------------------------------


def uninstall(path: str, say: Say, program: Program = TAPER) -> None:
    """Give Amanda's own program its place back; takes away only what ``install`` made.

    :raise Refused: and everything is as before
    """
    _need_root("uninstall")
    _need_silence("uninstall", program)
    place = look_at(path, program)
    place.refuse_strange()
    if place.state in (State.STOCK, State.MISSING):
        say(f"{path} is {place.words}. There is nothing to take back.")
    elif place.state is State.HALF:
        _remove_diversion(place)
        os.unlink(place.aside)
        say(f"{path} is Amanda's own {program.name}, and what was left of ours is gone.")
    elif os.path.lexists(place.aside):
        _give_back(place)
        say(f"{path} is Amanda's own {program.name} again.")
    else:
        _remove_diversion(place)
        if place.launcher is not None:
            os.unlink(path)
        say(f"Our {program.name} is gone from {path}. Amanda's own was not there any more.")


def _give_back(place: Place) -> None:
    """Amanda's program over the launcher, then the diversion away; undone if that fails."""
    launcher = _write_beside(place.path, place.launcher or "")
    try:
        os.rename(place.aside, place.path)
        try:
            _remove_diversion(place)
        except BaseException:
            os.link(place.path, place.aside)
            if place.launcher is None:
                os.unlink(place.path)
            else:
                os.rename(launcher, place.path)
            raise
    finally:
        if os.path.lexists(launcher):
            os.unlink(launcher)


def _interpreter(path: str, command: str) -> str:
    """The program that a launcher runs. :raise Refused: somebody else wrote it"""
    try:
        words = shlex.split(command)
    except ValueError:
        words = []
    if not words or not os.path.isabs(words[0]):
        raise Refused(f"{path} is not the launcher that was installed: it runs {command}")
    return words[0]


# -- status -------------------------------------------------------------------------------------


def status(path: str, user: str, say: Say, program: Program = TAPER) -> None:
    """Say which taper is in place; of ours, check all that ``install`` checks.

    :raise Refused: neither Amanda's nor ours, or the dump user cannot run ours
    """
    place = look_at(path, program)
    place.refuse_strange()
    if place.state is State.STOCK:
        say(f"{path} is {place.words}.")
        return
    if place.launcher is None:
        raise Refused(f"{path} is {place.words}.")
    command = place.launcher.split("\n")[2].removeprefix("exec ").removesuffix(' "$@"')
    say(f"{path} is our {program.name}: {command}")
    kept = "kept as" if os.path.exists(place.aside) else "gone: there is no"
    say(f"Amanda's own is {kept} {place.aside}")
    if os.geteuid() != 0:
        user = pwd.getpwuid(os.geteuid()).pw_name
    python = _interpreter(path, command)
    _check_paths(user, path, python)
    _check_launcher(path, user, program, python)
    say(f"User {user} can run it.")
