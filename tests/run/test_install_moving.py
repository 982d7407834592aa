"""Whoever is killed between two steps of an install leaves a program in place, and no knot."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from zope.interface.verify import verifyObject

from protocols.installation import DEBIAN
from taper.install import keeping
from taper.install.keeping import Diversion, IKeeper, Recorded
from taper.install.moving import give_back, take_place
from taper.install.place import LAUNCHER, MARK, Place, State, look_at, write_beside
from taper.install.record import write_record
from taper.install.standin import RECOVERY
from taper.installation import read_record, record_path

OURS = LAUNCHER.format(mark=MARK, python="/opt/taper/bin/python3", command="-m taper.cli")
STEPS = 8
"""More renames and links than any of them has."""
KILLED = 9


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Amanda's taper, on a machine without dpkg."""
    monkeypatch.setattr(keeping, "find", lambda program: None)
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    (tmp_path / "etc").mkdir()
    (tmp_path / "libexec").mkdir()
    write_record(record_path(), DEBIAN)
    path = tmp_path / "libexec" / "taper"
    path.write_text("stock")
    return path


def look(path: Path) -> Place:
    return look_at(str(path), read_record(record_path()))


def install(path: Path) -> None:
    take_place(look(path), write_beside(str(path), OURS))


def uninstall(path: Path) -> None:
    give_back(look(path))


def upgrade(path: Path) -> None:
    """As a package manager does, which knows nothing of us."""
    new = path.with_name("new")
    new.write_text("newer")
    new.rename(path)


def killed_at(step: int, what: Callable[[Path], None], path: Path) -> bool:
    """Do it in a process that is killed before one of its steps. :return: it came so far"""
    child = os.fork()
    if child == 0:
        left = step

        def dying(real: Callable[..., None]) -> Callable[..., None]:
            def die_or_do(*names: object, **more: object) -> None:
                nonlocal left
                if left == 0:
                    os._exit(KILLED)
                left -= 1
                real(*names, **more)

            return die_or_do

        for name in ("link", "rename", "unlink"):
            setattr(os, name, dying(getattr(os, name)))
        try:
            what(path)
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == KILLED


def nothing(path: Path) -> None:
    """Ours was not there."""


def installed(path: Path) -> None:
    install(path)


def overwritten(path: Path) -> None:
    install(path)
    upgrade(path)
    assert look(path).state is State.OVERWRITTEN


@pytest.mark.parametrize("first_finish", [True, False])
@pytest.mark.parametrize("step", range(STEPS))
@pytest.mark.parametrize(
    ("before", "what", "stock"),
    [
        (nothing, install, "stock"),
        (installed, uninstall, "stock"),
        (overwritten, install, "newer"),
        (overwritten, uninstall, "newer"),
    ],
)
def test_killed_at_any_step(
    path: Path,
    before: Callable[[Path], None],
    what: Callable[[Path], None],
    stock: str,
    step: int,
    first_finish: bool,
) -> None:
    """A program is in place; an install finishes, and an uninstall takes everything away."""
    before(path)
    came_so_far = killed_at(step, what, path)
    assert path.read_text() in (stock, OURS)
    assert look(path).state is not State.STRANGE
    if not came_so_far:
        assert look(path).state is (State.OURS if what is install else State.STOCK)
    if first_finish:
        install(path)
        assert (path.read_text(), look(path).state) == (OURS, State.OURS)
        assert path.with_name("taper.amanda").read_text() == stock
    uninstall(path)
    check_gone(path, stock)


def check_gone(path: Path, stock: str) -> None:
    """Nothing of ours is left, but a file that a killed one had not yet put in place."""
    assert (path.read_text(), look(path).state) == (stock, State.STOCK)
    names = {name for name in os.listdir(path.parent) if not name.startswith(".taper.")}
    assert names == {"taper"}
    recorded = read_record(record_path())
    assert recorded is not None
    assert recorded.kept == ""


def test_a_step_that_fails_is_undone(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full when the launcher shall be put in place, or the record be written."""
    real = os.rename

    def fail(source: str, target: str) -> None:
        if target in full:
            raise OSError(28, "No space left on device")
        real(source, target)

    monkeypatch.setattr(os, "rename", fail)
    for full in ({str(path)}, {record_path()}):  # noqa: B007 (read by fail)
        with pytest.raises(OSError, match="No space"):
            install(path)
        assert look(path).state is State.STOCK
        assert read_record(record_path()) == DEBIAN
    full = set()
    install(path)
    full = {record_path()}
    with pytest.raises(OSError, match="No space"):
        uninstall(path)
    full = set()
    assert (path.read_text(), look(path).state) == (OURS, State.OURS)
    uninstall(path)
    assert look(path).state is State.STOCK


def test_a_copy_that_somebody_made_is_not_touched(path: Path) -> None:
    """Only what is recorded was put aside by us."""
    path.with_name("taper.amanda").write_text("precious")
    place = look(path)
    assert place.state is State.STRANGE
    assert f"{path}.amanda is there too, and is another program" in place.remark


def test_each_program_is_kept_by_itself(path: Path) -> None:
    """What is recorded of the one says nothing of the other."""
    other = path.with_name("amidxtaped")
    other.write_text("amidxtaped")
    install(path)
    place = look_at(str(other), read_record(record_path()), RECOVERY)
    assert (place.state, place.kept) == (State.STOCK, False)
    take_place(place, write_beside(str(other), OURS))
    place = look_at(str(other), read_record(record_path()), RECOVERY)
    assert (place.state, place.kept) == (State.OURS, True)
    uninstall(path)
    place = look_at(str(other), read_record(record_path()), RECOVERY)
    assert (place.state, place.kept) == (State.OURS, True)
    assert give_back(place) == f"{other} is Amanda's own amidxtaped again."
    assert read_record(record_path()) == DEBIAN


def test_keepers() -> None:
    """Both are what they say."""
    assert verifyObject(IKeeper, Diversion("/usr/bin/dpkg-divert"))
    assert verifyObject(IKeeper, Recorded(None))
