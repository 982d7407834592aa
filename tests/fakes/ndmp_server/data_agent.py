"""The DATA requests of a server that has no kind of backup: listening and connecting (4.8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from protocols.ndmp import messages as m
from protocols.ndmp.codes import AddressType, DataHaltReason, DataState, ErrorCode
from protocols.ndmp_server.interfaces import Channel, Listening, Refused

if TYPE_CHECKING:
    from tests.fakes.ndmp_server.session import FaultySession

UNKNOWN_TIME = 2**32 - 1
UNKNOWN_SIZE = 2**64 - 1


class DataAgent:
    """The data agent of a session."""

    def __init__(self, session: FaultySession) -> None:
        self._session = session
        self._listening: Listening | None = None
        self._channel: Channel | None = None
        self._reset()

    def _reset(self) -> None:
        self._state = DataState.IDLE
        self._halt_reason = DataHaltReason.NA
        self._address = m.DataAddress()

    @property
    def is_idle(self) -> bool:
        return self._state is DataState.IDLE

    def drop_connection(self) -> None:
        """End the data connection, or the waiting for it."""
        if self._listening is not None:
            self._listening.close()
        if self._channel is not None:
            self._channel.close()
        self._listening = self._channel = None

    def _came(self, channel: Channel | None) -> None:
        self._channel = channel
        self._state = DataState.CONNECTED

    def config_get_butype_info(self, request: m.ConfigGetButypeInfo) -> m.ConfigGetButypeInfoReply:
        return m.ConfigGetButypeInfoReply()

    def config_get_fs_info(self, request: m.ConfigGetFsInfo) -> m.ConfigGetFsInfoReply:
        return m.ConfigGetFsInfoReply()

    def data_get_state(self, request: m.DataGetState) -> m.DataGetStateReply:
        return m.DataGetStateReply(
            state=self._state,
            halt_reason=self._halt_reason,
            est_bytes_remain=UNKNOWN_SIZE,
            est_time_remain=UNKNOWN_TIME,
            address=self._address,
        )

    def data_listen(self, request: m.DataListen) -> m.DataListenReply:
        if request.address_type not in (AddressType.LOCAL, AddressType.TCP):
            raise Refused(ErrorCode.ILLEGAL_ARGS)
        self._refuse_unless(self._state is DataState.IDLE)
        self._address = m.DataAddress(AddressType(request.address_type))
        if request.address_type == AddressType.TCP:
            self._listening = self._session.house.listen(self._session.host, self._came)
            self._address = self._address.evolve(addresses=(self._listening.address,))
        self._state = DataState.LISTEN
        return m.DataListenReply(address=self._address)

    async def data_connect(self, request: m.DataConnect) -> m.ErrorReply:
        self._refuse_unless(self._state is DataState.IDLE)
        if request.address.kind != AddressType.TCP or not request.address.addresses:
            raise Refused(ErrorCode.ILLEGAL_ARGS)
        self._channel = await self._session.house.connect(request.address.addresses)
        self._address = request.address
        self._state = DataState.CONNECTED
        return m.ErrorReply()

    def data_abort(self, request: m.DataAbort) -> m.ErrorReply:
        self._refuse_unless(self._state not in (DataState.IDLE, DataState.HALTED))
        self._state, self._halt_reason = DataState.HALTED, DataHaltReason.ABORTED
        self.drop_connection()
        post = m.NotifyDataHalted(reason=DataHaltReason.ABORTED)
        self._session.afterwards(lambda: self._session.post(post))
        return m.ErrorReply()

    def data_stop(self, request: m.DataStop) -> m.ErrorReply:
        self._refuse_unless(self._state is DataState.HALTED)
        self._reset()
        return m.ErrorReply()

    def data_get_env(self, request: m.DataGetEnv) -> m.DataGetEnvReply:
        self._refuse_unless(self._state is not DataState.IDLE)
        return m.DataGetEnvReply()

    def data_start_backup(self, request: m.DataStartBackup) -> m.ErrorReply:
        self._refuse_unless(self._state is DataState.CONNECTED)
        raise Refused(ErrorCode.ILLEGAL_ARGS)  # no such kind of backup

    def data_start_recover(self, request: m.DataStartRecover) -> m.ErrorReply:
        self._refuse_unless(self._state is DataState.CONNECTED)
        raise Refused(ErrorCode.ILLEGAL_ARGS)

    def _refuse_unless(self, right_state: bool) -> None:
        if not right_state:
            raise Refused(ErrorCode.ILLEGAL_STATE)
