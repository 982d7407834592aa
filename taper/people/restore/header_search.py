"""Where the header of a dump comes from of which no part's can be read."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from attrs import evolve
from twisted.internet.defer import Deferred, fail

from devices.errors import DeviceError
from devices.programs import find_program
from protocols.crc import UNKNOWN
from protocols.header import Header, HeaderError, HeaderType
from protocols.recovery.filters import with_sums
from protocols.stored import full_stamp
from taper.core.errors import DumpFault, SourceFault
from taper.flow.salvaged import NoHeader, SalvagedOrigin
from taper.people.restore.finding import level_number
from taper.people.restore.inferring import COPY, StandIn, Unknowable, configured, infer
from taper.people.telling import printable
from taper.recovery.loading_ahead import LoadingAhead

if TYPE_CHECKING:
    from devices.interfaces import ILane
    from protocols.conf import Config
    from protocols.looks import Looks
    from protocols.stored import DumpName
    from taper.people.restore.plan import Contents, Restorable
    from taper.recovery.loading_ahead import IOnlooker
    from taper.recovery.opening import Opener


class HeaderSearch:
    """Looks for it: in other copies of the dump, which have the same; then, if that is allowed, in
    what the configuration has now, and in the dump's data.

    :ivar copies: all copies of dumps of the disk, whole or not, those on holding disks first.
    :ivar contents: of the changers, by storage.
    """

    def __init__(
        self,
        config: Config,
        lane: ILane,
        opener: Opener,
        onlooker: IOnlooker,
        say: Callable[[str], object],
        *,
        may_infer: bool,
    ) -> None:
        """:param say: tells people what was found"""
        self.copies: tuple[Restorable, ...] = ()
        self.contents: Mapping[str, Contents] = {}
        self._config = config
        self._lane = lane
        self._opener = opener
        self._onlooker = onlooker
        self._say = say
        self._may_infer = may_infer

    async def find(
        self, copy: Restorable, origin: SalvagedOrigin, clerk: LoadingAhead, fault: NoHeader
    ) -> StandIn:
        """:param copy: that is restored
        :param origin: of that copy, whose header could not be had
        :param clerk: of the origin; its drives are free while other copies are looked at
        :param fault: of the origin
        :raise SourceFault: there is none
        """
        found = await self._in_copies(copy, clerk)
        if found is None:
            if not self._may_infer:
                raise NoHeader(
                    f"{fault.text}. With --partial, what may be behind them is restored, by what "
                    "the configuration says of the disk now, and by what the data look like"
                )
            found = await self._inferred(origin, fault)
        self._say(f"Level {copy.level}: {found.told}")
        return found

    # other copies

    async def _in_copies(self, copy: Restorable, clerk: LoadingAhead) -> StandIn | None:
        for other in self._others(copy):
            if other.holding is not None:
                header = await self._held(other.holding)
            else:
                await clerk.close_volume(tell=False)  # its drive may be the only one
                header = await self._on_volumes(other)
            if header is None or not _is_of(header, copy):
                continue
            if other.unfinished:
                header = evolve(header, native_crc=UNKNOWN, client_crc=UNKNOWN, server_crc=UNKNOWN)
            return StandIn(
                header=header,
                undoing=COPY,
                program=COPY,
                copy=other.storage,
                where=_place_of(other),
            )
        return None

    def _others(self, copy: Restorable) -> Iterable[Restorable]:
        """Those for which nobody has to bring a volume."""
        for other in self.copies:
            if other.key != copy.key or other.dump == copy.dump:
                continue
            if other.holding is not None or self._at_hand(other):
                yield other

    def _at_hand(self, copy: Restorable) -> set[str]:
        contents = self.contents.get(copy.storage)
        return set() if contents is None else set(copy.labels) & contents.slots.keys()

    async def _held(self, path: str) -> Header | None:
        origin = self._opener.from_holding(path)
        try:
            return await origin.header()
        except (DumpFault, HeaderError):
            return None
        finally:
            await origin.close()

    async def _on_volumes(self, copy: Restorable) -> Header | None:
        dump = copy.dump
        assert dump is not None, "it is on volumes"
        clerk = LoadingAhead(
            functools.partial(self._opener.clerk, copy.storage), _ask_nobody, 1, [], self._onlooker
        )
        origin = self._opener.from_volumes(dump, clerk, SalvagedOrigin)
        away = set(dump.labels) - self._at_hand(copy)
        origin.known_gone = dict.fromkeys(away, "it is not at hand") | dict(copy.gone)
        try:
            await origin.find()
            return await origin.header()
        except (DumpFault, DeviceError):
            return None
        finally:
            await origin.close()
            await clerk.quit()

    # what can be inferred

    async def _inferred(self, origin: SalvagedOrigin, fault: NoHeader) -> StandIn:
        from protocols.looks import Looks

        dump = origin.dump
        blank = _blank(dump.name)
        origin.go_by(with_sums(blank, (dump.native_crc, dump.client_crc, dump.crc)))
        looks = await self._look_at(origin)
        now = await self._lane.call(configured, self._config, blank)
        if looks is None:
            if now is None or now.comp_suffix or now.encrypt_suffix:
                raise fault  # nothing but its begin would tell, or could be undone
            looks = Looks()
        try:
            return await self._lane.call(infer, blank, now, looks, find_program)
        except Unknowable as why:
            raise SourceFault(f"{fault.text}; {why}", code=7013) from why

    async def _look_at(self, origin: SalvagedOrigin) -> Looks | None:
        """What the data look like; None: there are none."""
        from protocols.looks import ENOUGH, looks_of

        head = await origin.peek(ENOUGH)
        return await self._lane.call(looks_of, head) if head else None


def _blank(name: DumpName) -> Header:
    """What the log says of a dump, as a header."""
    return Header(
        type=HeaderType.DUMPFILE,
        datestamp=name.datestamp,
        host=name.host,
        disk=name.disk,
        level=level_number(name.level),
    )


def _is_of(header: Header, copy: Restorable) -> bool:
    assert copy.dump is not None, "it is on volumes"
    name = copy.dump.name
    found = (header.host, header.disk, full_stamp(header.datestamp), str(header.level))
    return header.is_dump and found == (name.host, name.disk, name.datestamp, name.level)


def _place_of(copy: Restorable) -> str:
    if copy.holding is not None:
        return "a holding disk"
    return f"{', '.join(map(printable, copy.labels))} of storage {printable(copy.storage)}"


def _ask_nobody(label: str, why: str) -> Deferred[str]:
    return fail(SourceFault(why))
