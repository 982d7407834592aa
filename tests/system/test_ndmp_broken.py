"""The data connection breaks on the real ndmjob, which fills up the last record with zeros."""

from __future__ import annotations

import socket
import struct

import pytest

from devices.errors import ConnectionBroken
from devices.interfaces import AccessMode
from tests.fakes.ndmjob import NdmJob, missing_ndmjob
from tests.fakes.turning import Turning
from tests.system.ndmp_drives import (
    BLOCK,
    STAMP,
    blank,
    connected,
    header,
    large,
    opened,
    padded,
    payload,
    read_back,
    turning,
)

__all__ = ["large", "turning"]

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(missing_ndmjob() is not None, reason=str(missing_ndmjob())),
]

RESET = struct.pack("ii", 1, 0)


@pytest.mark.parametrize("blocks", [4, 4.5])
@pytest.mark.parametrize("seen", [True, False])
def test_what_is_certain_stays_and_the_rest_comes_anew(
    turning: Turning, large: NdmJob, blocks: float, seen: bool
) -> None:
    """A reset, or one that only the sender knows of: each byte comes back once."""
    data = payload(9 * BLOCK + 5)
    whole = int(blocks) * BLOCK

    async def story() -> None:
        device = blank(turning, large, "broken")
        address = (await device.listen(True))[0]
        link = socket.create_connection((address.host, address.port), 30)
        link.sendall(data[: int(blocks * BLOCK)])
        connection = await device.accept()
        await device.start(AccessMode.WRITE, "NDMP-09", STAMP)
        await device.start_file(header())

        def told(moved: int) -> None:
            if moved < whole:
                device.look()
            elif seen:
                link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                link.close()
            else:
                device.break_off()

        moving = device.write_from_connection(0, told)
        device.look()
        with pytest.raises(ConnectionBroken):
            await moving
        moved = device.facts.bytes_written
        sure = await device.end_broken_file()
        assert sure == moved - BLOCK
        assert sure in (whole - BLOCK, whole)
        await connection.close()
        link.close()
        connection, sender = await connected(device, data[sure:])
        assert (await device.start_file(header(2))).number == 2
        assert (await device.write_from_connection(0)).eof
        await device.finish_file()
        await device.finish()
        await connection.close()
        again = opened(turning, large, "broken")
        assert await read_back(again, [1, 2]) == padded(data)
        sender.join(60)

    turning.run(story())
