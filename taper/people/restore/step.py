"""One dump on its way from volumes or a holding disk to files."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from attrs import evolve

from devices.errors import DeviceError
from protocols.header import HeaderError
from protocols.recovery.features import Features
from protocols.recovery.filters import undo_for, with_sums
from taper.core.errors import DumpFault
from taper.flow.salvaged import SalvagedOrigin
from taper.gnutar import USUAL, environment, find_tar
from taper.installation import installation
from taper.last_words import CannotStart
from taper.people.restore import trust, unpack
from taper.people.restore.telling import Outcome
from taper.people.restore.watched import Contents, Watched, moved_away
from taper.people.telling import printable
from taper.recovery.errors import RecoveryFailed
from taper.recovery.judging import differences, padding_of
from taper.recovery.undoing import Counted, Undone
from taper.recovery.ways import AmandaWay

if TYPE_CHECKING:
    from devices.interfaces import ILane
    from protocols.conf import Config
    from protocols.crc import Crc
    from protocols.header import Header
    from protocols.recovery.filters import Undoing
    from taper.flow.holding import HoldingOrigin
    from taper.people.restore.plan import Step
    from taper.people.restore.wish import Wish
    from taper.people.rights import Rights
    from taper.plane.interfaces import ISource
    from taper.recovery.opening import Opener
    from taper.recovery.volumes import AskingClerk

PATIENCE = 7 * 86400.0
"""Seconds for which whoever unpacks may take nothing: a person may have stopped it."""


class Refused(CannotStart):
    """The dump cannot be unpacked like that; the text says what can be done."""

    taper_code = 7006


class StepAtWork:
    """One dump that is being restored."""

    def __init__(
        self,
        reactor: Any,
        lane: ILane,
        config: Config,
        rights: Rights,
        wish: Wish,
        step: Step,
        ask_trust: Callable[[tuple[str, ...]], Awaitable[bool]],
    ) -> None:
        """:param ask_trust: whether a program may be run that only the dump names"""
        self._reactor = reactor
        self._lane = lane
        self._config = config
        self._rights = rights
        self._wish = wish
        self._step = step
        self._ask_trust = ask_trust
        self._origin: SalvagedOrigin | HoldingOrigin | None = None
        self._way: AmandaWay | None = None
        self._taker: unpack.Taker | None = None
        self._stored: Counted | None = None
        self._watched: Watched | None = None
        self._contents: Contents | None = None

    def done(self) -> int:
        """Bytes read so far. Any thread."""
        return 0 if self._stored is None else self._stored.crc().size

    async def run(self, opener: Opener, clerk: AskingClerk | None, *, alone: bool) -> Outcome:
        """Do it.

        :param alone: nothing else is in the directory
        :raise Refused: this dump can be unpacked in no such way
        """
        try:
            return await self._run(opener, clerk, alone)
        except (DumpFault, DeviceError, HeaderError, RecoveryFailed) as fault:
            text = getattr(fault, "text", None) or str(fault)
            return Outcome(step=self._step, faults=(text,))
        finally:
            await self._close()

    async def _run(self, opener: Opener, clerk: AskingClerk | None, alone: bool) -> Outcome:
        header = await self._open(opener, clerk)
        undoing = undo_for(header, Features(), installation().uncompress_path)
        await self._check_filters(header, undoing)
        taker = self._taker = await self._choose_taker(header, alone)
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
            to_the_end=self._wish.to != "-",
        )
        given = await way.send()
        assert given is not None, "this way counts"
        await way.close(well=True)
        self._way = None
        await self._lane.call(taker.wait)
        outcome = self._judge(header, undoing, given, taker)
        contents = self._contents
        if contents is not None and not alone and not self._step.paths:
            outcome = evolve(outcome, faults=(*outcome.faults, *moved_away(contents.renamed)))
        return outcome

    async def _open(self, opener: Opener, clerk: AskingClerk | None) -> Header:
        copy = self._step.copy
        if copy.dump is None or clerk is None:
            assert copy.holding is not None, "a dump is on volumes or held"
            self._origin = opener.from_holding(copy.holding)
            return await self._origin.header()
        dump = copy.dump
        self._origin = opener.from_volumes(dump, clerk, SalvagedOrigin)
        await self._origin.find()
        header = await self._origin.header()
        return with_sums(header, (dump.native_crc, dump.client_crc, dump.crc))

    async def _check_filters(self, header: Header, undoing: Undoing) -> None:
        left = undoing.header
        if left.encrypt_suffix:
            raise Refused("the dump is encrypted, and its header names no program to decrypt it")
        known = await self._lane.call(trust.known_filters, self._config, header.host, header.disk)
        for command in trust.unknown_filters(
            undoing.commands, known, self._wish.trust, installation().uncompress_path
        ):
            if not await self._ask_trust(command):
                raise Refused(
                    f"the dump says that it is read with {printable(' '.join(command))}, which the "
                    f"configuration does not know; say --trust {printable(command[0])} to run it"
                )

    async def _choose_taker(self, header: Header, alone: bool) -> unpack.Taker:
        if self._wish.to == "-":
            return unpack.Output()
        paths, target = self._step.paths, self._wish.to
        whose = self._rights.of_restoring
        if trust.is_tar(header):
            tar = find_tar()
            if tar is None:
                raise Refused(f"no GNU tar is at {', '.join(USUAL)}")
            command = unpack.extracting(tar, target, paths, alone=alone, root=self._rights.root)
            return unpack.Program(command, {**whose, "env": environment()})
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
        command = unpack.by_application(self._config, header, program, target, paths)
        return unpack.Program(command, {**whose, "env": environment()})

    def _source(self, undoing: Undoing) -> ISource:
        origin = self._origin
        assert origin is not None, "it was opened"
        stored = self._stored = Counted(origin.source())
        source: ISource = stored
        if undoing.commands:
            source = Undone(source, undoing.commands, self._rights.of_filters)
        salvaged = origin if isinstance(origin, SalvagedOrigin) else None
        self._watched = Watched(source, salvaged, self._contents)
        return self._watched

    # the verdict

    def _judge(self, header: Header, undoing: Undoing, given: Crc, taker: unpack.Taker) -> Outcome:
        assert self._stored is not None, "all was read"
        assert self._watched is not None, "all was read"
        origin, contents, fault = self._origin, self._contents, self._watched.fault
        losses = origin.losses if isinstance(origin, SalvagedOrigin) else ()
        filled = isinstance(origin, SalvagedOrigin) and origin.fill
        read = self._stored.crc()
        faults = [] if fault is None else [fault]
        if not losses and fault is None:
            dump = self._step.copy.dump
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
        known = header.server_crc.known or (undoing.native and header.native_crc.known)
        return Outcome(
            step=self._step,
            read=read.size - sum(loss.size or 0 for loss in losses if filled),
            files=None if contents is None else contents.files,
            damaged=() if contents is None else tuple(contents.damaged),
            losses=losses,
            holes=() if contents is None else tuple(contents.holes),
            faults=tuple(faults),
            checked=known and not losses and not faults,
            seen=frozenset() if contents is None else frozenset(contents.seen),
            contents=contents,
        )

    async def _close(self) -> None:
        if self._way is not None:
            self._way.cancel()
            await self._way.close(well=False)
        if self._taker is not None:
            self._taker.kill()
            await self._lane.call(self._taker.wait)
        if self._origin is not None:
            await self._origin.close()
