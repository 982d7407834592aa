"""The device ``rait:``: one volume over several devices, with parity [volumes 5.3].

Of n children d = n - 1 hold data. A block is d blocks of the children, one for each; the last child
has their XOR, so that two children are a mirror. Headers stand on every child.
What all children do they do at the same time, each in a thread of its own.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping

from zope.interface import implementer

from devices.errors import DeviceError, DriveFailed, VolumeFailed
from devices.interfaces import (
    AccessMode,
    FileStart,
    IDevice,
    IFindsData,
    IHurries,
    WriteEnd,
    Written,
)
from devices.rait_children import BROKEN
from devices.rait_labels import RaitLabels
from devices.xor import agree, gather, scatter, xor
from protocols.braces import BraceError, expand_braces
from protocols.header import Header, HeaderType

ABSENT = frozenset({"ERROR", "MISSING", "DEGRADED"})
"""In the place of a child's name: there is none."""

_FAILED = "One or more devices failed to"

_Found = tuple[Header | None, int, bool]
"""What seeking a file gave: its header, its number, and whether there are data."""

_log = logging.getLogger(__name__)


def open_rait(name: str, node: str, open_child: Callable[[str], IDevice]) -> RaitDevice:
    """The device as the registry opens it.

    :param node: the children's names, a list in braces
    :param open_child: opens and configures one; raises DeviceError
    :raise DriveFailed: no list, or more than one child is missing
    """
    try:
        names = expand_braces(node)
    except BraceError as error:
        raise DriveFailed(f"Invalid RAIT device name '{name}': {error}", code=1006) from error
    if not all(names):
        raise DriveFailed(
            f"Invalid RAIT device name '{name}': a list of devices is expected", code=1006
        )
    children: list[IDevice | None] = []
    faults: list[str] = []
    for child in names:
        try:
            if child in ABSENT:
                raise DriveFailed("Device is NULL")
            children.append(open_child(child))
        except DeviceError as error:
            children.append(None)
            faults.append(f"{child}: {error.text}")
    if len(faults) > 1 or len(faults) == len(names):
        raise DriveFailed("; ".join(faults))
    for fault in faults:
        _log.warning("%s: %s: going on in degraded mode, which is read-only", name, fault)
    device = RaitDevice(name, children)
    device.lacks = "" if ABSENT & set(names) else "; ".join(faults)
    return device


@implementer(IDevice, IFindsData, IHurries)
class RaitDevice(RaitLabels):
    """A device made of devices.

    :param children: at most one is None, and missing: then the device can be read only.
    """

    # -- writing --------------------------------------------------------------------------------

    def start_file(self, header: Header) -> FileStart:
        """See IDevice. Where one child has no room for the header, the volume is full."""
        self._need_writable("start_file", False)
        self.is_eom = False
        starts, bad = self._ask(lambda child: child.start_file(header))
        if bad and not self._go_on_without(bad, max(self.file, 0) + 1):
            self._end_files(starts)
            raise self._joined(bad, f"{_FAILED} start_file")
        none = [n for n, one in starts.items() if not one.number]
        self.is_eom = any(one.eom for one in starts.values())
        if none:
            self._end_files(starts)
            self.is_eom = True
            first = self._all[none[0]]
            self._note(first.error or "", first.status)
            return FileStart(0, True, space=any(one.space for one in starts.values()))
        numbers = {one.number: n for n, one in starts.items()}
        if len(numbers) > 1:
            self._end_files(starts)
            (ours, _), (theirs, n), *_ = sorted(numbers.items())
            text = (
                "File number mismatch in rait_device_start_file(): Child "
                f"{self._all[n].name} reported file number {theirs}, another child reported file "
                f"number {ours}."
            )
            raise self._fail(text, BROKEN, VolumeFailed)
        (number,) = numbers
        self._begin_file(number)
        return FileStart(number, self.is_eom)

    def _end_files(self, starts: Mapping[int, FileStart]) -> None:
        """End the files that some children have begun for nothing."""
        begun = {n: self._all[n] for n, one in starts.items() if one.number}
        _, bad = self._ask(lambda child: child.finish_file(), begun)
        for n, error in bad.items():
            _log.warning("%s: %s: %s", self.name, self._all[n].name, error)

    def next_run(self, offered: int) -> int:
        lanes = self._data_lanes
        share = -(-offered // self.block_size) * self._lane_block
        run = min(child.next_run(share) for child in self._there.values())
        return min(offered, max(run - run % self._lane_block, self._lane_block) * lanes)

    def write_blocks(self, data: memoryview) -> Written:
        """See IDevice. All children get the same number of blocks, in runs that end where one of
        them comes to its end; one that fails fails the part, unless it may be done without."""
        self._check_offer(len(data))
        accepted = 0
        while accepted < len(data):
            run = self.next_run(len(data) - accepted)
            stored, end = self._write_run(data[accepted : accepted + run])
            accepted += stored
            if stored:
                self._count(stored)
            if end is not WriteEnd.NONE:
                return Written(accepted, end)
        return Written(accepted, WriteEnd.NONE)

    def _write_run(self, data: memoryview) -> tuple[int, WriteEnd]:
        """Write some blocks; the last may be short, and is filled with zeros.

        :return: bytes stored, and why no more
        """
        padding = -len(data) % self.block_size
        whole = memoryview(bytes(data) + bytes(padding)) if padding else data
        lanes = gather(whole, self._data_lanes, self._lane_block)
        size = len(lanes[0])
        there = self._there
        writers = {
            n: functools.partial(_write_all, there[n], lane)
            for n, lane in enumerate(lanes)
            if n in there
        }
        results = self._crew.begin(writers)  # the others write while the parity is made
        answers: dict[int, Written | Exception] = {}
        parity = len(self._children) - 1
        if parity and parity in there:
            try:
                made = lanes[0] if len(lanes) == 1 else memoryview(xor(lanes))
                answers[parity] = _write_all(there[parity], made)
            except Exception as error:  # the others are still at it: judged when all are done
                answers[parity] = error
        answers.update(results())
        return self._judge_run(answers, size, len(data))

    def _judge_run(
        self, answers: Mapping[int, Written | Exception], size: int, offered: int
    ) -> tuple[int, WriteEnd]:
        broken = {n: error for n, one in answers.items() if (error := self._broken(n, one))}
        if self._go_on_without(broken, self.file):
            answers = {n: one for n, one in answers.items() if n not in broken}
        written = {n: one for n, one in answers.items() if isinstance(one, Written)}
        for one in answers.values():
            if isinstance(one, Exception) and not isinstance(one, DeviceError):
                raise one
        ends = {one.end for one in written.values()}
        stored = {one.accepted for one in written.values()}
        good = {WriteEnd.NONE, WriteEnd.EARLY}
        if len(written) == len(answers) and stored == {size} and ends <= good:
            self.is_eom = self.is_eom or WriteEnd.EARLY in ends
            return offered, WriteEnd.EARLY if self.is_eom else WriteEnd.NONE
        self.is_eom = True
        texts = {n: f"{one}" for n, one in answers.items() if isinstance(one, DeviceError)}
        failed = [n for n, one in written.items() if one.end not in good]
        texts |= {n: self._all[n].error or "" for n in failed}
        status = BROKEN
        if len(written) == len(answers) and ends == {WriteEnd.FULL} and len(stored) == 1:
            # all have met their limits at the same block: what is stored is good
            first = self._all[min(written)]
            self._note(first.error or "", first.status)
            return min(offered, stored.pop() * self._data_lanes), WriteEnd.FULL
        if not texts:
            texts = {n: f"{one.accepted} bytes stored" for n, one in written.items()}
        if len(failed) == len(answers):
            status = self._all[failed[0]].status
        self._note(f"{_FAILED} write_block: {self._named(dict(sorted(texts.items())))}", status)
        return 0, WriteEnd.FAILED

    def _broken(self, n: int, answer: Written | Exception) -> DeviceError | None:
        """Why a child could not write, if that is not the end of its volume."""
        if isinstance(answer, Exception):
            return answer if isinstance(answer, DeviceError) else None
        child = self._all[n]
        if answer.end is not WriteEnd.FAILED or child.is_eom:
            return None
        return DeviceError(child.error or "it could not write", child.status)

    def finish_file(self) -> None:
        self._need_writable("finish_file", True)
        self.in_file = False
        _, bad = self._ask(lambda child: child.finish_file() if child.in_file else None)
        if bad and not self._go_on_without(bad, self.file):
            self.is_eom = True  # nothing more is written behind it, as after a block that failed
            raise self._joined(bad, f"{_FAILED} finish_file")

    # -- reading --------------------------------------------------------------------------------

    def seek_file(self, number: int) -> Header | None:
        self._check_seek(number)
        self.in_file, self.remark = False, None
        found, bad = self._seek(number)
        self._isolate(bad, f"{_FAILED} seek_file")
        if self.access_mode is AccessMode.READ:
            self._beheaded |= bad.keys()
        places = {n: (_kind(header), file, inside) for n, (header, file, inside) in found.items()}
        odd = _odd_one(places)
        if odd is not None:
            text = f"file {number} is another one than on the others"
            self._isolate({odd: VolumeFailed(text)}, f"{_FAILED} seek_file")
        if len({places[n] for n in self._there}) > 1:
            text = f"{_FAILED} seek_file: file {number} is not the same on all children"
            raise self._fail(text, BROKEN, VolumeFailed)
        header, file, inside = next(found[n] for n in self._there)
        if inside:
            self._begin_file(file)
        self.file = file
        return header

    def _seek(self, number: int) -> tuple[dict[int, _Found], dict[int, DeviceError]]:
        """Let the children seek a file. Where too many of them cannot read its header, one that can
        tells what is there, and the others go to their data, if they find them.

        :return: what they found, and what went wrong with others
        """

        def seek(child: IDevice) -> _Found:
            return child.seek_file(number), child.file, child.in_file

        found, bad = self._ask(seek)
        if not bad or (len(bad) == 1 and not self._degraded):
            return found, bad
        back, still_bad = self._ask(seek, self._take_back())
        found |= back
        bad |= still_bad
        too_many = len(bad) > 1 or self._degraded
        dumps = [one for one in found.values() if one[0] is not None and one[1:] == (number, True)]
        if too_many and dumps and len(dumps) == len(found):
            bare, _ = self._ask(
                lambda child: _seek_data(child, number), {n: self._all[n] for n in bad}
            )
            found |= dict.fromkeys(bare, dumps[0])
        return found, {n: error for n, error in bad.items() if n not in found}

    def seek_data(self, number: int) -> int | None:
        """See IFindsData: the children's data make ours."""
        self._check_seek(number)
        self.in_file, self.remark = False, None
        self._take_back()
        what = f"{_FAILED} seek_data"
        sizes, bad = self._ask(lambda child: _seek_data(child, number))
        self._isolate(bad, what)
        self._beheaded |= bad.keys()
        odd = _odd_one(sizes)
        if odd is not None:
            self._isolate({odd: VolumeFailed(f"it has {sizes.pop(odd)} bytes of data")}, what)
        if len(set(sizes.values())) != 1:
            text = f"{what}: file {number} has another length on each child"
            raise self._fail(text, BROKEN, VolumeFailed)
        size = next(iter(sizes.values()))
        self._begin_file(number)
        return None if size is None else size * self._data_lanes

    def read_blocks(self, buffer: memoryview) -> int:
        self._check_buffer(len(buffer))
        size = len(buffer) // self.block_size * self._lane_block
        lanes = {n: memoryview(bytearray(size)) for n in self._there}
        got, bad = self._read_lanes(lanes)
        self._isolate(bad)
        odd = _odd_one(got)
        if odd is not None and got[odd] < max(got.values()):
            self._isolate({odd: VolumeFailed(f"{got.pop(odd)} bytes where others have more")})
        sizes = set(got.values())
        if len(sizes) != 1:
            text = "All child devices failed to read, but not all are at eof"
            raise self._fail(text, BROKEN, VolumeFailed)
        (read,) = sizes
        if not read:
            self.in_file = False
            return 0
        if read % self._lane_block:
            text = f"{read} bytes on each child, blocks of {self._lane_block} expected"
            raise self._fail(text, BROKEN, VolumeFailed)
        scatter(self._data({n: lanes[n][:read] for n in got}), self._lane_block, buffer)
        return read * self._data_lanes

    def _read_lanes(
        self, lanes: Mapping[int, memoryview]
    ) -> tuple[dict[int, int], dict[int, DeviceError]]:
        answers = self._crew.do(
            {n: functools.partial(_read_all, self._all[n], lane) for n, lane in lanes.items()}
        )
        bad = {n: one for n, one in answers.items() if isinstance(one, DeviceError)}
        for one in answers.values():
            if isinstance(one, Exception) and not isinstance(one, DeviceError):
                raise one
        return {n: one for n, one in answers.items() if isinstance(one, int)}, bad

    def _data(self, lanes: Mapping[int, memoryview]) -> list[memoryview]:
        """What the data children have, that of a missing one made of the others."""
        wanted = range(self._data_lanes)
        missing = [n for n in range(len(self._children)) if n not in lanes]
        if missing:
            rebuilt = memoryview(xor(list(lanes.values())))
            return [lanes.get(n, rebuilt) for n in wanted]
        if len(lanes) > 1 and not agree([lanes[n] for n in sorted(lanes)]):
            text = "RAIT is inconsistent: Parity block did not match data blocks."
            raise self._fail(text, BROKEN, VolumeFailed)
        return [lanes[n] for n in wanted]


def _write_all(child: IDevice, data: memoryview) -> Written:
    """Go on behind an early warning: all children must have the same blocks."""
    accepted = 0
    early = False
    while True:
        written = child.write_blocks(data[accepted:])
        accepted += written.accepted
        early = early or written.end is WriteEnd.EARLY
        if written.end not in (WriteEnd.NONE, WriteEnd.EARLY):
            return Written(accepted, written.end)
        if accepted == len(data):
            return Written(accepted, WriteEnd.EARLY if early else WriteEnd.NONE)


def _read_all(child: IDevice, lane: memoryview) -> int:
    """Fill ``lane``, or as much of it as the file still has; some devices read block by block."""
    got = 0
    while got < len(lane) and child.in_file and len(lane) - got >= child.block_size:
        read = child.read_blocks(lane[got:])
        if not read:
            break
        got += read
    return got


def _seek_data(child: IDevice, number: int) -> int | None:
    if not IFindsData.providedBy(child):
        raise VolumeFailed(f"{child.name} finds no data without a header")
    return IFindsData(child).seek_data(number)


def _kind(header: Header | None) -> object:
    """What of a header must be the same on all children; an end has the time of looking."""
    if header is None or header.type is HeaderType.TAPEEND:
        return None if header is None else HeaderType.TAPEEND
    return header


def _odd_one(found: Mapping[int, object]) -> int | None:
    """The one that says something else than all others, of three or more."""
    if len(found) < 3:
        return None
    for n, one in found.items():
        others = {other for m, other in found.items() if m != n}
        if len(others) == 1 and one not in others:
            return n
    return None
