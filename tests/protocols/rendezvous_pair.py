"""Two halves of a rendezvous, and a wire between them that does what a test wants."""

from __future__ import annotations

from protocols.rendezvous.application import ApplicationHalf, Names
from protocols.rendezvous.frames import Frame
from protocols.rendezvous.taper import TaperHalf

KEY = b"sixteen bytes or more"
NAMES = Names("client.example.com", "/home", 1, "amdirecttar")
DUMP_ID = bytes(range(16))
NONCE = bytes(range(32))
OTHER_NONCE = bytes(range(32, 64))
WINDOW = 1 << 24


def application(
    key: bytes = KEY, nonce: bytes = NONCE, dump_id: bytes = DUMP_ID
) -> ApplicationHalf:
    return ApplicationHalf(key, NAMES, DUMP_ID, nonce, WINDOW)


def taper(key: bytes = KEY, nonce: bytes = OTHER_NONCE) -> TaperHalf:
    return TaperHalf(key, nonce)


class Pair:
    """Both ends of one connection; what each has heard is kept."""

    def __init__(
        self, of_application: ApplicationHalf | None = None, of_taper: TaperHalf | None = None
    ) -> None:
        self.application = of_application or application()
        self.taper = of_taper or taper()
        self.heard_by_application: list[Frame] = []
        self.heard_by_taper: list[Frame] = []

    def greet(self) -> Pair:
        """Let them get to know one another."""
        self.application.begin()
        self.flow()
        assert self.application.established
        assert self.taper.established
        return self

    def flow(self) -> None:
        """Bring bytes over until nobody has any."""
        while True:
            there, back = self.application.output(), self.taper.output()
            if not (there or back):
                return
            self.heard_by_taper += self.taper.receive(there)
            self.heard_by_application += self.application.receive(back)
