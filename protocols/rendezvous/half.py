"""What both halves of a rendezvous have in common: one object for each connection."""

from __future__ import annotations

from typing import ClassVar

from protocols.rendezvous.channel import Channel
from protocols.rendezvous.errors import RendezvousError
from protocols.rendezvous.frames import Frame, Kind, decode_body, encode_body
from protocols.rendezvous.orders import Orders
from protocols.rendezvous.states import Phase, States, allow

VERSIONS = (1, 1)
"""The least and the greatest version that this library speaks."""

GREETING = frozenset((Kind.HELLO, Kind.CHALLENGE, Kind.PROOF))
"""What both halves say by themselves."""

OF_APPLICATION = frozenset(kind for kind in Kind if kind < Kind.SEND) - {Kind.CHALLENGE}
OF_TAPER = frozenset(kind for kind in Kind if kind >= Kind.SEND) | {Kind.CHALLENGE, Kind.ALIVE}


class Half:
    """One side of one connection.

    Whoever holds the connection gives :meth:`receive` what comes and writes what :meth:`output`
    gives after every call. After a :class:`RendezvousError` it writes that, too, and closes.

    :cvar says: the frames that its user may have it say.
    :cvar hears: those that the other end may say.
    """

    says: ClassVar[frozenset[Kind]]
    hears: ClassVar[frozenset[Kind]]

    def __init__(self, channel: Channel, states: States) -> None:
        self._channel = channel
        self._states = states
        self._orders = Orders()

    @property
    def phase(self) -> Phase:
        """How far the connection has come."""
        return self._states.phase()

    @property
    def established(self) -> bool:
        """The other end has proved itself, and nothing has ended this."""
        return self.phase in (Phase.PROVEN, Phase.ENDED, Phase.FINISHED)

    @property
    def kept(self) -> int:
        """Bytes of a frame that is not complete: never more than the largest one has."""
        return self._channel.kept

    def receive(self, data: bytes) -> list[Frame]:
        """Take what came.

        :return: what the other end says, in its order, without the greeting. Frames that came
            together with one that is wrong are lost with the connection.
        :raise RendezvousError: the connection is to be closed
        """
        if self._is_over():
            return []
        self._channel.feed(data)
        heard: list[Frame] = []
        try:
            while not self._is_over():
                sealed = self._channel.take()
                if sealed is None:
                    return heard
                if sealed.kind not in self.hears:
                    raise RendezvousError(f"a frame of kind {sealed.kind} from the other end")
                frame = decode_body(sealed.kind, sealed.body)
                late = self.phase is Phase.FINISHED
                wrong = self._wrong(frame)
                if wrong is not None:
                    raise RendezvousError(wrong)
                if not (self._greeting(frame, sealed.whole) or late):
                    heard.append(frame)
        except RendezvousError:
            self.close()
            raise
        self._channel.forget()
        return heard

    def _is_over(self) -> bool:
        return self.phase is Phase.OVER

    def _wrong(self, frame: Frame) -> str | None:
        """Why a frame has no place here and now; None: it has, and now was."""
        return allow(self._states, frame.kind) or self._orders.wrong(frame)

    def _greeting(self, frame: Frame, whole: bytes) -> bool:
        """Answer a frame of the greeting. :return: whether it was one"""
        raise NotImplementedError

    def _greet(self, frame: Frame) -> bytes:
        """Say a frame of the greeting. :return: all bytes of it"""
        body = encode_body(frame)
        wrong = self._wrong(frame)
        assert wrong is None, wrong
        return self._channel.put(frame.kind, body)

    def say(self, frame: Frame) -> None:
        """Say a frame; :meth:`output` then has it.

        :raise ValueError: it cannot be said, or not now; nothing has happened
        """
        if frame.kind not in self.says:
            raise ValueError(f"{frame.kind.name} is not for a user of this half to say")
        body = encode_body(frame)
        wrong = self._wrong(frame)
        if wrong is not None:
            raise ValueError(wrong)
        self._channel.put(frame.kind, body)

    def output(self) -> bytes:
        """What is to be written to the connection, once."""
        return self._channel.output()

    def close(self) -> None:
        """The connection is gone, or given up: nothing more is said or heard."""
        self._states.close()
        self._channel.forget()
