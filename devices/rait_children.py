"""The children of a ``rait:`` device [volumes 5.3].

Their properties make its own. All are asked at the same time, and it can go on without one.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from devices.base import BaseDevice
from devices.crew import Crew
from devices.errors import DeviceError, DriveFailed, PropertyRefused, Status, VolumeFailed
from devices.interfaces import AccessMode, IDevice, IHurries, Streaming
from devices.properties import SET_BEFORE_START, Kind, Property, Source, Surety, Value
from protocols.braces import collapse_braces

T = TypeVar("T")

USUAL_BLOCK = 32768
LARGEST_BLOCK = 2**31 - 1
BROKEN = Status.DEVICE_ERROR

_log = logging.getLogger(__name__)


class RaitChildren(BaseDevice):
    """Devices that make one.

    :param children: at most one is None, and missing: then the device can be read only.
    :ivar lacks: why one is missing that was not meant to be.
    """

    lacks = ""

    def __init__(self, name: str, children: Sequence[IDevice | None]) -> None:
        self._children = list(children)
        self._all = {n: child for n, child in enumerate(children) if child is not None}
        self._data_lanes = max(1, len(children) - 1)
        # children that failed since the volume was looked at: it goes on without one of them
        self._lost: set[int] = set()
        # those of them of which only the headers of files could not be read
        self._beheaded: set[int] = set()
        self._own_limits = {n: _limit_of_its_own(child) for n, child in self._all.items()}
        self._crew = Crew(f"rait {name}")
        self._blocks_fixed = False
        super().__init__(name, (1, LARGEST_BLOCK, USUAL_BLOCK))
        self._declare()

    def _declare(self) -> None:
        children = list(self._all.values())
        names = [
            "MISSING" if child is None else str(child.properties["canonical_name"].value)
            for child in self._children
        ]

        def all_are(name: str) -> bool:
            return all(child.properties.flag(name) for child in children)

        self._fix(
            canonical_name=f"rait:{collapse_braces(names)}",
            appendable=all_are("appendable"),
            partial_deletion=all_are("partial_deletion"),
            full_deletion=all_are("full_deletion"),
            leom=all_are("leom"),
            streaming=max((child.streaming for child in children), default=Streaming.NONE),
            concurrency=min(child.properties.number("concurrency") for child in children),
        )
        usual = self._child_block() or USUAL_BLOCK
        self.properties.declare(
            Property(
                "block_size", Kind.INT, SET_BEFORE_START, usual * self._data_lanes, Surety.BAD
            ),
            self._check_block_size,
        )
        self.properties.declare(
            Property("max_volume_usage", Kind.UINT64, SET_BEFORE_START), self._share_limit
        )
        self.properties.declare(Property("degraded_write", Kind.BOOL, SET_BEFORE_START, False))

    def hurry(self) -> None:
        """See IHurries: those of the children hurry that can."""
        for child in self._all.values():
            if IHurries.providedBy(child):
                IHurries(child).hurry()

    # -- properties -----------------------------------------------------------------------------

    def _check_block_size(self, value: Value) -> Value:
        lanes = self._data_lanes
        if not 0 < int(value) <= LARGEST_BLOCK or int(value) % lanes:
            raise PropertyRefused(f"Block size must be a multiple of {lanes}")
        self._blocks_fixed = False
        return value

    def _share_limit(self, value: Value) -> Value:
        """Each child may have its share, or less where its own section says so; what the smallest
        has is what all have."""
        lanes = self._data_lanes
        for n, child in self._all.items():
            limits = [limit for limit in (self._own_limits[n], int(value) // lanes) if limit]
            child.properties.set("max_volume_usage", min(limits, default=0))
        shares = [child.properties.number("max_volume_usage") for child in self._all.values()]
        return min(shares) * lanes

    def _child_block(self) -> int | None:
        """The block of the children where nobody has set ours; None: they have none in common."""
        low, high = 1, LARGEST_BLOCK
        for child in self._all.values():
            prop = child.properties["block_size"]
            if prop.source is Source.USER:
                least = most = child.block_size
            else:
                least = child.properties.number("min_block_size")
                most = child.properties.number("max_block_size")
            low, high = max(low, least), min(high, most)
        return None if low > high else min(max(USUAL_BLOCK, low), high)

    def _fix_block_size(self) -> None:
        """Let all children have blocks that make ours."""
        if self._blocks_fixed:
            return
        if self.properties["block_size"].source is Source.USER:
            wanted: int | None = self.block_size // self._data_lanes
        else:
            wanted = self._child_block()
        if wanted is None:
            raise self._fail(
                "No block size is acceptable to all child devices", BROKEN, DriveFailed
            )
        for child in self._all.values():
            prop = child.properties["block_size"]
            if prop.source is Source.USER and child.block_size != wanted:
                text = (
                    f"Child device {child.name} already has its block size set to "
                    f"{child.block_size}, not {wanted}"
                )
                raise self._fail(text, BROKEN, DriveFailed)
            try:
                child.properties.set("block_size", wanted, source=Source.DETECTED)
            except PropertyRefused as error:
                raise self._fail(f"{child.name}: {error.text}", BROKEN, DriveFailed) from error
        self.properties.note(
            "block_size", wanted * self._data_lanes, self.properties["block_size"].source
        )
        self._blocks_fixed = True

    @property
    def _lane_block(self) -> int:
        return self.block_size // self._data_lanes

    # -- children -------------------------------------------------------------------------------

    @property
    def _there(self) -> dict[int, IDevice]:
        """Children that can still be asked."""
        return {n: child for n, child in self._all.items() if n not in self._lost}

    def _forget_lost(self) -> None:
        """The volume is looked at anew."""
        self._lost.clear()
        self._beheaded.clear()

    def _take_back(self) -> dict[int, IDevice]:
        """Children that lacked no more than headers may be asked for another file."""
        back = {n: self._all[n] for n in sorted(self._beheaded)}
        self._lost -= self._beheaded
        self._beheaded.clear()
        return back

    @property
    def _degraded(self) -> bool:
        return len(self._there) < len(self._children)

    def _ask(
        self, operation: Callable[[IDevice], T], of: Mapping[int, IDevice] | None = None
    ) -> tuple[dict[int, T], dict[int, DeviceError]]:
        """Ask children, all that are there unless others are named, at the same time.

        :return: what they say, and what went wrong with others. What is no DeviceError is raised.
        """
        children = self._there if of is None else of
        answers = self._crew.do(
            {n: functools.partial(operation, child) for n, child in children.items()}
        )
        good: dict[int, T] = {}
        bad: dict[int, DeviceError] = {}
        for n, answer in answers.items():
            if isinstance(answer, DeviceError):
                bad[n] = answer
            elif isinstance(answer, Exception):
                raise answer
            else:
                good[n] = answer
        return good, bad

    def _named(self, texts: Mapping[int, str | None]) -> str:
        """What children say, each with its name."""
        return "; ".join(f"{self._all[n].name}: {text}" for n, text in texts.items())

    def _joined(self, bad: Mapping[int, DeviceError], what: str = "") -> DeviceError:
        """The errors of children as one."""
        status = Status.SUCCESS
        for error in bad.values():
            status |= error.status
        text = self._named({n: error.text for n, error in bad.items()})
        kind = VolumeFailed if status & Status.VOLUME_ERROR else DeviceError
        return self._fail(f"{what}: {text}" if what else text, status or BROKEN, kind)

    def _go_on_without(self, bad: Mapping[int, DeviceError], file: int) -> bool:
        """While writing: whether the one child that failed is done without until the volume is
        finished (property DEGRADED-WRITE). What is written from here on is whole on the others,
        and no further child can be lost. Of two children nobody could tell afterwards which is
        right, so there must be three.

        :param file: the number of the first that it lacks, or has not whole
        """
        allowed = self.properties.flag("degraded_write") and len(self._children) > 2
        if len(bad) != 1 or self._lost or not allowed:
            return False
        ((n, error),) = bad.items()
        self._lost.add(n)
        self.remark = (
            f"volume {self.label} is degraded from file {file} on: it was written "
            f"without {self._all[n].name}: {error.text}"
        )
        _log.warning("%s: %s", self.name, self.remark)
        return True

    def _isolate(self, bad: Mapping[int, DeviceError], what: str = "") -> None:
        """Go on without the one child that failed.

        :raise DeviceError: more than one has, or another had before
        """
        if not bad:
            return
        if len(bad) > 1 or self._degraded or len(self._children) == 1:
            raise self._joined(bad, what)
        ((n, error),) = bad.items()
        child = self._all[n].name
        _log.warning("%s: %s: %s; going on in degraded mode", self.name, child, error)
        self._lost.add(n)
        if self.access_mode is AccessMode.READ:
            self.remark = f"it is read without {child}, which cannot read it: {error.text}"


def _limit_of_its_own(child: IDevice) -> int:
    """The bytes that the child's own section lets it have; 0: any number."""
    name = "max_volume_usage"
    if name not in child.properties or child.properties[name].source is not Source.USER:
        return 0
    return child.properties.number(name)
