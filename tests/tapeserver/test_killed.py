"""A server that is killed in the middle of a part leaves a volume that everybody can go on with."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.threads import deferToThread

from devices.changers.state import StateFile
from devices.changers.vtape_state import SlotHolders
from devices.file import FileDevice
from devices.interfaces import AccessMode
from protocols.ndmp import messages as m
from protocols.ndmp.codes import MoverMode, Mtio, TapeMode
from protocols.ndmp.errors import NdmpLost
from protocols.twisted_transports.ndmp import NdmpSession, connect_session
from tests.fakes.ndmp_peers import TIMEOUT, call
from tests.tapeserver.process import TapeServerProcess
from tests.tapeserver.test_serving import EOF_1, move
from tests.tapeserver.test_vtape_tape import BLOCK, header, label, record


async def session_with(server: TapeServerProcess) -> NdmpSession:
    return await connect_session(
        cast(Any, reactor),
        "127.0.0.1",
        server.port,
        username="ndmp",
        password="ndmp",
        auth="md5",
        timeout=TIMEOUT,
    )


def holder_of(root: Path, slot: int) -> object:
    """Who has the slot by the changer's state, as the next taper sees it."""
    with StateFile(str(root / "state")).locked() as data:
        return SlotHolders(data).holder(slot)


@ensureDeferred
async def test_a_killed_server_holds_nothing(tmp_path: Path) -> None:
    """Its slot is free, its volume is as a killed taper's, and it is in the drive as before."""
    (tmp_path / "slot1").mkdir()
    drives = f"[library robot]\ndisk = {tmp_path}\ndrives = d0\n"
    with TapeServerProcess(drives) as server:
        session = await session_with(server)
        await session.request(m.ScsiOpen(device="robot"))
        await session.request(move(1024, 128))
        await session.request(m.ScsiClose())
        await session.request(m.TapeOpen(device="d0", mode=TapeMode.RDWR))
        for request in (m.TapeWrite(data=label()), EOF_1, m.TapeWrite(data=header())):
            await session.request(request)
        await session.request(m.MoverSetRecordSize(size=BLOCK))
        reply = await session.request(m.MoverListen(mode=MoverMode.READ))
        peer = await call(reply.address.addresses[0])
        peer.send(record(1) + record(2))
        while (await session.request(m.MoverGetState())).bytes_moved < 2 * BLOCK:
            pass
        assert await deferToThread(holder_of, tmp_path, 1) is not None
        server.kill()
        with pytest.raises(NdmpLost):
            await session.request(m.MoverGetState())
        assert await deferToThread(holder_of, tmp_path, 1) is None
    device = FileDevice(f"file:{tmp_path}/slot1", f"{tmp_path}/slot1")
    assert device.read_label().label == "VOL-1"
    device.start(AccessMode.READ)
    assert device.seek_file(1) is not None
    device.finish()
    with TapeServerProcess(drives) as server:
        session = await session_with(server)
        await session.request(m.TapeOpen(device="d0", mode=TapeMode.READ))
        assert (await session.request(m.TapeRead(count=BLOCK))).data == label()
        await session.request(m.TapeMtio(op=Mtio.FSF, count=1))
        await session.request(m.TapeMtio(op=Mtio.FSR, count=1))
        assert (await session.request(m.TapeRead(count=BLOCK))).data == record(1)
        await session.close()
