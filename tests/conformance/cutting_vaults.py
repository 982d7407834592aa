"""One dump vaulted again and again with one taper, from mover to mover, and somebody on the way who
cuts their connection."""

from __future__ import annotations

from attrs import frozen

from tests.conformance.cutting import Cut, Way
from tests.conformance.harness import World
from tests.conformance.harness_talk import WORKER, Conversation, split_by
from tests.conformance.vaulting import vault
from tests.conformance.vaulting_ndmp import BLOCK, SOURCE, TapeLibrary, drive, worker
from tests.fakes.detour import Detour
from tests.fakes.ndmp_runs import ENDLESS, options

TARGET = """
define changer to {{
  tpchanger "chg-single:{url}"
  device-property "BLOCK_SIZE" "{block}"
}}
"""


def in_three_parts(library: TapeLibrary, data: bytes) -> None:
    """Put the dump on SRC01, in parts of whole records but for the last."""
    size = len(data) // 3 // BLOCK * BLOCK
    library.dump(data, [("SRC01", size), ("SRC01", size), ("SRC01", len(data) - 2 * size)])


@frozen
class Copy:
    """What became of a dump.

    :ivar parts: label and number of the file of each part
    """

    line: str
    parts: list[tuple[str, int]]
    cuts: list[Cut]


class Vaults:
    """A taper, and as many copies of a dump as one likes.

    :param source: URL of the drive that it is read from
    :param port: of the server that is written on
    :param to: its drive
    :param block: bytes of the records that are written
    """

    def __init__(self, world: World, source: str, port: int, to: str, block: int = BLOCK) -> None:
        self._way = Way([])
        self._detour = Detour(port, self._way.lead_to)
        url = f"ndmp:127.0.0.1:{self._detour.port}@{to}"
        chosen = options('tpchanger "to"', tapetype=ENDLESS)
        chosen.extra += TARGET.format(url=url, block=block)
        chosen.extra += drive("from", source, indirect=False) + SOURCE.format(changer="from")
        world.configure(chosen)
        self.talk: Conversation = worker(world)
        self._number = 0

    def copy(self, cuts: list[Cut]) -> Copy:
        """Vault it, from VAULT-WRITE to the end."""
        self._number += 1
        handle = f"00-{self._number:05d}"
        self._way.cut(cuts)
        vault(self.talk, split=split_by(1 << 20), handle=handle)
        while True:
            line = self.talk.read_line()
            assert line is not None, "the taper ended"
            word = line.split(" ")[0]
            if word == "REQUEST-NEW-TAPE":
                self.talk.send(f"START-SCAN {WORKER} {handle}", f"NEW-TAPE {WORKER} {handle}")
            elif word in ("DONE", "PARTIAL", "FAILED"):
                return Copy(line, self.talk.parts.get(handle, []), cuts)

    def end(self) -> None:
        """Give the volume back, and the taper its leave."""
        self.talk.send(f"CLOSE-VOLUME {WORKER}")
        self.talk.expect(f"CLOSED-VOLUME {WORKER}")
        self.talk.quit()
        self._detour.close()
        self._way.close()
