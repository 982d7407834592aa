"""Whether a dump flows straight into its device, past the usual ways (directtcp-and-ndmp 1.6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from devices.idirecttcp import IDirectTCPDevice, ISocketFedDevice
from protocols.driver.commands import FileWrite, PortWrite, ShmWrite
from taper.core.errors import NoVolume

if TYPE_CHECKING:
    from devices.interfaces import IAsyncDevice
    from protocols.driver.commands import WriteCommand
    from taper.core.interfaces import IFeed, IFeeds


def has_mover(device: IAsyncDevice) -> bool:
    """A mover of the device's own takes the data from a connection, past this process."""
    return IDirectTCPDevice.providedBy(device) and not ISocketFedDevice.providedBy(device)


def flows_straight(command: WriteCommand, device: IAsyncDevice) -> bool:
    """The device is to listen for the data: the driver says so, or it takes them in no other way.

    :raise NoVolume: the driver says so, and the device cannot
    """
    wanted = isinstance(command, PortWrite) and command.data_path == "DIRECTTCP"
    if wanted and not IDirectTCPDevice.providedBy(device):
        raise NoVolume(
            f"error; Can't dump DIRECTTCP data-path dle to a device ('{device.device.name}') "
            "that doesn't support it"
        )
    return wanted or (isinstance(command, FileWrite | PortWrite | ShmWrite) and has_mover(device))


def straight_feed(feeds: IFeeds, command: WriteCommand, device: IAsyncDevice) -> IFeed:
    """The feed of such a dump."""
    if isinstance(command, FileWrite):
        return feeds.pushed(command.filename, device)
    if isinstance(command, ShmWrite):
        return feeds.pushed_shm(device)
    assert isinstance(command, PortWrite), "no other command has a feed"
    return feeds.directtcp(command, device)
