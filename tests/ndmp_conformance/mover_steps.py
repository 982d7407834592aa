"""Steps: the mover and its data connection."""

from __future__ import annotations

import socket
from typing import Any

from protocols.directtcp import Address
from protocols.ndmp import messages as m
from protocols.ndmp.codes import (
    INFINITY,
    AddressType,
    ErrorCode,
    HaltReason,
    MoverMode,
    MoverState,
    PauseReason,
)
from tests.ndmp_conformance.scene import (
    _NO_LINGER,
    RECORD,
    Scene,
    Step,
    ask,
    before4,
    posted,
    tries,
)
from tests.ndmp_conformance.talk import Wrong
from tests.ndmp_conformance.tape_steps import TAPE


def record_size(size: int = RECORD, *errors: Any) -> Step:
    """MOVER_SET_RECORD_SIZE."""
    return ask(m.MoverSetRecordSize(size=size), *errors)


def window(offset: int, length: int, *errors: Any) -> Step:
    """MOVER_SET_WINDOW."""
    return ask(m.MoverSetWindow(offset=offset, length=length), *errors)


MOVER: tuple[Step, ...] = (*TAPE, record_size())
"""A drive that is open and rewound, and a record size."""
READ, WRITE = MoverMode.READ, MoverMode.WRITE
ABORT, CLOSE, CONTINUE, STOP = m.MoverAbort(), m.MoverClose(), m.MoverContinue(), m.MoverStop()
ILLEGAL = ErrorCode.ILLEGAL_STATE
ARGS = ErrorCode.ILLEGAL_ARGS


def _is_our_address(reply: Any) -> bool:
    return reply.kind == AddressType.TCP and len(reply.addresses) >= 1


def listen(mode: MoverMode = READ, *errors: Any, kind: int = AddressType.TCP) -> Step:
    """MOVER_LISTEN."""
    fields = {} if errors or kind != AddressType.TCP else {"address": _is_our_address}
    return ask(m.MoverListen(mode=mode, address_type=kind), *errors, **fields)


def calls(scene: Scene) -> None:
    """We connect to the mover that listens."""
    address = scene.told["MOVER_LISTEN"].address.addresses[0]
    scene.peer = socket.create_connection((address.host, address.port), scene.patience)


def listening(mode: MoverMode = READ) -> tuple[Step, ...]:
    """The mover listens, and we connect to it."""
    return (listen(mode), calls, *(() if mode is READ else (comes_to(MoverState.ACTIVE),)))


def connecting(mode: MoverMode = READ, *, dead: int = 0, kind: int = AddressType.TCP) -> Step:
    """MOVER_CONNECT to us.

    :param dead: so many addresses before ours where nobody is
    """

    def step(scene: Scene) -> None:
        family = socket.AF_INET6 if kind != AddressType.TCP else socket.AF_INET
        host = "::1" if kind != AddressType.TCP else scene.talk.host
        with socket.create_server((host, 0), family=family) as server:
            server.settimeout(scene.patience)
            addresses = [*_dead(scene, dead), Address(*server.getsockname()[:2])]
            there = m.DataAddress(kind, tuple(addresses))
            ask(m.MoverConnect(mode=mode, address=there))(scene)
            scene.peer, _ = server.accept()
            scene.peer.settimeout(scene.patience)

    return step


def _dead(scene: Scene, count: int) -> list[Address]:
    found = []
    for _ in range(count):
        with socket.create_server((scene.talk.host, 0)) as server:
            found.append(Address(*server.getsockname()[:2]))
    return found


def connect_to_nobody(*errors: Any) -> Step:
    """MOVER_CONNECT to a port where nobody is."""

    def step(scene: Scene) -> None:
        there = m.DataAddress(AddressType.TCP, tuple(_dead(scene, 1)))
        ask(m.MoverConnect(mode=READ, address=there), *errors)(scene)

    return step


def sends(data: bytes) -> Step:
    """We send this to the mover."""
    return lambda scene: scene.link.sendall(data)


def finishes(scene: Scene) -> None:
    """We send no more; to the mover that is the end."""
    scene.link.shutdown(socket.SHUT_WR)


def resets(scene: Scene) -> None:
    """Our end of the data connection dies."""
    scene.link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    scene.hang_up()


def hangs_up(scene: Scene) -> None:
    """We end the data connection."""
    scene.hang_up()


def gets(data: bytes) -> Step:
    """The mover sends this, and nothing more yet."""

    def step(scene: Scene) -> None:
        found = b""
        try:
            while len(found) < len(data) and (more := scene.link.recv(65536)):
                found += more
        except TimeoutError:
            raise Wrong(f"{len(found)} bytes of {len(data)} came") from None
        if found != data:
            raise Wrong(f"{len(found)} bytes came, not the {len(data)} that should")

    return step


def is_hung_up(scene: Scene) -> None:
    """The mover has ended the data connection, and sent nothing more."""
    try:
        more = scene.link.recv(65536)
    except TimeoutError:
        raise Wrong("the data connection does not end") from None
    except ConnectionError:
        return
    if more:
        raise Wrong(f"{len(more)} bytes came too many")


def state(wanted: MoverState, **fields: Any) -> Step:
    """MOVER_GET_STATE tells this; pause and halt reason are none unless it is so."""
    if wanted is not MoverState.PAUSED:
        fields.setdefault("pause_reason", PauseReason.NA)
    if wanted is not MoverState.HALTED:
        fields.setdefault("halt_reason", HaltReason.NA)
    return ask(m.MoverGetState(), state=wanted, **fields)


def comes_to(wanted: MoverState) -> Step:
    """The mover comes to this state by itself; nothing is posted where nothing is to be."""

    def step(scene: Scene) -> None:
        found: Any = None
        for _ in tries(scene):
            ask(m.MoverGetState())(scene)
            found = scene.told["MOVER_GET_STATE"].state
            if found == wanted:
                return
        raise Wrong(f"the mover is {found!r}, and does not come to {wanted!r}")

    return step


def has_moved(size: int) -> Step:
    """The mover comes to have moved so many bytes."""

    def step(scene: Scene) -> None:
        moved = -1
        for _ in tries(scene):
            ask(m.MoverGetState())(scene)
            moved = scene.told["MOVER_GET_STATE"].bytes_moved
            if moved == size:
                return
        raise Wrong(f"{moved} bytes were moved, wanted {size}")

    return step


def paused(reason: Any, position: Any = None) -> Step:
    """The mover pauses, for this reason; the state tells the same."""
    fields = {} if position is None else {"seek_position": position}

    def step(scene: Scene) -> None:
        posted(m.NotifyMoverPaused, reason=reason, **fields)(scene)
        state(MoverState.PAUSED, pause_reason=reason)(scene)

    return step


def halted(reason: Any) -> Step:
    """The mover halts, for this reason; the state tells the same."""

    def step(scene: Scene) -> None:
        posted(m.NotifyMoverHalted, reason=reason)(scene)
        state(MoverState.HALTED, halt_reason=reason)(scene)

    return step


EOW = (PauseReason.EOW, PauseReason.SEEK)
"""The end of a window to tape: clients take both [ndmp 6.1.16]."""
ONLY_EOW = before4(EOW, PauseReason.EOW)
"""What it should be; version 2 has no word for it."""


def wants(offset: int, length: int, *errors: Any) -> Step:
    """MOVER_READ."""
    return ask(m.MoverRead(offset=offset, length=length), *errors)


EVERYTHING = window(0, INFINITY)


def to_tape(data: bytes, *, opened: bool = True) -> tuple[Step, ...]:
    """A whole stream goes to tape, and the mover is idle again."""
    return (
        *(MOVER if opened else ()),
        *listening(READ),
        sends(data),
        finishes,
        halted(HaltReason.CONNECT_CLOSED),
        ask(STOP),
        hangs_up,
    )
