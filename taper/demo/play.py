"""The demonstration from beginning to end (``taperctl demo``)."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import sysconfig
import tempfile
import time
from types import FrameType

from devices.errors import DeviceError
from protocols.errorcode import coded
from taper.demo.compare import Comparison, compare
from taper.demo.hosts_act import play_three_hosts
from taper.demo.progress import bar
from taper.demo.restore import Shelf, read_shelf, restore
from taper.demo.running import run_reactor
from taper.demo.screen import MIB, DemoFailed, Screen, count, mib, printable
from taper.demo.stage import Stage, remove_tree, stage_for
from taper.demo.survey import Survey, survey
from taper.demo.tar import Tar, find_tar, restoring
from taper.demo.write import Writer, Written

EQUAL, FAILED, CHANGED = 0, 1, 3
INTERRUPTED = 130
_SHOWN = 5
_ROOM = 3.3  # holding disk or restored files, and both dumps on volumes, as a multiple of a dump
_ROOM_KEPT = 4.4


def demo(source: str | None, keep: str | None, screen: Screen | None = None) -> int:
    """Play it.

    :param source: a directory; None: Python's own library
    :param keep: a directory that does not exist or is empty: everything stays in it
    :return: exit status: 0 every file was restored as it is in the source, 1 something failed,
        3 all is well, but the source changed meanwhile, 130 interrupted
    """
    screen = screen or Screen()
    # the source may be the library that we import from
    sys.dont_write_bytecode = True
    signals = (signal.SIGTERM, signal.SIGHUP)
    for which in signals:
        signal.signal(which, _interrupt)
    play = Play(screen, source or sysconfig.get_path("stdlib"), keep)
    try:
        return play.run()
    except BrokenPipeError:
        # nobody reads us any more; the interpreter must not try once more at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (DemoFailed, OSError) as fault:
        screen.line()
        for number, line in enumerate(coded(str(fault), fault).split("\n")):
            screen.line(f"{'' if number else 'Failed: '}{printable(line)}")
        return FAILED
    except KeyboardInterrupt:
        screen.line("\nInterrupted.")
        return INTERRUPTED
    finally:
        for which in (signal.SIGINT, *signals):
            signal.signal(which, signal.SIG_IGN)
        play.clear_away()


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


class Play:
    """One performance."""

    def __init__(self, screen: Screen, source: str, keep: str | None) -> None:
        self._screen = screen
        self._source = source
        self._keep = keep
        self._root: str | None = None
        self._began = time.monotonic()

    def run(self) -> int:
        """:return: the exit status"""
        screen = self._screen
        screen.line("A small driver starts a real taper, dumps a directory to volumes in two ways,")
        screen.line("restores both dumps from the volumes and compares every file.")
        screen.line()
        tar = find_tar()
        ours = [self._open_keep()] if self._keep is not None else []
        found = survey(self._source, ours, self._looking)
        self._tell_source(found)
        stage = self._set_stage(found)
        try:
            written = run_reactor(Writer(stage, found, tar, screen).write)
        except DemoFailed as fault:
            raise DemoFailed("\n".join([str(fault), *_last_words(stage)])) from fault
        play_three_hosts(screen, stage.root)
        return self._restore(stage, found, written, tar)

    def _looking(self, entries: int) -> None:
        self._screen.update(f"Looking at {printable(self._source)}: {count(entries, 'name')}")

    def _tell_source(self, found: Survey) -> None:
        names = count(len(found.entries), "name")
        self._screen.line(f"Source   {printable(found.source)}: {names}, {mib(found.size)}")
        for reason, left_out in found.left_out.items():
            shown = ", ".join(printable(name) for name in left_out[:2])
            more = ", ..." if len(left_out) > 2 else ""
            self._screen.line(f"         not dumped, {reason}: {len(left_out)} ({shown}{more})")

    # The place

    def _open_keep(self) -> str:
        assert self._keep is not None
        try:
            os.makedirs(self._keep, mode=0o700, exist_ok=True)
            if os.listdir(self._keep):
                raise DemoFailed(f"--keep {self._keep}: the directory is not empty")
        except OSError as fault:
            raise DemoFailed(f"--keep {self._keep}: {fault.strerror}") from fault
        return self._keep

    def _set_stage(self, found: Survey) -> Stage:
        need = int(found.size * (_ROOM_KEPT if self._keep else _ROOM)) + 4096 * len(found.entries)
        self._root = self._find_place(need)
        stage = stage_for(self._root, found.size)
        stage.build()
        self._screen.line(
            f"Volumes  of {mib(stage.volume_size)}, parts of {mib(stage.part_size)}, "
            f"in {printable(self._root)}"
        )
        return stage

    def _find_place(self, need: int) -> str:
        """A directory for everything, where there is room for it."""
        if self._keep is not None:
            places = [os.path.abspath(self._keep)]
        else:
            places = [tempfile.gettempdir(), "/var/tmp"]
        for place in places:
            if shutil.disk_usage(place).free > need:
                return place if self._keep else tempfile.mkdtemp(prefix="taper-demo.", dir=place)
        where = " nor in ".join(dict.fromkeys(places))
        raise DemoFailed(f"{mib(need)} are needed, and are not free in {where}")

    def clear_away(self) -> None:
        """Delete everything, or say where it is kept."""
        if self._root is None:
            return
        if self._keep is None:
            remove_tree(self._root)
            return
        self._screen.line(f"Kept in {printable(self._root)}: vtapes, restored, log, debug, etc")

    # The way back

    def _restore(self, stage: Stage, found: Survey, written: list[Written], tar: str) -> int:
        screen = self._screen
        screen.heading("Restored from the volumes by tar, and compared with the source")
        shelf = read_shelf(stage)
        troubles = list(shelf.troubles)
        owners = can_give_away(stage.path("tmp"), found)
        if not owners:
            self._screen.line()
            self._screen.line("Left out: owners of files are not restored (only root can do that)")
        changed: set[bytes] = set()
        for each in written:
            back = Restored(screen, stage, found, shelf, each)
            compared = back.run(tar, owners)
            troubles += back.troubles
            changed.update(compared.changed)
            if self._keep is None:
                remove_tree(back.target)
        tell_layout(screen, shelf, written)
        screen.line()
        return self._verdict(troubles, changed)

    def _verdict(self, troubles: list[str], changed: set[bytes]) -> int:
        screen, seconds = self._screen, time.monotonic() - self._began
        if troubles:
            screen.line("Failed:")
            for trouble in troubles[:_SHOWN]:
                screen.line(f"  {printable(trouble)}")
            if len(troubles) > _SHOWN:
                screen.line(f"  ... and {len(troubles) - _SHOWN} more")
            return FAILED
        if changed:
            names = ", ".join(printable(name) for name in sorted(changed)[:_SHOWN])
            screen.line("The taper gave back every byte it was given. But the source changed")
            screen.line(f"meanwhile, so that {count(len(changed), 'name')} cannot be judged:")
            screen.line(f"  {names}{', ...' if len(changed) > _SHOWN else ''}")
            return CHANGED
        screen.line(
            f"Every file is as it was, and the taper ended cleanly. {seconds:.1f} s in all."
        )
        return EQUAL


def can_give_away(directory: str, found: Survey) -> bool:
    """Every owner in the source can be restored by us."""
    if os.geteuid() != 0:
        return False
    probe = os.path.join(directory, "owner")
    with open(probe, "wb"):
        pass
    try:
        for uid, gid in {(e.facts.st_uid, e.facts.st_gid) for e in found.entries}:
            os.chown(probe, uid, gid)
    except OSError:
        return False  # root of a user namespace that knows only some users
    finally:
        os.unlink(probe)
    return True


class Restored:
    """One dump on its way back.

    :ivar target: where its files are
    :ivar troubles: what is wrong with it, for people
    """

    def __init__(
        self, screen: Screen, stage: Stage, found: Survey, shelf: Shelf, written: Written
    ) -> None:
        self._screen = screen
        self._found = found
        self._written = written
        self._stage = stage
        self._parts = shelf.parts_of(written.dump.header)
        self._kind = written.dump.kind
        self.target = stage.path("restored", self._kind)
        self.troubles: list[str] = []
        self._began = 0.0

    def run(self, tar: str, owners: bool) -> Comparison:
        """Restore and compare; what is wrong is in :attr:`troubles` and the result."""
        began = self._began = time.monotonic()
        os.mkdir(self.target, 0o700)
        self._check_numbers()
        run = Tar(restoring(tar, self.target, owners), self._stage.path("log", "tar.restore"))
        try:
            crc = restore(self._parts, run, self._restoring)
        except DeviceError as fault:
            self._trouble(f"cannot be read: {fault.text}")
        else:
            if crc != self._written.crc:
                self._trouble(f"checksum is {crc}, the taper said {self._written.crc}")
        if run.status:
            self._trouble(f"tar ended with status {run.status}: {'; '.join(run.complaints())}")
        compared = compare(self._found, self.target, owners=owners, tell=self._comparing)
        for name, text in compared.differences:
            self._trouble(f"{printable(name)} {text}")
        total = len(self._found.entries)
        self._screen.line(
            f"  {self._kind}  {len(compared.equal):,} of {count(total, 'name')} equal: contents, "
            f"mode, {'owner, ' if owners else ''}time; {time.monotonic() - began:.2f} s"
        )
        return compared

    def _trouble(self, text: str) -> None:
        self.troubles.append(f"{self._kind}: {text}")

    def _restoring(self, size: int) -> None:
        seconds = time.monotonic() - self._began
        self._screen.update(bar(self._kind, size, self._written.crc.size, seconds))

    def _comparing(self, done: int) -> None:
        total = len(self._found.entries)
        self._screen.update(f"  {self._kind}: comparing, {done:,} of {count(total, 'name')}")

    def _check_numbers(self) -> None:
        numbers = [part.header.partnum for part in self._parts]
        missing = sorted(set(range(1, max(numbers, default=1) + 1)) - set(numbers))
        if missing:
            self._trouble(f"part {', '.join(map(str, missing))} is not on the volumes")


def tell_layout(screen: Screen, shelf: Shelf, written: list[Written]) -> None:
    """One line for each volume: label, bytes, and the parts in its files."""
    letters = {each.dump.header.datestamp: each.dump.kind[0] for each in written}
    spans = [len({part.label for part in shelf.parts_of(each.dump.header)}) for each in written]
    screen.heading("The volumes: parts of the FILE-WRITE (F) and of the PORT-WRITE (P), in MiB")
    for volume in shelf.volumes:
        cells = []
        for part in volume.parts:
            letter = letters.get(part.header.datestamp, "?")
            size = "?" if part.size is None else f"{part.size / MIB:.1f}"
            cells.append(f"{letter}{part.header.partnum} {size}")
        stored = sum(part.size or 0 for part in volume.parts)
        head = f"  {volume.label:<9} {mib(stored):>9}  {count(len(cells), 'file'):<8}"
        width = max(8, *map(len, cells)) if cells else 8
        in_line = (79 - len(head)) // (width + 1)
        for start in range(0, max(len(cells), 1), in_line):
            shown = " ".join(f"{cell:<{width}}" for cell in cells[start : start + in_line])
            screen.line(f"{head if not start else ' ' * len(head)} {shown}".rstrip())
    if min(spans) < 2:
        screen.line("  (The source is too small to span volumes.)")


def _last_words(stage: Stage) -> list[str]:
    """What the taper's stderr says beyond the usual."""
    try:
        with open(stage.stderr, "rb") as file:
            lines = [printable(line) for line in file.read().splitlines()]
    except FileNotFoundError:
        return []
    usual = ("taper: status file ", "taper: wrote label ")
    lines = [line for line in lines if not line.startswith(usual)][-10:]
    return ["stderr of the taper:", *(f"  {line}" for line in lines)] if lines else []
