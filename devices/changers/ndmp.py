"""chg-ndmp: a library whose robot is reached through an NDMP server [ndmp 3.12]."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import field, frozen
from twisted.internet.defer import Deferred
from zope.interface import implementer

from devices import ndmp_session
from devices.changers.robot import RobotChanger
from devices.changers.robot_arm import IRobot
from devices.changers.robot_settings import read_settings
from devices.errors import ChangerError, ChangerReason, DriveFailed
from devices.ndmp_control import ServerName, parse_server_name
from devices.properties import Source
from protocols import smc
from protocols.library import Place, RobotStatus
from protocols.ndmp.auth import METHODS
from protocols.ndmp.codes import ScsiFlags
from protocols.ndmp.errors import NdmpError, NdmpLoginRefused
from protocols.ndmp.messages import ScsiClose, ScsiExecuteCdb, ScsiOpen
from protocols.smc import Element, ElementType, SmcError

if TYPE_CHECKING:
    from devices.changers.setup import ChangerSetup
    from devices.interfaces import IAsyncDevice
    from protocols.twisted_transports.haste import Haste
    from protocols.twisted_transports.ndmp import NdmpSession

T = TypeVar("T")

_log = logging.getLogger(__name__)

CONNECT_PATIENCE = 60.0
"""Seconds to wait for a server to answer and to let us in."""

_PASSED_ON = ("ndmp-username", "ndmp-password", "ndmp-auth")

# milliseconds that the server may give a SCSI command
_READY, _INQUIRY, _STATUS, _MOVE = 1000, 5000, 60_000, 300_000


def open_ndmp_changer(setup: ChangerSetup) -> RobotChanger:
    """The changer as the registry opens it.

    :raise ChangerError: fatal: not such a name, or a property says something impossible
    """
    name = f"chg-ndmp:{setup.argument}"
    try:
        server, device = parse_server_name(name, setup.argument)
    except DriveFailed as error:
        text = f"invalid chg-ndmp specification '{setup.argument}'"
        raise setup.mistake(text, "HOST[:PORT]@CHANGER") from error
    settings = read_settings(setup)
    account = {"ndmp-username": "ndmp", "ndmp-password": "ndmp", "ndmp-auth": "md5"}
    for name in _PASSED_ON:
        values = setup.values(name)
        if len(values) > 1:
            setup.refuse(name, f"only one value allowed for '{name}'", "one")
        account[name] = values[0] if values else account[name]
    if account["ndmp-auth"].lower() not in METHODS:
        text = f"invalid 'ndmp-auth' value '{account['ndmp-auth']}'"
        setup.refuse("ndmp-auth", text, " or ".join(METHODS))
    context = setup.context
    robot = SmcRobot(context.reactor, server, device, account, haste=context.haste)
    return RobotChanger(setup, settings, robot)


@frozen
class _Layout:
    """Element addresses by the numbers that people use."""

    transport: int = 0
    slots: dict[str, Element] = field(factory=dict)
    drives: dict[str, Element] = field(factory=dict)

    @classmethod
    def of(cls, elements: tuple[Element, ...]) -> _Layout:
        """Slots count from 1, drives from 0, both in the robot's order."""
        transports = [e.address for e in elements if e.type is ElementType.TRANSPORT]
        places = (ElementType.STORAGE, ElementType.IMPORT_EXPORT)
        slots = [element for element in elements if element.type in places]
        drives = [element for element in elements if element.type is ElementType.DRIVE]
        return cls(
            transports[0] if transports else 0,
            {str(number): element for number, element in enumerate(slots, 1)},
            {str(number): element for number, element in enumerate(drives)},
        )

    def status(self) -> RobotStatus:
        homes = {element.address: number for number, element in self.slots.items()}
        return RobotStatus(
            {
                number: Place(
                    full=element.full,
                    barcode=element.barcode,
                    import_export=element.type is ElementType.IMPORT_EXPORT,
                )
                for number, element in self.slots.items()
            },
            {
                number: Place(
                    full=element.full,
                    barcode=element.barcode,
                    source=None if element.source is None else homes.get(element.source),
                )
                for number, element in self.drives.items()
            },
        )


@implementer(IRobot)
class SmcRobot:
    """A SCSI media changer behind an NDMP server; one control connection an operation.

    :param device: the changer's name on the server
    :param account: ``ndmp-username``, ``ndmp-password``, ``ndmp-auth``
    :param connect: makes sessions, as :func:`protocols.twisted_transports.ndmp.connect_session`
    :param haste: shortens all deadlines when all is to end
    """

    def __init__(
        self,
        reactor: Any,
        server: ServerName,
        device: str,
        account: dict[str, str],
        connect: Callable[..., Deferred[NdmpSession]] | None = None,
        haste: Haste | None = None,
    ) -> None:
        self._reactor = reactor
        self._server = server
        self._device = device
        self._account = account
        self._connect = connect or ndmp_session.connect
        self._haste = haste
        self._layout: _Layout | None = None

    def prepare(self, device: IAsyncDevice) -> None:
        """Log in to the drives as to the robot, unless their own properties say otherwise."""
        properties = device.facts.properties
        known = {prop.name for prop in properties}
        for name in _PASSED_ON:
            normal = name.replace("-", "_")
            if normal in known and properties[normal].source is Source.DEFAULT:
                properties.note(normal, self._account[name], Source.DEFAULT)

    # operations

    def status(self) -> Deferred[RobotStatus]:
        return self._do(self._status, ChangerReason.INVALID)

    async def _status(self, session: NdmpSession) -> RobotStatus:
        self._layout = await self._look(session)
        return self._layout.status()

    def load(self, slot: str, drive: str) -> Deferred[None]:
        return self._do(
            lambda session: self._move(session, ("slot", slot), ("drive", drive)),
            ChangerReason.UNKNOWN,
        )

    def unload(self, drive: str, slot: str) -> Deferred[None]:
        return self._do(
            lambda session: self._move(session, ("drive", drive), ("slot", slot)),
            ChangerReason.UNKNOWN,
        )

    def transfer(self, source: str, target: str) -> Deferred[None]:
        return self._do(
            lambda session: self._move(session, ("slot", source), ("slot", target)),
            ChangerReason.UNKNOWN,
        )

    def vendor(self) -> Deferred[str]:
        return self._do(self._vendor, ChangerReason.UNKNOWN)

    async def _vendor(self, session: NdmpSession) -> str:
        await self._command(session, "TEST UNIT READY", smc.TEST_UNIT_READY, 0, _READY)
        answer = await self._command(session, "INQUIRY", smc.INQUIRY, smc.INQUIRY_BYTES, _INQUIRY)
        inquiry = smc.parse_inquiry(answer)
        return f"{inquiry.vendor} {inquiry.product}".strip()

    async def _look(self, session: NdmpSession) -> _Layout:
        name = "READ ELEMENT STATUS"
        probe = smc.element_status_command(smc.PROBE_BYTES)
        answer = await self._command(session, name, probe, smc.PROBE_BYTES, _STATUS)
        length = smc.status_length(answer)
        command = smc.element_status_command(length)
        answer = await self._command(session, name, command, length, _STATUS)
        return _Layout.of(smc.parse_element_status(answer))

    async def _move(
        self, session: NdmpSession, source: tuple[str, str], target: tuple[str, str]
    ) -> None:
        layout = self._layout = self._layout or await self._look(session)
        places = []
        for role, (kind, number) in (("source", source), ("destination", target)):
            known = layout.slots if kind == "slot" else layout.drives
            if number not in known:
                raise SmcError(f"unknown {role} slot/drive '{number}'")
            places.append(known[number].address)
        command = smc.move_medium_command(layout.transport, places[0], places[1])
        await self._command(session, "MOVE MEDIUM", command, 0, _MOVE)

    async def _command(
        self, session: NdmpSession, name: str, cdb: bytes, wanted: int, timeout: int
    ) -> bytes:
        """One SCSI command. The direction says whether data comes, never that data goes."""
        flags = ScsiFlags.DATA_IN if wanted else ScsiFlags.NONE
        reply = await session.request(
            ScsiExecuteCdb(flags, timeout, wanted, cdb),
            timeout=timeout / 1000 + CONNECT_PATIENCE,
        )
        failure = smc.describe_status(reply.status, bytes(reply.ext_sense))
        if failure is not None:
            raise SmcError(f"{name} failed: {failure}")
        return bytes(reply.datain)

    # sessions

    def _do(
        self,
        operation: Callable[[NdmpSession], Coroutine[Deferred[Any], Any, T]],
        reason: ChangerReason,
    ) -> Deferred[T]:
        return Deferred.fromCoroutine(self._in_session(operation, reason))

    async def _in_session(
        self,
        operation: Callable[[NdmpSession], Coroutine[Deferred[Any], Any, T]],
        reason: ChangerReason,
    ) -> T:
        try:
            session = await self._new_session()
            try:
                return await self._with_robot(session, operation)
            finally:
                await session.close()
        except NdmpLoginRefused as error:
            text = f"connect-auth-{self._account['ndmp-auth']}-failed"
            raise ChangerError(text, reason) from error
        except NdmpError as error:
            raise ChangerError(error.text, reason) from error
        except SmcError as error:
            raise ChangerError(str(error), reason) from error

    async def _with_robot(
        self,
        session: NdmpSession,
        operation: Callable[[NdmpSession], Coroutine[Deferred[Any], Any, T]],
    ) -> T:
        await session.request(ScsiOpen(self._device))
        try:
            return await operation(session)
        finally:
            try:
                await session.request(ScsiClose())
            except NdmpError as error:
                _log.info("closing %s of %s: %s", self._device, self._server, error)

    def _new_session(self) -> Deferred[NdmpSession]:
        account = self._account
        return self._connect(
            self._reactor,
            self._server.host,
            self._server.real_port,
            username=account["ndmp-username"],
            password=account["ndmp-password"],
            auth=account["ndmp-auth"].lower(),
            timeout=CONNECT_PATIENCE,
            haste=self._haste,
        )
