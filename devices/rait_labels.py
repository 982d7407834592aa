"""The labels of a ``rait:`` device: one on all its children [volumes 5.3]."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from devices.base import timestamp_now
from devices.errors import DeviceError, DriveFailed, Status, VolumeFailed
from devices.interfaces import AccessMode, IDevice, VolumeReading
from devices.rait_children import BROKEN, RaitChildren
from protocols.header import HeaderType

_log = logging.getLogger(__name__)


class RaitLabels(RaitChildren):
    """Children whose volumes bear one label."""

    def reset(self) -> None:
        super().reset()
        for child in self._all.values():
            child.reset()

    def read_label(self) -> VolumeReading:
        """See IDevice. One child may have lost its volume, or label: that of the others counts, so
        that a scan never takes what can be read for blank."""
        self._need_mode("read_label", AccessMode.NULL)
        self.label = self.timestamp = None
        self.reset()
        self._forget_lost()
        try:
            self._fix_block_size()
            readings, bad = self._ask(lambda child: child.read_label())
        except DeviceError as error:
            return VolumeReading(error.status, error=error.text)
        finally:
            self._crew.rest()
        for n, fault in bad.items():
            readings[n] = VolumeReading(fault.status, error=fault.text)
        return self._judge_labels(dict(sorted(readings.items())))

    def _judge_labels(self, readings: Mapping[int, VolumeReading]) -> VolumeReading:
        good = {n: one for n, one in readings.items() if one.status is Status.SUCCESS}
        failed = {n: one for n, one in readings.items() if n not in good}
        spare = len(self._children) - len(readings) + len(failed) <= 1 < len(self._children)
        if failed and not (good and spare):
            return self._unreadable(failed, readings)
        first, *others = good
        label = (good[first].label, good[first].timestamp)
        for n in others:
            found = (good[n].label, good[n].timestamp)
            if found != label:
                text = (
                    f"Inconsistent volume labels/datestamps: Got {label[0]}/{label[1]} on "
                    f"{self._all[first].name} against {found[0]}/{found[1]} on {self._all[n].name}."
                )
                self._note(text, Status.VOLUME_ERROR)
                return VolumeReading(Status.VOLUME_ERROR, error=text)
        for n, one in failed.items():
            _log.warning("%s: %s: %s; going on without", self.name, self._all[n].name, one.error)
            self._lost.add(n)
        self.label, self.timestamp = label
        return VolumeReading(Status.SUCCESS, HeaderType.TAPESTART, *label)

    def _unreadable(
        self, failed: Mapping[int, VolumeReading], readings: Mapping[int, VolumeReading]
    ) -> VolumeReading:
        """There is no label. A volume is blank only if it is on every child: whoever has lost some
        of a good volume must not lose the rest of it."""
        status = Status.SUCCESS
        for one in failed.values():
            status |= one.status
        if len(failed) < len(readings):
            status = (status & ~Status.VOLUME_UNLABELED) | Status.VOLUME_ERROR
        text = self._named({n: one.error for n, one in failed.items()})
        self._note(text, status)
        blank = all(one.header_type is HeaderType.EMPTY for one in readings.values())
        return VolumeReading(status, HeaderType.EMPTY if blank else None, error=text)

    def start(
        self, mode: AccessMode, label: str | None = None, timestamp: str | None = None
    ) -> None:
        self._need_mode("start", AccessMode.NULL)
        if mode is AccessMode.NULL:
            raise ValueError(f"start on {self.name} in mode NULL, expected READ, WRITE or APPEND")
        if mode is AccessMode.WRITE and not label:
            raise ValueError(f"start on {self.name} for writing without a label")
        if mode is not AccessMode.READ and len(self._all) < len(self._children):
            text = f"RAIT device {self.name} is read-only because it is in degraded mode.\n"
            text += self.lacks
            raise self._fail(text, BROKEN, DriveFailed)
        try:
            if mode is AccessMode.WRITE:
                self._start_write(label or "", timestamp or timestamp_now())
            else:
                self._start_labelled(mode)
        except BaseException:
            self._crew.rest()
            raise
        self.access_mode = mode

    def _start_write(self, label: str, timestamp: str) -> None:
        self._fix_block_size()
        self._forget_lost()
        self.remark = None
        _, bad = self._ask(lambda child: child.start(AccessMode.WRITE, label, timestamp))
        if bad:
            error = self._joined(bad)
            self._finish_children()
            raise error
        self.reset()
        self.label, self.timestamp = label, timestamp

    def _start_labelled(self, mode: AccessMode) -> None:
        """Read the label afresh: nothing is appended to a volume that was changed meanwhile."""
        known, self.remark = self.label, None
        reading = self.read_label()
        if reading.status is not Status.SUCCESS:
            raise VolumeFailed(reading.error or "", reading.status)
        if known is not None and known != self.label:
            text = f"Volume label is '{self.label}', but was '{known}' when it was read before"
            raise self._fail(text, Status.VOLUME_ERROR, VolumeFailed)
        if mode is AccessMode.APPEND and self._degraded:
            text = f"RAIT device {self.name} is read-only because it is in degraded mode.\n"
            raise self._fail(text, BROKEN, DriveFailed)
        _, bad = self._ask(lambda child: child.start(mode))
        try:
            if mode is AccessMode.APPEND and bad:
                raise self._joined(bad)
            self._isolate(bad)
            self._check_started()
        except DeviceError:
            self._finish_children()
            raise
        self.file = 0

    def _check_started(self) -> None:
        first, *others = self._there.values()
        for child in others:
            if (child.label, child.timestamp) != (first.label, first.timestamp):
                text = (
                    f"{child.name}: Label ({child.label}/{child.timestamp}) is different from "
                    f"label ({first.label}/{first.timestamp}) found at device {first.name}"
                )
                raise self._fail(text, BROKEN, VolumeFailed)

    def erase(self) -> None:
        self._need_mode("erase", AccessMode.NULL)
        self.label = self.timestamp = None
        self._of_all(lambda child: child.erase())
        self._note("Unlabeled volume", Status.VOLUME_UNLABELED)

    def eject(self) -> None:
        super().eject()
        self._of_all(lambda child: child.eject())

    def _of_all(self, operation: Callable[[IDevice], None]) -> None:
        """:raise DeviceError: what went wrong with some, when all have done it"""
        try:
            _, bad = self._ask(operation, self._all)
        finally:
            self._crew.rest()
        if bad:
            raise self._joined(bad)

    def finish(self) -> None:
        self.access_mode = AccessMode.NULL
        self.in_file = False
        bad = self._finish_children()
        for n in self._lost & bad.keys():
            _log.warning("%s: %s: %s", self.name, self._all[n].name, bad.pop(n).text)
        if bad:
            raise self._joined(bad)

    def _finish_children(self) -> dict[int, DeviceError]:
        try:
            _, bad = self._ask(lambda child: child.finish(), self._all)
        finally:
            self._crew.rest()
        return bad
