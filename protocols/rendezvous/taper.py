"""The taper's half of a rendezvous."""

from __future__ import annotations

from protocols.rendezvous.channel import Channel
from protocols.rendezvous.errors import RendezvousError
from protocols.rendezvous.frames import (
    DUMP_ID_SIZE,
    NONCE_SIZE,
    Challenge,
    Frame,
    Hello,
    Proof,
    Refusal,
    Refused,
)
from protocols.rendezvous.half import GREETING, OF_APPLICATION, OF_TAPER, VERSIONS, Half
from protocols.rendezvous.keys import SessionKeys, base_key, challenge_key
from protocols.rendezvous.states import taper_states

HELLO_SIZE = 2 + NONCE_SIZE + DUMP_ID_SIZE
"""Bytes of the body of HELLO, which is the same in all versions."""

MAX_PROOF = 16384
"""Bytes of the body of PROOF."""


class TaperHalf(Half):
    """One connection that a taper has got.

    :ivar dump_id: what HELLO said; to be believed once there is a :attr:`peer`.
    :ivar peer: who has proved to know the key; None: nobody yet.
    """

    says = OF_TAPER - GREETING
    hears = OF_APPLICATION

    def __init__(self, key: bytes, nonce: bytes, versions: tuple[int, int] = VERSIONS) -> None:
        """:param key: of the key file.
        :param nonce: 32 random bytes, never used before.
        :param versions: the least and the greatest that is spoken.
        """
        self._base = base_key(key)
        super().__init__(Channel(b"", self._base, HELLO_SIZE), taper_states())
        self._nonce = nonce
        self._versions = versions
        self.dump_id: bytes | None = None
        self.peer: Proof | None = None

    def _greeting(self, frame: Frame, whole: bytes) -> bool:
        if isinstance(frame, Hello):
            self._challenge(frame, whole)
            return True
        if isinstance(frame, Proof):
            self._channel.be_trusting()
            self.peer = frame
            return True
        return False

    def _challenge(self, hello: Hello, whole: bytes) -> None:
        self.dump_id = hello.dump_id
        self._channel.outgoing = challenge_key(self._base, whole)
        least, greatest = self._versions
        version = min(greatest, hello.greatest_version)
        if version < max(least, hello.least_version):
            theirs = f"{hello.least_version} to {hello.greatest_version}"
            text = f"version {theirs} is offered, {least} to {greatest} is spoken here"
            self._greet(Refused(Refusal.VERSION, text))
            raise RendezvousError(text)
        self._greet(Challenge(version, self._nonce))
        keys = SessionKeys.of(self._base, hello.nonce, self._nonce, version)
        self._channel.outgoing, self._channel.incoming = keys.taper, keys.application
        self._channel.most = MAX_PROOF
