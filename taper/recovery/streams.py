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
MAX_REASON = 1000
"""Characters of a refusal; one packet must hold it."""

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


def features_in(packet: str, auth: str) -> Features:
    """What the peer can, as the packet tells it.

    :param auth: by which amandad was reached
    :raise CannotStart: the packet is not for us
    """
    options = parse_packet(packet)
    wanted = options.get("auth", auth)
    if wanted != auth:
        text = f"recover program requested auth '{wanted}', but amandad is using auth '{auth}'"
        raise CannotStart(text)
    try:
        return Features.parse(options["features"]) if "features" in options else OLD
    except ValueError as fault:
        raise CannotStart(str(fault)) from fault


def refuse(text: str) -> None:
    """Answer the packet, if it is not answered, with the reason why there will be no streams."""
    line = " ".join(text.split())[:MAX_REASON]
    with suppress(OSError):  # amandad is gone: nobody is there to be told
        _reply(f"ERROR {line}\n\n")


def open_streams(features: Features) -> Streams:
    """Answer the packet with the streams that it takes.

    What may fail should have been done before: from now on the peer hears of it on the control
    stream only.
    """
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


def read_packet() -> str:
    """All of it, without which amandad would not be done.

    :raise CannotStart: it is too long
    """
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
