"""One dump on its way from volumes or a holding disk to files."""

from __future__ import annotations

import os
import select
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from attrs import evolve

from devices.errors import DeviceError
from protocols.errorcode import coded
from protocols.header import HeaderError
from protocols.recovery.features import Features
from protocols.recovery.filters import undo_for, with_sums
from taper.core.errors import DumpFault
from taper.flow.salvaged import NoHeader, SalvagedOrigin
from taper.installation import installation
from taper.people.restore import applications, trust, unpack
from taper.people.restore.outcome import Outcome
from taper.people.restore.unpack import Refused
from taper.people.restore.watched import Contents, Watched, moved_away
from taper.people.telling import printable
from taper.recovery.errors import NotTaken, RecoveryFailed
from taper.recovery.judging import differences, padding_of, proves
from taper.recovery.undoing import Counted, Undone
from taper.recovery.ways import AmandaWay

if TYPE_CHECKING:
    from devices.interfaces import ILane
    from protocols.conf import Config
    from protocols.crc import Crc
    from protocols.header import Header
    from protocols.recovery.filters import Undoing
    from protocols.stored import StoredPart
    from taper.flow.holding import HoldingOrigin
    from taper.people.restore.header_search import HeaderSearch
    from taper.people.restore.inferring import StandIn
    from taper.people.restore.place import Place
    from taper.people.restore.plan import Step
    from taper.people.restore.wish import Wish
    from taper.people.rights import Rights
    from taper.plane.interfaces import ISource
    from taper.recovery.loading_ahead import LoadingAhead
    from taper.recovery.opening import Opener

PATIENCE = 7 * 86400.0
"""Seconds for which whoever unpacks may take nothing: a person may have stopped it."""
_LAST_SECONDS = 10.0
"""For which who takes no more may say why."""


class StepAtWork:
    """One dump that is being restored."""

    def __init__(
        self,
        reactor: Any,
        lane: ILane,
        config: Config,
        rights: Rights,
        wish: Wish,
        place: Place | None,
        step: Step,
        ask_trust: Callable[[tuple[str, ...]], Awaitable[bool]],
        headers: HeaderSearch,
    ) -> None:
        """:param place: None: standard output
        :param ask_trust: whether a program may be run that only the dump names
        :param headers: finds one where no part's can be read
        """
        self._reactor = reactor
        self._lane = lane
        self._config = config
        self._rights = rights
        self._wish = wish
        self._place = place
        self._step = step
        self._ask_trust = ask_trust
        self._headers = headers
        self._stand_in: StandIn | None = None
        self._origin: SalvagedOrigin | HoldingOrigin | None = None
        self._way: AmandaWay | None = None
        self._through = False
        self._taker: unpack.Taker | None = None
        self._stored: Counted | None = None
        self._watched: Watched | None = None
        self._contents: Contents | None = None
        self._given = False

    def done(self) -> int:
        """Bytes read so far. Any thread."""
        if self._stored is not None:
            return self._stored.crc().size
        return 0 if self._way is None else self._way.read

    @property
    def storage(self) -> str:
        """Where the dump is read."""
        return self._step.copy.storage

    @property
    def parts(self) -> int:
        """Of the dump on its volumes."""
        dump = self._step.copy.dump
        return 0 if dump is None else dump.parts[-1].number

    @property
    def part(self) -> StoredPart | None:
        """The part that is read; None: none, or the dump is on no volume."""
        origin = self._origin
        salvaged = origin.salvaged if isinstance(origin, SalvagedOrigin) else None
        return None if salvaged is None else salvaged.at

    def waited_for(self) -> tuple[str, str] | None:
        """Who it is that nothing comes from, as :class:`~taper.people.read_watch.ReadWatch` wants
        to know it."""
        taker = self._taker
        if taker is None or self._watched is None:
            return None
        if self._given:
            return "program", f"{taker.name} has got all, and has not ended"
        if self._way is not None and not _takes_more(taker.descriptor):
            return "program", f"{taker.name} takes no more"
        return "source", "nothing comes from where the dump is read"

    async def run(self, opener: Opener, clerk: LoadingAhead | None, *, alone: bool) -> Outcome:
        """Do it.

        :param alone: nothing else is in the directory
        :raise Refused: this dump can be unpacked in no such way
        """
        try:
            return await self._run(opener, clerk, alone)
        except (DumpFault, DeviceError, HeaderError, RecoveryFailed) as fault:
            text = getattr(fault, "text", None) or str(fault)
            return Outcome(step=self._step, faults=(coded(text, fault),))
        finally:
            await self._close()

    async def _run(self, opener: Opener, clerk: LoadingAhead | None, alone: bool) -> Outcome:
        header = await self._open(opener, clerk)
        undoing = undo_for(header, Features(), installation().uncompress_path)
        await self._check_filters(header, undoing)
        taker = self._taker = await self._choose_taker(header, alone)
        await self._lane.call(taker.begin)
        if trust.is_tar(header):
            self._contents = Contents(self._step.paths)
        if isinstance(self._origin, SalvagedOrigin):
            self._origin.fill = not undoing.commands
        way = self._way = AmandaWay(
            self._reactor,
            lambda: self._source(undoing),
            taker.descriptor,
            PATIENCE,
            taker.name,
            to_the_end=self._place is not None and self._place.to_the_end,
        )
        try:
            given = await way.send()
        except NotTaken as fault:
            return await self._cut_short(fault, taker)
        assert given is not None, "this way counts"
        await way.close(well=True)
        self._through = self._given = True
        await self._lane.call(taker.wait)
        outcome = self._judge(header, undoing, given, taker)
        contents = self._contents
        if contents is not None and not alone and not self._step.paths:
            outcome = evolve(outcome, faults=(*outcome.faults, *moved_away(contents.renamed)))
        return outcome

    async def _open(self, opener: Opener, clerk: LoadingAhead | None) -> Header:
        copy = self._step.copy
        if copy.dump is None or clerk is None:
            assert copy.holding is not None, "a dump is on volumes or held"
            self._origin = opener.from_holding(copy.holding)
            return await self._origin.header()
        dump = copy.dump
        self._origin = opener.from_volumes(dump, clerk, SalvagedOrigin)
        self._origin.known_gone = dict(copy.gone)
        await self._origin.find()
        try:
            header = await self._origin.header()
        except NoHeader as fault:
            self._stand_in = await self._headers.find(copy, self._origin, clerk, fault)
            header = self._stand_in.header
        header = with_sums(header, (dump.native_crc, dump.client_crc, dump.crc))
        if self._stand_in is not None:
            self._origin.go_by(header)
        return header

    async def _check_filters(self, header: Header, undoing: Undoing) -> None:
        left = undoing.header
        if left.encrypt_suffix:
            raise Refused("the dump is encrypted, and its header names no program to decrypt it")
        known = await self._lane.call(trust.known_filters, self._config, header.host, header.disk)
        ours = () if self._stand_in is None else self._stand_in.ours
        trusted = (*self._wish.trust, *ours)
        for command in trust.unknown_filters(
            undoing.commands, known, trusted, installation().uncompress_path
        ):
            if not await self._ask_trust(command):
                raise Refused(
                    f"the dump says that it is read with {printable(' '.join(command))}, which the "
                    f"configuration does not know; say --trust {printable(command[0])} to run it"
                )

    async def _choose_taker(self, header: Header, alone: bool) -> unpack.Taker:
        place = self._place
        if place is None:
            return unpack.Output()
        paths, target = self._step.paths, place.directory
        if trust.is_tar(header):
            tar = await self._lane.call(place.tar, self._config, header)
            extracting = unpack.extracting(
                tar, target, paths, alone=alone, root=place.restores_owners
            )
            return await self._lane.call_owning(unpack.give_up, place.run, extracting)
        name = header.application
        if header.program != "APPLICATION" or not trust.is_plain_name(name):
            raise Refused(
                f"the dump was made by {printable(header.program)}, which is not known here: "
                "restore it to standard output with --to -, and unpack it by hand"
            )
        program = f"{installation().application_dir}/{name}"
        known = trust.application_is_known(self._config, name, self._wish.trust)
        if not known and not await self._ask_trust((program,)):
            raise Refused(
                f"the dump was made by the application {name}, which the configuration does not "
                f"know; say --trust {name} to run it"
            )
        command = await self._lane.call(
            applications.restoring, self._config, header, program, target, paths
        )
        return await self._lane.call_owning(unpack.give_up, place.run, command)

    def _source(self, undoing: Undoing) -> ISource:
        origin = self._origin
        assert origin is not None, "it was opened"
        source: ISource = origin.source()
        if undoing.commands:  # else what is sent is what was read
            stored = self._stored = Counted(source)
            source = Undone(stored, undoing.commands, self._rights.of_filters)
        salvaged = origin if isinstance(origin, SalvagedOrigin) else None
        self._watched = Watched(source, salvaged, self._contents)
        return self._watched

    # the verdict

    def _judge(self, header: Header, undoing: Undoing, given: Crc, taker: unpack.Taker) -> Outcome:
        assert self._watched is not None, "all was read"
        origin, contents, fault = self._origin, self._contents, self._watched.fault
        losses = origin.losses if isinstance(origin, SalvagedOrigin) else ()
        filled = isinstance(origin, SalvagedOrigin) and origin.fill
        read = given if self._stored is None else self._stored.crc()
        copy = self._step.copy
        faults = [] if fault is None else [fault]
        if copy.unfinished:
            faults.insert(0, f"the dump is not whole: {copy.lacks}")
        if not losses and not faults:
            dump = copy.dump
            faults += dict.fromkeys(
                differences(header, dump, undoing, read, given, padding_of(origin))
            )
        if losses and not filled:
            number = losses[0].part.number
            faults.append(
                f"it is compressed or encrypted: nothing from part {number} on can be unpacked"
            )
        if contents is not None and not contents.ended:
            faults.append("the archive ends before its end")
        complaints = taker.complaints(0 if contents is None else contents.not_found)
        if complaints:
            faults += complaints
        native = proves(header.native_crc, given, padding_of(origin))
        good = not losses and not faults
        return self._outcome(
            faults,
            read=read.size - sum(loss.size or 0 for loss in losses if filled),
            files=None if contents is None or taker.lost else contents.files,
            holes=() if contents is None else tuple(contents.holes),
            checked=good and (header.server_crc.known or native),
            undone_checked=good and native,
            contents=contents,
        )

    def _outcome(self, faults: list[str], **more: Any) -> Outcome:
        """With what is known of damage, however far it was read."""
        origin, contents = self._origin, self._contents
        salvaged = origin if isinstance(origin, SalvagedOrigin) else None
        return Outcome(
            step=self._step,
            damaged=() if contents is None else tuple(contents.damaged),
            losses=() if salvaged is None else salvaged.losses,
            headless=() if salvaged is None else salvaged.headless,
            stand_in=self._stand_in,
            faults=tuple(faults),
            seen=frozenset() if contents is None else frozenset(contents.seen),
            **more,
        )

    async def _cut_short(self, fault: NotTaken, taker: unpack.Taker) -> Outcome:
        """Whoever unpacks has taken no more, and says why, if anybody knows it."""
        assert self._way is not None, "it has sent"
        self._way.cancel()
        await self._way.close(well=False)
        self._through = True
        await self._lane.call(taker.wait, _LAST_SECONDS)
        contents = self._contents
        faults = [*taker.complaints(), coded(str(fault), fault)]
        if contents is not None and self._place is not None:
            behind = f" behind {contents.last}" if contents.last else ""
            faults.append(f"no file{behind} was unpacked as a whole")
        return self._outcome(faults, read=self.done())

    async def _close(self) -> None:
        taker, self._taker = self._taker, None
        way = self._way
        if taker is not None:
            taker.kill()  # first: the end of its input it would take for the end of the dump
            if way is None or not way.began:
                os.close(taker.descriptor)  # nobody sends anything there
        if way is not None and not self._through:
            way.cancel()
            await way.close(well=False)
        if taker is not None:
            await self._lane.call(taker.wait)
        if self._origin is not None:
            await self._origin.close()


def _takes_more(descriptor: int) -> bool:
    """Something can be written to it at this moment; whoever is gone does not keep us waiting."""
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return bool(poll.poll(0))
