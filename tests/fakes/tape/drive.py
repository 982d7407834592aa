"""A drive as a directory: what is in it, how it behaves, and where its tape stands.

DIR/loaded       a link to the cartridge's file; none: the drive is empty
DIR/drive.json   :class:`DriveFacts`, as the test wants them
DIR/state.json   :class:`_State`, kept from one open to the next
DIR/lock         locked while it is open
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
from pathlib import Path
from typing import Any

from attrs import asdict, define, evolve, field, frozen

from devices.mtio import IDrive
from tests.fakes.medium import Medium
from tests.fakes.tape.cartridge import CartridgeFacts, read_facts
from tests.fakes.tape.faults import Fault, oserror
from tests.fakes.tape.handle import Handle
from tests.fakes.tape.speed import Speed


@frozen(kw_only=True)
class DriveFacts:
    """How a drive behaves.

    :ivar block_size: of its fixed blocks; 0: blocks of any size.
    :ivar online: it tells so when a medium is ready; False: it has that wrong.
    :ivar knows_place: the driver tells in which file it stands.
    :ivar lacks: operations that fail, e.g. ``EOM``.
    :ivar faults: what goes wrong when.
    """

    block_size: int = 0
    online: bool = True
    knows_place: bool = True
    lacks: tuple[str, ...] = ()
    faults: tuple[Fault, ...] = ()


@define
class _State:
    """What a drive keeps from one open to the next.

    :ivar at: records and filemarks before the position.
    :ivar polls: questions for which it is not ready yet.
    :ivar ejected: the cartridge was put out of the drive, and not taken away.
    :ivar calls: how often each call was made, for the faults.
    """

    at: int = 0
    polls: int = 0
    ejected: bool = False
    calls: dict[str, int] = field(factory=dict)


@define
class SimulatedDrive:
    """A drive that is opened by a test itself, so that it can look inside.

    :ivar history: every call that was made: its name, and its count or size.
    :param speed: of tape and buffer, if it matters.
    """

    directory: Path
    speed: Speed | None = None
    history: list[tuple[str, int]] = field(factory=list)

    def open(self, path: str, flags: int) -> IDrive:
        """As :func:`open_simulated`, of this drive, whatever the path is."""
        self.history.append(("open", flags & os.O_ACCMODE))
        if not self.directory.is_dir():
            raise oserror(errno.ENOENT)
        lock = _lock(self.directory)
        try:
            return Handle(self, lock, flags)
        except BaseException:
            os.close(lock)
            raise

    @property
    def facts(self) -> DriveFacts:
        """How it behaves; may be set at any time, and counts from the next open on."""
        return _read_drive(self.directory)

    def change(self, **facts: Any) -> None:
        """Let it behave otherwise from the next open on; calls are counted anew."""
        _write_drive(self.directory, evolve(self.facts, **facts))

    def calls(self, *leave_out: str) -> list[tuple[str, int]]:
        """What was asked of it since this was last called, calls of these names left out."""
        told, self.history = self.history, []
        return [call for call in told if call[0] not in leave_out]

    @property
    def is_open(self) -> bool:
        """Somebody has it open."""
        try:
            os.close(_lock(self.directory))
        except OSError:
            return True
        return False

    def medium(self) -> tuple[Medium, CartridgeFacts] | None:
        """The tape in it, opened; None: it is empty."""
        cartridge = cartridge_in(self.directory)
        if cartridge is None or self.state().ejected:
            return None
        return Medium.in_file(cartridge), read_facts(cartridge)

    def state(self) -> _State:
        """Where its tape stands, and more."""
        return _read_state(self.directory)

    def keep(self, state: _State) -> None:
        """Write the state; what was ejected gives way to the next one, if there is a stack."""
        if not (state.ejected and load_next(self.directory)):
            _write_state(self.directory, state)


def open_simulated(path: str, flags: int) -> IDrive:
    """Open the simulated drive in a directory, as :data:`devices.mtio.OpenDrive`."""
    return SimulatedDrive(Path(path)).open(path, flags)


def _lock(directory: Path) -> int:
    fd = os.open(directory / "lock", os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise oserror(errno.EBUSY) from None
    return fd


def make_drive(path: Path | str, **facts: Any) -> SimulatedDrive:
    """Make an empty drive.

    :param facts: of :class:`DriveFacts`
    """
    path = Path(path)
    path.mkdir(parents=True, exist_ok=True)
    _write_drive(path, DriveFacts(**facts))
    return SimulatedDrive(path)


def load(drive: Path | str, cartridge: Path | str) -> None:
    """Put a cartridge into a drive."""
    drive = Path(drive)
    link = drive / "loaded"
    if link.is_symlink():
        raise ValueError(f"{drive} holds {os.readlink(link)} already")
    link.symlink_to(_relative(cartridge, drive))
    calls = _read_state(drive).calls
    _write_state(drive, _State(polls=read_facts(cartridge).load_polls, calls=calls))


def unload(drive: Path | str) -> Path:
    """Take the cartridge out of a drive.

    :raise ValueError: it is empty
    """
    drive = Path(drive)
    cartridge = cartridge_in(drive)
    if cartridge is None:
        raise ValueError(f"{drive} is empty")
    (drive / "loaded").unlink()
    _write_state(drive, _State(calls=_read_state(drive).calls))
    return cartridge


def cartridge_in(drive: Path | str) -> Path | None:
    """The cartridge in a drive, or put out of it and not taken away; None: there is none."""
    link = Path(drive) / "loaded"
    return _target(link) if link.is_symlink() else None


def stack(drive: Path | str, *cartridges: Path | str) -> None:
    """Put cartridges on the stack of a drive: whenever one is ejected it takes the next.

    The first goes into the drive if it is empty.
    """
    drive = Path(drive)
    (drive / "stack").mkdir(exist_ok=True)
    waiting = len(list((drive / "stack").iterdir()))
    for number, cartridge in enumerate(cartridges, waiting):
        (drive / "stack" / f"{number:03}").symlink_to(_relative(cartridge, drive / "stack"))
    if cartridge_in(drive) is None:
        load_next(drive)


def load_next(drive: Path) -> bool:
    """Take the next cartridge from the stack. :return: False: there is none"""
    waiting = sorted((drive / "stack").glob("*"))
    if not waiting:
        return False
    cartridge = _target(waiting[0])
    waiting[0].unlink()
    (drive / "loaded").unlink(missing_ok=True)
    load(drive, cartridge)
    return True


def _relative(cartridge: Path | str, directory: Path) -> str:
    # so that it leads there from within a namespace, too, where both are
    return os.path.relpath(Path(cartridge).absolute(), directory.absolute())


def _target(link: Path) -> Path:
    return Path(os.path.normpath(link.parent / os.readlink(link)))


def _read_drive(directory: Path) -> DriveFacts:
    path = directory / "drive.json"
    if not path.exists():
        raise oserror(errno.ENOTTY)
    facts: dict[str, Any] = json.loads(path.read_text())
    facts["faults"] = tuple(Fault(**fault) for fault in facts.get("faults", ()))
    facts["lacks"] = tuple(facts.get("lacks", ()))
    return DriveFacts(**facts)


def _write_drive(directory: Path, facts: DriveFacts) -> None:
    _replace(directory / "drive.json", json.dumps(asdict(facts)))
    _write_state(directory, evolve(_read_state(directory), calls={}))


def _read_state(directory: Path) -> _State:
    path = directory / "state.json"
    return _State(**json.loads(path.read_text())) if path.exists() else _State()


def _write_state(directory: Path, state: _State) -> None:
    _replace(directory / "state.json", json.dumps(asdict(state)))


def _replace(path: Path, text: str) -> None:
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.write_text(text)
    draft.replace(path)
