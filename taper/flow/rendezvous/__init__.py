"""Dumps whose application meets us before it sends: the taper's end of a rendezvous.

``terms`` says which dumps get one, ``ports`` and ``tls`` open its sockets, ``link`` tells the
application from strangers, ``meeting`` keeps what both have said; ``origin`` puts them together.
The data come by ``source`` and ``feeding`` where they pass through us, else to a mover by
``sender``.
"""
