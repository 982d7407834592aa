"""The application's half of a rendezvous."""

from __future__ import annotations

from attrs import frozen

from protocols.rendezvous.channel import Channel
from protocols.rendezvous.errors import RendezvousError
from protocols.rendezvous.forms import MAX_REMARK
from protocols.rendezvous.frames import Challenge, Frame, Hello, Proof
from protocols.rendezvous.half import GREETING, OF_APPLICATION, OF_TAPER, VERSIONS, Half
from protocols.rendezvous.keys import SessionKeys, base_key, challenge_key
from protocols.rendezvous.states import application_states

_LARGEST_BODY = 64 + MAX_REMARK
"""Bytes of a body as long as the other end is unknown."""


@frozen
class Names:
    """What is dumped, and by whom.

    :ivar application: the program's name.
    """

    host: str
    disk: str
    level: int
    application: str


class ApplicationHalf(Half):
    """One connection of an application to a taper."""

    says = OF_APPLICATION - GREETING
    hears = OF_TAPER

    def __init__(
        self,
        key: bytes,
        names: Names,
        dump_id: bytes,
        nonce: bytes,
        window: int,
        versions: tuple[int, int] = VERSIONS,
    ) -> None:
        """:param key: of the key file.
        :param dump_id: 16 random bytes, the same for all connections of one dump.
        :param nonce: 32 random bytes, never used before.
        :param window: bytes that can be sent again.
        :param versions: the least and the greatest that is spoken.
        """
        self._base = base_key(key)
        super().__init__(Channel(self._base, b"", _LARGEST_BODY), application_states())
        self._hello = Hello(*versions, nonce, dump_id)
        self._names = names
        self._window = window

    def begin(self) -> None:
        """Say who we are: the first thing on a connection, and once.

        :raise ValueError: nonce or dump id are not of the right size
        """
        whole = self._greet(self._hello)
        self._channel.incoming = challenge_key(self._base, whole)

    def _greeting(self, frame: Frame, whole: bytes) -> bool:
        if not isinstance(frame, Challenge):
            return False
        if not self._hello.least_version <= frame.version <= self._hello.greatest_version:
            raise RendezvousError(f"the taper wants to speak version {frame.version}")
        keys = SessionKeys.of(self._base, self._hello.nonce, frame.nonce, frame.version)
        self._channel.outgoing, self._channel.incoming = keys.application, keys.taper
        names = self._names
        self._greet(Proof(names.host, names.disk, names.level, names.application, self._window))
        self._channel.be_trusting()
        return True
