"""Volumes that were written before, and changers of every kind."""

from __future__ import annotations

import os

from tests.crash.night import split
from tests.crash.scenarios import Prepare, blank, scenario
from tests.crash.scenarios_plain import MEDIUM, SMALL, begin, one_file, small_volumes
from tests.crash.stage import BLOCK, Stage, nights

W0, W1 = "worker0-0", "worker0-1"
TONIGHT = nights()[0]


def years_ago(number: int) -> str:
    return f"202401{number:02d}000000"


def used(
    volumes: int, kept: int, more: str = "", top: str = "", slots: int = 4, tapecycle: int = 3
) -> Prepare:
    """Volumes C01, C02, ... of which the last, and newest, are kept.

    Those that are kept now, but the newest ones, may be written over in the next run, for there
    are newer ones then.
    """

    def prepare(stage: Stage) -> None:
        stage.configure(more, f"{top}\ntapecycle {tapecycle}\n", slots)
        for number in range(1, volumes + 1):
            where, label = f"vtapes/slot{number}", f"C{number:02d}"
            active = number > volumes - kept
            disks = {f"/old{number}": 3 * BLOCK, f"/more{number}": 100}
            stage.volume(where, label, years_ago(number), disks, kept=active)
            if active and number < volumes:
                stage.expendable.add(label)

    return prepare


# volumes that are written again


@scenario(used(3, 2, slots=3))
async def relabelling(stage: Stage) -> None:
    """The oldest is written again."""
    await one_file(stage, SMALL)


@scenario(used(6, 3, slots=7, top=small_volumes(10), tapecycle=5))
async def relabelling_while_spanning(stage: Stage) -> None:
    """Several old volumes, one after the other."""
    await one_file(stage, 9 * BLOCK, split(2 * BLOCK))


@scenario(used(3, 2, "taperscan lexical", slots=4))
async def relabelling_by_inventory(stage: Stage) -> None:
    await one_file(stage, SMALL)


@scenario(used(3, 2, "taperscan oldest", slots=4))
async def relabelling_the_oldest(stage: Stage) -> None:
    await one_file(stage, SMALL)


@scenario(used(4, 2, "erase-volume yes", slots=5))
async def erasing_first(stage: Stage) -> None:
    """What can be written over is erased before the first scan."""
    stage.erased |= {"C01", "C02"}
    await one_file(stage, SMALL)


UNWATCHED = '\ndevice-property "MONITOR_FREE_SPACE" "no"\n'


def crowded(more: str = "") -> Prepare:
    """Six volumes in a file system that is full."""
    prepare_volumes = used(6, 3, more, UNWATCHED, slots=6, tapecycle=5)

    def prepare(stage: Stage) -> None:
        prepare_volumes(stage)
        stage.recorder.crowded = "vtapes"
        state = 4096
        stage.recorder.room = state + sum(
            path.stat().st_size for path in stage.root.glob("vtapes/slot*/*")
        )

    return prepare


@scenario(crowded("taperscan lexical\n  erase-on-full yes"))
async def erasing_when_full(stage: Stage) -> None:
    """Room for the dump is made of the second oldest volume."""
    stage.erased |= {"C02", "C03"}
    await one_file(stage, 9 * BLOCK, split(3 * BLOCK))


@scenario(crowded())
async def full_disk(stage: Stage) -> None:
    """There is room for what the oldest volume had, and no more."""
    night = await begin(stage)
    talk, granted = night.talk, []

    def two(worker: str, handle: str) -> None:
        granted.append(handle)
        if len(granted) > 2:
            talk.say(f'NO-NEW-TAPE {worker} {handle} "no more"')
        else:
            talk.grant(worker, handle)

    talk.grants = two
    dump = stage.dump(24 * BLOCK)
    end = await talk.file_write(dump, stage.hold(dump), split(BLOCK))
    assert end.startswith("PARTIAL"), end
    await night.quit()


@scenario(blank("erase-on-failure yes"))
async def erasing_a_failure(stage: Stage) -> None:
    """The volume that got nothing good is as if newly labelled."""
    stage.erased.add("C01")
    night = await begin(stage)
    dump = stage.dump(SMALL, whole=False)
    holding = stage.hold(dump, 50_000)
    os.unlink(f"{holding}.1")
    end = await night.talk.file_write(dump, holding)
    assert end.startswith(("PARTIAL", "FAILED")), end
    await night.talk.ask(f"CLOSE-VOLUME {W0}", "CLOSED-VOLUME")
    await night.quit()


# other changers


def lone(stage: Stage) -> None:
    """One volume in a drive, blank."""
    stage.configure('tpchanger "chg-single:file:{root}/drive"', slots=0)
    (stage.root / "drive").mkdir()
    stage.swap = "drive"


@scenario(lone)
async def lone_volume(stage: Stage) -> None:
    await one_file(stage, MEDIUM, split(2 * BLOCK))


def lone_used(stage: Stage) -> None:
    """One volume in a drive, which may be written again."""
    lone(stage)
    with (stage.root / "etc/C/amanda.conf").open("a") as file:
        file.write("\ntapecycle 1\n")
    stage.volume("drive", "C01", years_ago(1), {"/old": MEDIUM}, kept=False)


@scenario(lone_used)
async def lone_volume_again(stage: Stage) -> None:
    await one_file(stage, MEDIUM, split(2 * BLOCK))


FLAT = """tpchanger "flat"
  labelstr "^C[0-9][0-9]$"
  autolabel "C$2s" any"""
FLAT_CHANGER = """
define changer flat {{
  tpchanger "chg-diskflat:{root}/flat"
  property "auto-create-slot" "yes"
  property "num-slot" "9"
}}
"""


def flat(top: str = "") -> Prepare:
    """Volumes of one file, which are made when they are needed."""

    def prepare(stage: Stage) -> None:
        stage.configure(top="")
        root = stage.root
        (root / "flat").mkdir()
        conf = root / "etc/C/amanda.conf"
        text = conf.read_text().replace('tapetype "T"\n', f'tapetype "T"\n  {FLAT}\n', 1)
        before, mark, after = text.partition("define storage C")
        lines = [line for line in after.split("\n") if "chg-disk:" not in line]
        lines = [line for line in lines if "C%%" not in line and "^C[0-9]+$" not in line]
        changer = FLAT_CHANGER.format(root=root)
        conf.write_text(before + changer + mark + "\n".join(lines) + top)

    return prepare


@scenario(flat())
async def flat_volume(stage: Stage) -> None:
    await one_file(stage, SMALL)


@scenario(flat())
async def flat_volumes(stage: Stage) -> None:
    """A part on each volume."""
    await one_file(stage, MEDIUM, split(2 * BLOCK))


def flat_used(stage: Stage) -> None:
    """Three such volumes, of which the newest two are kept."""
    flat("\ntapecycle 3\n")(stage)
    for number in range(1, 4):
        label = f"C{number:02d}"
        stage.volume(f"flat/{label}", label, years_ago(number), {f"/old{number}": MEDIUM})
    stage.kept.discard("C01")
    stage.expendable.add("C02")


@scenario(flat_used)
async def flat_volume_again(stage: Stage) -> None:
    await one_file(stage, SMALL)


def growing(stage: Stage) -> None:
    """Slots are made when they are needed."""
    top = '\ndefine changer disk {{\n  tpchanger "chg-disk:{root}/vtapes"\n'
    top += '  property "auto-create-slot" "yes"\n  property "num-slot" "7"\n}}\n'
    stage.configure(slots=0)
    (stage.root / "vtapes").mkdir()
    conf = stage.root / "etc/C/amanda.conf"
    text = conf.read_text().replace(f'"chg-disk:{stage.root}/vtapes"', '"disk"')
    before, mark, after = text.partition("define storage C")
    conf.write_text(before + top.format(root=stage.root) + mark + after)


@scenario(growing)
async def new_slots(stage: Stage) -> None:
    night = await begin(stage)
    for _ in range(2):
        dump = stage.dump(SMALL)
        assert (await night.talk.file_write(dump, stage.hold(dump))).startswith("DONE")
        await night.talk.ask(f"CLOSE-VOLUME {W0}", "CLOSED-VOLUME")
    await night.quit()


def labelled_by_slot(stage: Stage) -> None:
    """The slot alone makes the label of a volume."""
    stage.configure()
    conf = stage.root / "etc/C/amanda.conf"
    conf.write_text(conf.read_text().replace("C%%", "C$2s"))


@scenario(labelled_by_slot)
async def slot_labels(stage: Stage) -> None:
    await one_file(stage, SMALL)


def spoiled(stage: Stage) -> None:
    """The changer's state is damaged, and a draft of the tapelist and of the link were left."""
    stage.configure()
    (stage.root / "vtapes/state").write_bytes(bytes(300))
    (stage.root / "tapelist-new-1700000000").write_text("")
    (stage.root / "vtapes/data.4194000").symlink_to("slot3")


@scenario(spoiled)
async def after_a_crash(stage: Stage) -> None:
    await one_file(stage, SMALL)


def linked(stage: Stage) -> None:
    """The tapelist is elsewhere, and the storage has a meta label."""
    stage.configure('meta-autolabel "META%%"')
    (stage.root / "state/C").mkdir()
    (stage.root / "tapelist").rename(stage.root / "state/C/tapelist")
    (stage.root / "tapelist").symlink_to("state/C/tapelist")


@scenario(linked)
async def linked_tapelist(stage: Stage) -> None:
    await one_file(stage, MEDIUM, split(3 * BLOCK))
