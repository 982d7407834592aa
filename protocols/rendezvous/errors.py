"""What a peer of a rendezvous can do wrong."""

from __future__ import annotations


class RendezvousError(Exception):
    """The peer said what it should not; the connection is to be closed. The text is for our own
    log, not for the peer."""

    taper_code = 6005
