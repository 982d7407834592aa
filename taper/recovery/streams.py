"""What amandad gives to a service: a packet on stdin, and numbered descriptors for streams
[recovery 6.1]."""

from __future__ import annotations

import errno
import os
from contextlib import suppress

from attrs import frozen

from protocols.recovery.features import OLD, Feature, Features
from protocols.recovery.request import parse_packet
from taper.last_words import STDIN, STDOUT, CannotStart

FIRST = 150
"""The descriptor, and the handle, of the first stream: each has a descriptor to write and one to
read, and one handle."""
STREAMS = 4
"""That a service may have."""
MAX_PACKET = 65536
"""Bytes of the packet."""

_CTL_WRITE, _CTL_READ, _DATA_WRITE, _STATE_WRITE, _STATE_READ = (
    FIRST,
    FIRST + 1,
    FIRST + 2,
    FIRST + 4,
    FIRST + 5,
)


@frozen
class Streams:
    """Descriptors of the streams, ours to close.

    :ivar features: of the peer, as the packet tells them.
    :ivar state: None: the peer does not know this stream.
    """

    features: Features
    control_write: int
    control_read: int
    data: int
    state: int | None


def open_streams(auth: str) -> Streams:
    """Read the packet, answer it, and keep what streams it takes.

    :param auth: by which amandad was reached
    :raise CannotStart: the packet is not for us; the peer was told
    """
    try:
        options = parse_packet(_read_packet())
        wanted = options.get("auth", auth)
        if wanted != auth:
            text = f"recover program requested auth '{wanted}', but amandad is using auth '{auth}'"
            raise CannotStart(text)
        features = Features.parse(options["features"]) if "features" in options else OLD
    except (ValueError, CannotStart) as fault:
        _reply(f"ERROR {fault}\n\n")
        raise CannotStart(str(fault)) from fault
    has_state = Feature.STREAM_STATE in features
    kept = [_CTL_WRITE, _CTL_READ, _DATA_WRITE, *([_STATE_WRITE, _STATE_READ] * has_state)]
    for descriptor in range(FIRST, FIRST + 2 * STREAMS):
        if descriptor not in kept:
            _close(descriptor)
    names = [f"CTL {FIRST}", f"DATA {FIRST + 1}", *([f"STATE {FIRST + 2}"] * has_state)]
    _reply(f"CONNECT {' '.join(names)}\n\n")
    return Streams(
        features, _CTL_WRITE, _CTL_READ, _DATA_WRITE, _STATE_WRITE if has_state else None
    )


def _read_packet() -> str:
    data = b""
    while piece := os.read(STDIN, MAX_PACKET):
        data += piece
        if len(data) > MAX_PACKET:
            raise CannotStart(f"the request's packet is longer than {MAX_PACKET} bytes")
    return data.decode("utf-8", "surrogateescape")


def _reply(text: str) -> None:
    """The one packet that answers; its end is the end of stdout, which stays open as nowhere."""
    os.write(STDOUT, text.encode("utf-8", "surrogateescape"))
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (STDIN, STDOUT):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)


def _close(descriptor: int) -> None:
    try:
        os.close(descriptor)
    except OSError as fault:
        if fault.errno != errno.EBADF:
            raise


def close_quietly(descriptor: int) -> None:
    """Close what nobody may read from any more."""
    with suppress(OSError):
        os.close(descriptor)
