"""Dumps onto blank volumes: how they come, how they are split, where they go."""

from __future__ import annotations

from pathlib import Path

from tests.crash.night import NO_SPLIT, Night, split
from tests.crash.scenarios import blank, scenario
from tests.crash.stage import BLOCK, Stage, nights

TONIGHT = nights()[0]
SMALL = 70_000
MEDIUM = 5 * BLOCK + 1000


def small_volumes(blocks: int, leom: bool = True) -> str:
    """Volumes that are full after so many blocks, the label's and each header's included."""
    return (
        f'\ndevice-property "MAX_VOLUME_USAGE" "{blocks * BLOCK}"\n'
        f'device-property "LEOM" "{str(leom).lower()}"\n'
    )


async def begin(stage: Stage, stamp: str = TONIGHT) -> Night:
    """Begin a run with one worker."""
    night = Night(stage.place, stage.recorder)
    await night.talk.start(stamp)
    return night


async def one_file(
    stage: Stage, size: int, how: str = NO_SPLIT, chunk: int = 1_000_000, word: str = "DONE"
) -> None:
    """A run with one dump from the holding disk."""
    night = await begin(stage)
    dump = stage.dump(size)
    end = await night.talk.file_write(dump, stage.hold(dump, chunk), how)
    assert end.startswith(word), end
    await night.quit()


@scenario(blank())
async def first_label(stage: Stage) -> None:
    await one_file(stage, SMALL)


@scenario(blank())
async def parts(stage: Stage) -> None:
    await one_file(stage, MEDIUM, split(2 * BLOCK), chunk=100_000)


@scenario(blank(top=small_volumes(9)))
async def spanning(stage: Stage) -> None:
    """The volume's end is told early."""
    await one_file(stage, MEDIUM, split(3 * BLOCK))


@scenario(blank(top=small_volumes(5, leom=False)))
async def spanning_unwarned(stage: Stage) -> None:
    """A part that meets the end is written again."""
    await one_file(stage, MEDIUM, split(2 * BLOCK))


@scenario(blank(top=small_volumes(4, leom=False)))
async def too_large(stage: Stage) -> None:
    """A dump that must not be split, and fits on no volume."""
    await one_file(stage, MEDIUM, '"" "" "" 0 "" "" "" ""', word="PARTIAL")


@scenario(blank())
async def from_a_port(stage: Stage) -> None:
    night = await begin(stage)
    end = await night.talk.port_write(stage.dump(SMALL))
    assert end.startswith("DONE"), end
    await night.quit()


@scenario(blank(top=small_volumes(5, leom=False)))
async def from_a_port_spanning(stage: Stage) -> None:
    """What met the volume's end comes again from memory."""
    night = await begin(stage)
    end = await night.talk.port_write(stage.dump(MEDIUM), split(2 * BLOCK, "memory"))
    assert end.startswith("DONE"), end
    await night.quit()


@scenario(blank(top=small_volumes(5, leom=False)))
async def from_a_port_cached(stage: Stage) -> None:
    """The same from a cache on the disk."""
    night = await begin(stage)
    how = split(2 * BLOCK, "disk", f"{stage.root}/tmp")
    end = await night.talk.port_write(stage.dump(MEDIUM), how)
    assert end.startswith("DONE"), end
    await night.quit()


@scenario(blank(top=small_volumes(5, leom=False)))
async def from_a_ring_spanning(stage: Stage) -> None:
    """Through shared memory."""
    night = await begin(stage)
    end = await night.talk.shm_write(stage.dump(MEDIUM), split(2 * BLOCK, "memory"))
    assert end.startswith("DONE"), end
    await night.quit()


@scenario(blank())
async def dumper_failed(stage: Stage) -> None:
    night = await begin(stage)
    dump = stage.dump(MEDIUM, whole=False)
    asked = night.talk.hear("DUMPER-STATUS")
    ended = night.talk.port_write(dump, split(2 * BLOCK), sent=lambda: None)
    await asked
    night.talk.say(f"FAILED worker0-0 {dump.handle}")
    assert (await ended).startswith("DONE")  # for the log it is PARTIAL, as stock has it
    await night.quit()


@scenario(blank())
async def broken_holding_file(stage: Stage) -> None:
    """The second chunk is not there."""
    night = await begin(stage)
    dump = stage.dump(MEDIUM, whole=False)
    holding = stage.hold(dump, 100_000)
    Path(f"{holding}.1").unlink()
    end = await night.talk.file_write(dump, holding, split(2 * BLOCK))
    assert end.startswith("PARTIAL"), end
    missing = stage.dump(0, whole=False)
    end = await night.talk.file_write(missing, f"{stage.root}.holding/nosuch")
    assert end.startswith("FAILED"), end
    good = stage.dump(SMALL)
    end = await night.talk.file_write(good, stage.hold(good))
    assert end.startswith("DONE"), end
    await night.quit()


@scenario(blank())
async def several_dumps(stage: Stage) -> None:
    night = await begin(stage)
    for number in range(5):
        dump = stage.dump(SMALL + number * BLOCK)
        end = await night.talk.file_write(dump, stage.hold(dump), split(2 * BLOCK))
        assert end.startswith("DONE"), end
    await night.quit()


@scenario(blank())
async def volume_closed(stage: Stage) -> None:
    """Each dump on a volume of its own."""
    night = await begin(stage)
    for _ in range(3):
        dump = stage.dump(SMALL)
        end = await night.talk.file_write(dump, stage.hold(dump))
        assert end.startswith("DONE"), end
        await night.talk.ask("CLOSE-VOLUME worker0-0", "CLOSED-VOLUME")
    await night.quit()


@scenario(blank())
async def denied(stage: Stage) -> None:
    """The driver has no volume for the first dump, and one for the second."""
    night = await begin(stage)
    talk = night.talk
    talk.grants = lambda worker, handle: talk.say(f'NO-NEW-TAPE {worker} {handle} "no more"')
    dump = stage.dump(SMALL)
    end = await talk.file_write(dump, stage.hold(dump))
    assert end.startswith("FAILED"), end
    talk.grants = talk.grant
    dump = stage.dump(SMALL)
    assert (await talk.file_write(dump, stage.hold(dump))).startswith("DONE")
    await night.quit()


@scenario(blank(top=small_volumes(5, leom=False)))
async def denied_in_the_middle(stage: Stage) -> None:
    """There is one volume for a dump that needs three."""
    night = await begin(stage)
    talk = night.talk

    def once(worker: str, handle: str) -> None:
        talk.grants = lambda *_: talk.say(f'NO-NEW-TAPE {worker} {handle} "no more"')
        talk.grant(worker, handle)

    talk.grants = once
    dump = stage.dump(MEDIUM)
    end = await talk.file_write(dump, stage.hold(dump), split(BLOCK))
    assert end.startswith("PARTIAL"), end
    await night.quit()


@scenario(blank())
async def quit_while_asking(stage: Stage) -> None:
    """QUIT comes instead of a volume."""
    night = await begin(stage)
    night.talk.grants = lambda worker, handle: None
    dump = stage.dump(SMALL)
    asked = night.talk.hear("REQUEST-NEW-TAPE")
    end = night.talk.file_write(dump, stage.hold(dump))
    await asked
    await night.quit()
    assert (await end).startswith("FAILED")


@scenario(blank())
async def quit_in_a_dump(stage: Stage) -> None:
    """QUIT comes when the first of the parts is stored."""
    night = await begin(stage)
    dump = stage.dump(8 * BLOCK)
    first = night.talk.hear("PARTDONE")
    end = night.talk.file_write(dump, stage.hold(dump), split(BLOCK))
    await first
    await night.quit()
    assert (await end).startswith(("PARTIAL", "DONE"))


@scenario(blank(top='\ndevice-property "FSYNC" "no"\n'), safe=False)
async def not_synchronised(stage: Stage) -> None:
    """As stock has it: this one must be found wanting."""
    await one_file(stage, MEDIUM, split(2 * BLOCK))
