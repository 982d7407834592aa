"""The server's half of NDMP: tape, mover and SCSI, without any input or output [ndmp-server].

A :class:`~protocols.ndmp_server.session.Session` takes the bytes of one client and gives those that
answer. What it needs of the world - drives, data connections, time - stands in
:mod:`protocols.ndmp_server.interfaces`.
"""
