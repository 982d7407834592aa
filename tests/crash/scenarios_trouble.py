"""Disks that do not store what they were given: a synchronisation fails, and the data are lost.

What a failed synchronisation was to cover is perhaps never stored, and no later one tells of it.
"""

from __future__ import annotations

import re

from tests.crash.night import ENDS, split
from tests.crash.scenarios import blank, scenario
from tests.crash.scenarios_plain import MEDIUM, begin, small_volumes
from tests.crash.scenarios_volumes import used
from tests.crash.stage import BLOCK, Stage


async def with_failures(stage: Stage, path: str, *numbers: int, dumps: int = 2) -> int:
    """Dumps, while some synchronisations of such a path fail.

    :param numbers: of them, from 1 on; none: all of them
    :return: how often a volume was asked for
    """
    found: list[str] = []
    asked: list[str] = []

    def spoils(where: str) -> bool:
        if not re.fullmatch(path, where):
            return False
        found.append(where)
        return not numbers or len(found) in numbers

    stage.recorder.spoils = spoils
    night = await begin(stage)

    def grant(worker: str, handle: str) -> None:
        asked.append(handle)
        night.talk.grant(worker, handle)

    night.talk.grants = grant
    for _ in range(dumps):
        dump = stage.dump(MEDIUM)
        end = await night.talk.file_write(dump, stage.hold(dump), split(2 * BLOCK))
        assert end.startswith(ENDS), end
    await night.quit()
    assert found
    return len(asked)


PART = r"vtapes/slot\d/0000[1-9].*"
SLOT = r"vtapes/slot\d"


@scenario(blank())
async def part_not_stored(stage: Stage) -> None:
    """It is no part, whether it is written again or the dump ends."""
    await with_failures(stage, PART, 2)


@scenario(blank())
async def name_not_stored(stage: Stage) -> None:
    """The same for the directory of the volume."""
    await with_failures(stage, SLOT, 3)


@scenario(used(2, 1, slots=5))
async def label_not_stored(stage: Stage) -> None:
    """Neither the old volume that cannot be labelled nor the next one is used."""
    await with_failures(stage, ".*/00000-label", 1, 2)


@scenario(blank())
async def label_name_not_stored(stage: Stage) -> None:
    await with_failures(stage, SLOT, 1)


@scenario(blank())
async def list_not_stored(stage: Stage) -> None:
    """The claim of a label, then the entry of a volume that is labelled."""
    await with_failures(stage, "tapelist-new.*", 1, 4)


@scenario(blank(top=small_volumes(9), slots=6))
async def list_not_stored_at_a_change(stage: Stage) -> None:
    """The entry of the second volume, on which a part is written already: it comes again."""
    asked = await with_failures(stage, "tapelist-new.*", 4, dumps=1)
    assert asked == 4, asked


@scenario(used(3, 1, slots=5))
async def list_name_not_stored(stage: Stage) -> None:
    """The name of the list in which a volume is no longer an old one."""
    stage.expendable.add("C03")
    await with_failures(stage, r"\.", 1)


@scenario(blank())
async def log_not_stored_once(stage: Stage) -> None:
    stage.log_fails = True
    await with_failures(stage, "log/log", 2)


@scenario(blank())
async def log_never_stored(stage: Stage) -> None:
    stage.log_fails = True
    await with_failures(stage, "log/log")


@scenario(blank())
async def log_name_not_stored(stage: Stage) -> None:
    stage.log_fails = True
    await with_failures(stage, "log", 1)
