"""The device ``dvdrw:``: a vtape in a cache, burned when it is whole, read mounted [volumes 5.5].

It was never tried with a real burner. Burning, mounting and unmounting are other programs, which
properties can name.
"""

from __future__ import annotations

import os
import threading

from zope.interface import implementer

from devices.commands import NO_PROGRAM, CommandFailed, run_command
from devices.dvdrw_cache import Cache, CacheBusy
from devices.errors import DeviceBusy, DeviceError, DriveFailed, NotOnVolume, Status
from devices.file import FileDevice
from devices.file_backed import warn
from devices.interfaces import AccessMode, IHurries, VolumeReading
from devices.programs import find_program
from devices.properties import SET_BEFORE_START, Kind, Property
from devices.vtape import VtapeDirectory
from protocols.header import HeaderType

NO_COLON = (
    "DVDRW device requires cache directory and DVD-RW device separated by a colon (:) in tapedev"
)
WRONG_MODE = "DVDRW device can only be opened in READ or WRITE mode"
NO_MOUNT_POINT = "DVDRW device requires DVDRW_MOUNT_POINT to open device for reading"
NO_ERASING = "A disc cannot be erased; the next volume that is burned takes its place"

MOUNT_SECONDS = 120.0
BURN_SECONDS = 6 * 3600.0
"""How long programs may take: a disc of 100 GB at single speed."""
TRAY_SECONDS = 3.0
"""After a burn the tray may be out for a while: so long it is waited before a second try."""

_BURN = ("-use-the-force-luke", "-Z")
_IMAGE = ("-J", "-R", "-pad", "-quiet")


@implementer(IHurries)
class DvdrwDevice(FileDevice):
    """A DVD burner, whose disc holds one volume, written at once.

    :param node: ``CACHE:DRIVE``, split at the first colon
    """

    mount_seconds = MOUNT_SECONDS
    burn_seconds = BURN_SECONDS
    tray_seconds = TRAY_SECONDS

    def __init__(self, name: str, node: str) -> None:
        cache, colon, self._drive = node.partition(":")
        if not (colon and cache and self._drive):
            raise DriveFailed(f"{NO_COLON}: '{name}'", code=1006)
        super().__init__(name, cache)
        self._stop = threading.Event()
        self._cache = Cache(cache)
        self._mounted = False
        self._fix(appendable=False, partial_deletion=False, full_deletion=False)
        add = self.properties.declare
        add(Property("dvdrw_mount_point", Kind.STRING, SET_BEFORE_START))
        add(Property("dvdrw_keep_cache", Kind.BOOL, SET_BEFORE_START, False))
        add(Property("dvdrw_unlabelled_when_unmountable", Kind.BOOL, SET_BEFORE_START, False))
        for each in ("growisofs", "mount", "umount"):
            add(Property(f"dvdrw_{each}_command", Kind.STRING, SET_BEFORE_START))
        self._use(self._cache.vtape)

    def _use(self, vtape: VtapeDirectory) -> None:
        """Let the volume be in this directory from now on."""
        self._vtape, self._directory = vtape, vtape.path

    # -- labels, modes --------------------------------------------------------------------------

    def read_label(self) -> VolumeReading:
        self._need_mode("read_label", AccessMode.NULL)
        self.label = self.timestamp = None
        self.reset()
        self._stop = threading.Event()
        was_mounted = self._mounted
        try:
            self._mount()
        except DeviceError as fault:
            lenient = self.properties.flag("dvdrw_unlabelled_when_unmountable")
            if lenient and isinstance(fault, _CannotMount):
                self._note(fault.text, Status.VOLUME_UNLABELED)
                return VolumeReading(self.status, HeaderType.EMPTY, error=fault.text)
            return VolumeReading(fault.status, error=fault.text)
        try:
            if not os.path.lexists(self._vtape.path):
                self._note("The disc has no directory 'data'", Status.VOLUME_UNLABELED)
                return VolumeReading(self.status, HeaderType.EMPTY, error=self.error)
            return super().read_label()
        finally:
            if not was_mounted:
                self._unmount()

    def start(
        self, mode: AccessMode, label: str | None = None, timestamp: str | None = None
    ) -> None:
        self._need_mode("start", AccessMode.NULL)
        if mode is AccessMode.APPEND:
            raise self._fail(WRONG_MODE, Status.DEVICE_ERROR, DriveFailed)
        self._stop = threading.Event()
        try:
            if mode is AccessMode.READ:
                self._mount()
            super().start(mode, label, timestamp)
        except BaseException:
            self._unmount()
            self._cache.let_go()
            raise

    def _start_write(self, label: str, timestamp: str) -> None:
        """See LabelledDevice; a volume in the cache that is on no disc is let be."""
        self._use(self._cache.vtape)
        self._check_directory()
        try:
            self._cache.take()
            left = self._cache.unburned()
        except CacheBusy:
            text = f"{self._cache.path} is being written or burned by another process"
            raise self._fail(text, Status.DEVICE_BUSY, DeviceBusy) from None
        except OSError as fault:
            text = f"Cannot read {self._cache.path}: {fault.strerror}"
            raise self._fail(text, Status.DEVICE_ERROR, DriveFailed) from fault
        if left is not None:
            raise self._fail(
                f"{self._vtape} holds the volume of {left}, which was not burned, or is not known "
                "to be; burn it, or remove its files, before another is written",
                Status.DEVICE_ERROR,
                DriveFailed,
            )
        super()._start_write(label, timestamp)
        self._cache.forget_mark()

    def erase(self) -> None:
        self._need_mode("erase", AccessMode.NULL)
        raise self._fail(NO_ERASING, Status.DEVICE_ERROR, DriveFailed)

    def finish(self) -> None:
        """See IDevice. A volume that was written is burned, whatever became of its last file.

        :raise NotOnVolume: it was not, and its dumps are in the cache alone
        """
        mode = self.access_mode
        try:
            super().finish()
        finally:
            self._unmount()
            if mode is AccessMode.WRITE:
                try:
                    self._burn()
                finally:
                    self._cache.let_go()

    def hurry(self) -> None:
        """See IHurries: nobody waits for a disc to be mounted. One that burns goes on."""
        self._stop.set()

    # -- programs -------------------------------------------------------------------------------

    def _program(self, name: str) -> str:
        return self.properties.string(f"dvdrw_{name}_command") or name

    def _burn(self) -> None:
        program = self._program("growisofs")
        found = find_program(program)
        try:
            if found is None:
                raise CommandFailed(NO_PROGRAM)
            self._cache.burn((found, *_BURN, self._drive, *_IMAGE), self.burn_seconds)
        except (CommandFailed, OSError) as fault:
            text = (
                f"{_cannot(program, fault)}; volume {self.label} is in {self._cache.vtape} and on "
                "no disc: burn it by hand, and then remove its files there"
            )
            raise self._fail(text, Status.DEVICE_ERROR, NotOnVolume) from fault
        if self.properties.flag("dvdrw_keep_cache"):
            return
        try:
            self._cache.wipe()
        except OSError as fault:  # it is on the disc, and marked: the next volume wipes it
            warn(f"{self._cache.vtape} cannot be emptied: {fault.strerror}")

    def _mount(self) -> None:
        """Mount the disc, and look at the volume there.

        :raise DeviceError: it cannot be
        """
        point = self.properties.string("dvdrw_mount_point")
        if not point:
            raise self._fail(NO_MOUNT_POINT, Status.DEVICE_ERROR, DriveFailed)
        program = self._program("mount")
        words = (program, os.path.abspath(point))
        if not self._mounted:
            try:
                try:
                    run_command(words, self.mount_seconds, stop=self._stop)
                except CommandFailed:
                    if self._stop.wait(self.tray_seconds):
                        raise
                    run_command(words, self.mount_seconds, stop=self._stop)
            except CommandFailed as fault:
                text = _cannot(program, fault)
                raise self._fail(text, Status.DEVICE_ERROR, _CannotMount) from fault
            self._mounted = True
        self._use(VtapeDirectory.exactly(os.path.join(point, "data")))

    def _unmount(self) -> None:
        """Unmount the disc if we have mounted it; where that fails, it is still mounted."""
        if not self._mounted:
            return
        self._vtape.forget()
        program = self._program("umount")
        point = os.path.abspath(self.properties.string("dvdrw_mount_point"))
        try:
            run_command((program, point), self.mount_seconds)
        except CommandFailed as fault:
            warn(_cannot(program, fault))
        else:
            self._mounted = False


class _CannotMount(DriveFailed):
    """There may be no disc, or a blank one."""


def _cannot(program: str, fault: CommandFailed | OSError) -> str:
    if isinstance(fault, CommandFailed):
        said = f" ({fault.said})" if fault.said else ""
        return f"DVDRW device cannot execute '{program}': {fault.why}{said}"
    return f"DVDRW device cannot execute '{program}': {fault.strerror}"
