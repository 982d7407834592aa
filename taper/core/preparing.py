"""Before a dump is written: is its header the right one, and how is it to be cut?"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from attrs import evolve

from devices.idirecttcp import IMoverDevice
from protocols.header import FIELD_LIMIT, HeaderError, HeaderType, build_header
from taper.core.erasing import frees_space
from taper.core.errors import SourceFault
from taper.core.splitting import DeviceFacts, cache_directory, plan

if TYPE_CHECKING:
    from devices.interfaces import IAsyncDevice
    from protocols.driver import commands
    from protocols.header import Header
    from taper.core.interfaces import IOrigin
    from taper.core.splitting import SplitPlan
    from taper.core.world import World

_log = logging.getLogger(__name__)

DUMP_HEADERS = (HeaderType.DUMPFILE, HeaderType.CONT_DUMPFILE, HeaderType.SPLIT_DUMPFILE)


_SHOWN = 60
"""Characters shown of a name that is too long."""

SMALLEST_REGION = 32768
"""Bytes that every device has for a header."""


def check_header(header: Header, command: commands.WriteCommand) -> None:
    """Let only the header pass that belongs to the dump we were told to write.

    :raise SourceFault: names what differs, or cannot be written
    """
    if header.type not in DUMP_HEADERS:
        raise SourceFault(
            f"Header of dumpfile is not that of a dump (type {int(header.type)})", code=4002
        )
    for what, found, expected in (
        ("level", str(header.level), command.level),
        ("host", header.host, command.hostname),
        ("disk", header.disk, command.diskname),
        ("datestamp", header.datestamp, command.datestamp),
    ):
        if found != expected:
            raise SourceFault(
                "Header of dumpfile does not match command from driver: "
                + _difference(what, found, expected),
                code=4002,
            )
    try:
        build_header(part_header(header, 1), SMALLEST_REGION, SMALLEST_REGION)
    except HeaderError as fault:
        # here, where it costs no volume; a device could only fail at it
        raise SourceFault(
            f"Header of dumpfile cannot be put on a volume: {fault}", code=4002
        ) from fault


def _difference(what: str, found: str, expected: str) -> str:
    """Of a name that no header holds whole, both would look alike."""
    wanted, there = (text.encode("utf-8", "surrogateescape") for text in (expected, found))
    if len(wanted) > FIELD_LIMIT and wanted.startswith(there):
        return (
            f"{what} '{expected[:_SHOWN]}...' has {len(wanted)} bytes, "
            f"of which a header holds {FIELD_LIMIT}"
        )
    return f"{what} is '{found}', expected '{expected}'"


def part_header(header: Header, number: int) -> Header:
    """What stands before part ``number`` of the dump; how many there will be is never known."""
    return evolve(
        header,
        type=HeaderType.SPLIT_DUMPFILE,
        partnum=number,
        totalparts=-1,
        cont_filename="",
    )


async def plan_dump(
    world: World,
    command: commands.WriteCommand,
    origin: IOrigin,
    device: IAsyncDevice,
    wait: Callable[[Any], Awaitable[Any]],
) -> SplitPlan:
    """Decide how to cut a dump; looks at the cache directory where one is named.

    :param device: the one that the dump begins on
    :param wait: how the dump waits, so that it can be interrupted
    """
    directory = cache_directory(command.split)
    facts = None
    if directory is not None:
        facts = await wait(world.look.directory_facts(directory))
    storage, general = world.storage, world.config.general
    decided = plan(
        command.split,
        DeviceFacts(
            leom=device.facts.leom,
            directtcp=IMoverDevice.providedBy(device),
            block_size=device.facts.block_size,
        ),
        # an application keeps what it can, which need not be a whole part
        file_write=origin.reads_again and not origin.result_follows,
        buffer_size=storage.device_output_buffer_size,
        buffer_size_set=storage.is_set("device_output_buffer_size")
        or general.is_set("device_output_buffer_size"),
        directory=facts,
    )
    _log.info("%s: %s, on %s", command.handle, decided.debug_text, device.facts.name)
    return evolve(decided, pause_at_space=frees_space(world))
