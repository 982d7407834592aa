"""Several workers, dumps from other volumes, several runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from twisted.internet import reactor
from twisted.internet.endpoints import clientFromString

from protocols.driver.codec import encode
from protocols.driver.messages import Message
from protocols.twisted_transports.driver import DriverProtocol
from taper.run.service import TaperService
from tests.crash.night import NO_SPLIT, Talk, split
from tests.crash.scenarios import Prepare, blank, scenario
from tests.crash.scenarios_plain import MEDIUM, SMALL, begin, small_volumes
from tests.crash.stage import BLOCK, Stage, nights
from tests.run.sessions import driver_factory

W0, W1 = "worker0-0", "worker0-1"
TONIGHT = nights()[0]


# several workers


@scenario(blank("taper-parallel-write 2"))
async def two_workers(stage: Stage) -> None:
    """Dumps onto two volumes at once."""
    night = await begin(stage)
    await night.talk.start(TONIGHT, W1)
    one, two = stage.dump(MEDIUM), stage.dump(7 * BLOCK)
    first = night.talk.file_write(one, stage.hold(one), split(2 * BLOCK))
    second = night.talk.file_write(two, stage.hold(two), split(BLOCK), W1)
    assert (await first).startswith("DONE")
    assert (await second).startswith("DONE")
    await night.quit()


@scenario(blank("taper-parallel-write 2"))
async def scribe_taken(stage: Stage) -> None:
    """A worker gets the volume that another has written a dump to."""
    night = await begin(stage)
    talk = night.talk
    dump = stage.dump(SMALL)
    assert (await talk.file_write(dump, stage.hold(dump))).startswith("DONE")
    await talk.start(TONIGHT, W1)
    talk.grants = lambda worker, handle: talk.say(f"TAKE-SCRIBE-FROM {worker} {handle} {W0}")
    dump = stage.dump(MEDIUM)
    end = await talk.file_write(dump, stage.hold(dump), split(2 * BLOCK), W1)
    assert end.startswith("DONE"), end
    await night.quit()


@scenario(blank("taper-parallel-write 2"))
async def reservation_taken(stage: Stage) -> None:
    """A worker gets the volume that another has found and not yet labelled."""
    night = await begin(stage)
    talk = night.talk
    await talk.start(TONIGHT, W1)

    def take(worker: str, handle: str) -> None:
        talk.grants = talk.grant
        talk.say(f"TAKE-SCRIBE-FROM {worker} {handle} {W0}")

    talk.grants = take
    dump = stage.dump(MEDIUM)
    end = await talk.file_write(dump, stage.hold(dump), split(2 * BLOCK), W1)
    assert end.startswith("DONE"), end
    await night.quit()


# dumps from other volumes

VAULT = """
define storage SRC {{
  tpchanger "chg-disk:{root}/source"
  tapetype "T"
  tapepool "SRC"
  labelstr "^SRC[0-9][0-9]$"
}}
"""


def vault(top: str = "") -> Prepare:
    """A storage with two volumes to be copied."""

    def prepare(stage: Stage) -> None:
        stage.configure(top=VAULT + top)
        for number, disk in enumerate(("/srv", "/home"), 1):
            (stage.root / f"source/slot{number}").mkdir(parents=True)
            where, label = f"source/slot{number}", f"SRC0{number}"
            stage.volume(where, label, f"2025010{number}000000", {disk: MEDIUM}, storage="SRC")

    return prepare


async def copy(stage: Stage, how: str) -> None:
    night = await begin(stage)
    for number, disk in enumerate(("/srv", "/home"), 1):
        stamp = f"2025010{number}000000"
        dump = stage.dump(MEDIUM, disk=disk, datestamp=stamp)
        end = night.talk.ending(dump)
        night.talk.say(
            f"VAULT-WRITE {W0} {dump.handle} SRC SRC SRC0{number} localhost {disk} 0 {stamp} "
            f"{how} 64"
        )
        line = await end
        assert line.startswith("DONE"), line
        await night.talk.ask(f"CLOSE-SOURCE-VOLUME {W0}", "CLOSED-SOURCE-VOLUME")
    await night.quit()


@scenario(vault())
async def vaulting(stage: Stage) -> None:
    await copy(stage, NO_SPLIT)


@scenario(vault(small_volumes(12)))
async def vaulting_onto_several(stage: Stage) -> None:
    await copy(stage, split(2 * BLOCK))


# several runs


@scenario(blank(slots=5))
async def three_nights(stage: Stage) -> None:
    """The log is rolled after each."""
    for stamp in nights()[:3]:
        night = await begin(stage, stamp)
        dump = stage.dump(SMALL)
        end = await night.talk.file_write(dump, stage.hold(dump), split(BLOCK))
        assert end.startswith("DONE"), end
        await night.quit()
        stage.roll_log(stamp)


@scenario(blank())
async def second_process(stage: Stage) -> None:
    """A taper ended, and another goes on in the same run and log."""
    for _ in range(2):
        night = await begin(stage)
        dump = stage.dump(SMALL)
        assert (await night.talk.file_write(dump, stage.hold(dump))).startswith("DONE")
        await night.quit()


@contextmanager
def watched_replies(stage: Stage) -> Iterator[None]:
    """What goes to drivers by any connection is recorded as it leaves."""
    send = DriverProtocol.send

    def watched(protocol: DriverProtocol, message: Message) -> None:
        stage.recorder.told(encode(message).decode().rstrip("\n"))
        send(protocol, message)

    with patch.object(DriverProtocol, "send", watched):
        yield


@scenario(blank())
async def daemon(stage: Stage) -> None:
    """Two drivers, one after the other, at the door of a daemon."""
    door = f"{stage.root}.holding/door"
    service = TaperService(reactor, stage.place.setup(), f"unix:{door}")
    with watched_replies(stage):
        service.startService()
        for stamp in nights()[:2]:
            endpoint = clientFromString(reactor, f"unix:{door}")
            end = await endpoint.connect(driver_factory())
            talk = Talk(stage.recorder, end.say)
            end.heard.take = talk.take
            await talk.start(stamp)
            dump = stage.dump(SMALL)
            line = await talk.file_write(dump, stage.hold(dump), split(BLOCK))
            assert line.startswith("DONE"), line
            end.say("QUIT")
            await end.gone
            stage.roll_log(stamp)
        await service.stopService()
