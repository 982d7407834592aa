"""Conversations about discs: written to a cache, burned when the volume is finished."""

from __future__ import annotations

import pytest

from devices.processes import is_alive
from tests.conformance.harness import STAMP, Options, World
from tests.conformance.harness_talk import HANDLE, WORKER, Conversation, split_by
from tests.conformance.harness_text import crc, payload
from tests.fakes.burner import Burner

HOME = "/var/lib/amanda/burner"
DATA = payload(500_000)
SIZES = (262144, 237856)
STORAGE = """
define changer burner {{
  tpchanger "chg-single:{name}"
  {properties}
  device-property "DVDRW_UNLABELLED_WHEN_UNMOUNTABLE" "yes"
}}
"""


class Room:
    """A world whose storage is a burner with a blank disc in it."""

    def __init__(self, world: World) -> None:
        self.world = world
        world.mkdir(HOME)
        self.burner = Burner(world.path(HOME), HOME)
        self.own()
        properties = "\n  ".join(
            f'device-property "{name}" "{value}"' for name, value in self.burner.properties.items()
        )
        extra = STORAGE.format(name=self.burner.name, properties=properties)
        world.configure(
            Options(slots=0, usage_kib=None, leom=None, changer='tpchanger "burner"', extra=extra)
        )

    def own(self) -> None:
        """Give all of it to the dump user, after it was changed from here."""
        self.world.inside("chown", "-R", "backup:backup", HOME)

    def insert_empty(self) -> None:
        """Put in a disc with a file system and a directory for data, and nothing in it."""
        self.burner.insert_empty()
        (self.burner.root / "disc" / "data").mkdir()
        self.own()

    def write(self, label: str = "PROTO01") -> Conversation:
        """A dump in two parts, DONE; the volume is still in the cache."""
        talk = self.world.start()
        talk.start_taper()
        talk.file_write(self.world.holding(DATA), split_by(262144))
        talk.grant(label)
        talk.ready()
        for number, size in enumerate(SIZES, 1):
            talk.part(label, number, size)
        talk.done(crc(DATA))
        return talk

    def check_disc(self, label: str = "PROTO01") -> None:
        """The dump is on the disc, whole."""
        files = self.burner.files()
        assert next(iter(files)) == f"00000.{label}"
        assert b"".join(list(files.values())[1:]) != b""
        parts = [content[32768:] for name, content in files.items() if not name.startswith("00000")]
        assert b"".join(parts)[: len(DATA)] == DATA


@pytest.fixture
def room(world: World) -> Room:
    return Room(world)


CRASHES = "a program that fails crashes it [volumes 8]"


def test_a_night_and_the_next(room: Room) -> None:
    """Told DONE, burned at the end, and nothing left in the cache; then another disc."""
    room.insert_empty()
    talk = room.write()
    assert room.burner.files("cache")
    talk.quit()
    room.check_disc()
    assert room.burner.files("cache") == {}
    room.burner.eject()
    room.insert_empty()
    room.write("PROTO02").quit()
    room.check_disc("PROTO02")


@pytest.mark.known_stock_failure("both crash it [volumes 5.5]")
@pytest.mark.parametrize("blank", [True, False])
def test_a_disc_without_data(room: Room, blank: bool) -> None:
    """A blank one cannot be mounted, which counts as unlabelled here; so does one of others."""
    if not blank:
        room.burner.insert_empty()
        room.own()
    room.write().quit()
    room.check_disc()


@pytest.mark.known_stock_failure(CRASHES)
def test_a_burn_that_fails(room: Room) -> None:
    """The trace log says where the dump is that was told DONE; the next run writes nothing over
    it, and says so."""
    room.insert_empty()
    talk = room.write()
    room.burner.faults("echo ':-( write failed' >&2; exit 5")
    talk.quit()
    cache = f"{HOME}/cache/data/"
    (line,) = room.world.log("ERROR taper ")
    assert ":-( write failed" in line
    assert f"volume PROTO01 is in {cache} and on no disc" in line
    written = room.burner.files("cache")
    assert len(written) == 3
    room.burner.faults()
    talk = room.world.start()
    talk.start_taper()
    talk.file_write(room.world.holding(DATA))
    talk.expect(f"REQUEST-NEW-TAPE {WORKER} {HANDLE}")
    talk.send(f"START-SCAN {WORKER} {HANDLE}", f"NEW-TAPE {WORKER} {HANDLE}")
    talk.expect(f"NO-NEW-TAPE {WORKER} {HANDLE}")
    talk.expect(f"REQUEST-NEW-TAPE {WORKER} {HANDLE}")
    talk.send(f'NO-NEW-TAPE {WORKER} {HANDLE} "no more"')
    talk.expect(f'FAILED {WORKER} {HANDLE} INPUT-GOOD TAPE-CONFIG "" "no more"')
    talk.quit()
    assert "which was not burned, or is not known to be" in "\n".join(room.world.log())
    assert room.burner.files("cache") == written


def test_a_burn_that_takes_long(room: Room) -> None:
    """QUIT is answered by the end, when the disc is whole; until then the taper is there."""
    room.insert_empty()
    burner = room.burner
    talk = room.write()
    burner.faults(f"touch {HOME}/begun; while ! [ -e {HOME}/go ]; do sleep 0.05; done")
    talk.send("QUIT")
    room.world.wait_for("the burner", burner.root.joinpath("begun").exists)
    assert talk.process.poll() is None
    room.world.write(f"{HOME}/go", "")
    talk.expect_end(0)
    room.check_disc()
    assert burner.files("cache") == {}


@pytest.mark.known_stock_failure("it sees nothing of what happens while it waits for a program")
def test_quit_while_a_mount_hangs(room: Room) -> None:
    """The taper ends, and takes the program with it."""
    burner, talk = room.burner, room.world.start()
    talk.hopeless_after(10)
    burner.faults(f"echo $$ >{HOME}/pid; exec sleep 1000")
    talk.send(f"START-TAPER taper0 {WORKER} PROTO {STAMP}")
    pid = burner.root / "pid"
    room.world.wait_for("the mount", lambda: pid.exists() and pid.read_text().endswith("\n"))
    talk.send("QUIT")
    talk.expect(f'TAPE-ERROR {WORKER} "<*>"')
    talk.expect_end(0)
    assert not is_alive(int(pid.read_text()))
