"""A fault at each operation of a device or changer: the dump ends honestly, and life goes on.

A whole story is told once without a fault, so that it is known how often each operation is asked
for; then again with a fault at the n-th of them. By default a few of them; ``--faults all`` takes
each, some minutes for each kind.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest

from devices.xor import xor
from tests.conformance.conftest import history, public_copy
from tests.conformance.harness import STAMP, VTAPES, Options, Program, World
from tests.conformance.harness_files import Dump, VolumeFile, read_volume, volume_label
from tests.conformance.harness_talk import HANDLE, WORKER, split_by
from tests.conformance.harness_text import payload, split_line
from tests.conformance.kinds_rait import joined
from tests.conformance.kinds_tape import Tape, tape_files
from tests.conformance.vaulting import ending
from tests.fakes.burner import Burner
from tests.fakes.ndmp_runs import BLOCK
from tests.fakes.tape import Fault
from tests.fakes.tape.placed import HOME, PlacedDrive

DATA = payload(9 * BLOCK + 777)
SMALL = payload(2 * BLOCK)
DUMPS = [(HANDLE, Dump(), DATA), ("00-00002", Dump("/b"), SMALL), ("00-00003", Dump("/c"), SMALL)]
SLOTS = 3
COPY = f"""
define storage COPY {{
  tpchanger "chg-disk:{VTAPES}/copy"
  tapetype "T"
  tapepool "COPY"
  labelstr "^COPY[0-9][0-9]$"
  autolabel "COPY%%" any
}}
"""


class Stage(ABC):
    """Three volumes, and what can go wrong with them.

    :cvar few: faults by default, spread over all that could be.
    """

    few: ClassVar[int] = 4

    def __init__(self, world: World) -> None:
        self.world = world

    @abstractmethod
    def faults(self) -> list[Any]:
        """Every fault that the story as it was just told could have met."""

    @abstractmethod
    def strike(self, fault: Any) -> None:
        """Let this go wrong from now on."""

    @abstractmethod
    def volumes(self) -> list[list[VolumeFile]]:
        """What is on the volumes."""


class Drives(Stage):
    """``chg-multi`` of tape drives, or of ``rait:`` over three of them; it is the first volume's
    drive, or that of its second child, that fails."""

    def __init__(self, world: World, width: int, more: str = "") -> None:
        """:param more: properties of the devices"""
        super().__init__(world)
        text = ""
        self._cartridges: list[list[Path]] = []
        drives = []
        for slot in range(1, SLOTS + 1):
            nodes = []
            cartridges = []
            for child in range(width):
                drive = PlacedDrive(world, f"nst{slot}{child}")
                cartridges.append(drive.cartridge(f"cartridge{slot}{child}"))
                drive.insert(cartridges[-1])
                nodes.append(f"tape:{drive.node}")
                drives.append(drive)
            device = nodes[0]
            if width > 1:
                device = f"rait:{{{','.join(f'd{slot}{child}' for child in range(width))}}}"
                text += "".join(
                    f'define device d{slot}{child} {{\n  tapedev "{node}"\n}}\n'
                    for child, node in enumerate(nodes)
                )
            text += f'define device v{slot} {{\n  tapedev "{device}"\n  {more}\n}}\n'
            self._cartridges.append(cartridges)
        self._bad = drives[min(width, 2) - 1]
        world.mkdir(VTAPES)
        changer = (
            f'{text}define changer volumes {{\n  tpchanger "chg-multi:v{{1..{SLOTS}}}"\n'
            f'  changerfile "{HOME}/multi"\n}}\ntpchanger "volumes"'
        )
        options = Options(slots=0, usage_kib=None, leom=None, changer=changer, extra=COPY)
        world.configure(options)

    def faults(self) -> list[Fault]:
        calls: dict[str, int] = self._bad.drive.state().calls
        found = []
        for call, count in sorted(calls.items()):
            found += [Fault(call=call, after=after) for after in range(count)]
            found += [Fault(call=call, after=after, times=-1) for after in range(count)]
            if call == "write":
                found += [Fault(call=call, code="SHORT", after=after) for after in range(count)]
        return found

    def strike(self, fault: Fault | None) -> None:
        self._bad.drive.change(faults=() if fault is None else (fault,))
        self._bad.own()

    def volumes(self) -> list[list[VolumeFile]]:
        if len(self._cartridges[0]) == 1:
            return [tape_files(one, None) for (one,) in self._cartridges]
        return [joined(each, BLOCK) for each in self.children()]

    def children(self) -> list[list[list[VolumeFile]]]:
        """What is on the children's cartridges."""
        return [[tape_files(one, None) for one in each] for each in self._cartridges]


class RobotStage(Stage):
    """A library of two tape drives whose robot fails."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._kind = Tape(world)
        world.kind = self._kind
        world.configure(Options(slots=SLOTS, usage_kib=None, leom=None))

    def faults(self) -> list[int]:
        return list(range(len(self._kind.library.log(moves=False))))

    def strike(self, fault: int) -> None:
        self._kind.library.fault(failing=fault)

    def volumes(self) -> list[list[VolumeFile]]:
        return [self._kind.files(slot) for slot in self._kind.slots()]


class Discs(Stage):
    """``chg-multi`` of burners, each with a disc; a program of the first one fails."""

    few = 2  # a mount that fails is tried again, some seconds later

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._burners = []
        text = ""
        for slot in range(1, SLOTS + 1):
            home = f"{VTAPES}/burner{slot}"
            world.mkdir(home)
            burner = Burner(world.path(home), home)
            burner.insert_empty()
            (burner.root / "disc" / "data").mkdir()
            lines = "".join(
                f'  device-property "{name}" "{value}"\n'
                for name, value in burner.properties.items()
            )
            text += f'define device v{slot} {{\n  tapedev "{burner.name}"\n{lines}}}\n'
            self._burners.append(burner)
        self._own()
        changer = (
            f'{text}define changer volumes {{\n  tpchanger "chg-multi:v{{1..{SLOTS}}}"\n'
            f'  changerfile "{VTAPES}/multi"\n}}\ntpchanger "volumes"'
        )
        world.configure(Options(slots=0, usage_kib=None, leom=None, changer=changer))

    def _own(self) -> None:
        self.world.inside("chown", "-R", "backup:backup", VTAPES)

    def faults(self) -> list[tuple[int, bool]]:
        """The call that fails, and whether all after it do so."""
        calls = range(1, len(self._burners[0].calls()) + 1)
        return [(call, for_ever) for for_ever in (False, True) for call in calls]

    def strike(self, fault: tuple[int, bool]) -> None:
        call, for_ever = fault
        burner = self._burners[0]
        burner.faults(
            f'[ "$(wc -l <{burner.seen}/calls)" -{"ge" if for_ever else "eq"} {call} ] && '
            f"{{ echo planted >&2; exit 5; }}"
        )
        self._own()

    def volumes(self) -> list[list[VolumeFile]]:
        """What is on the discs; or in a cache, if the trace log says that it is there."""
        found = []
        for burner in self._burners:
            files = read_volume(burner.root / "disc" / "data")
            if not files:
                files = read_volume(burner.root / "cache" / "data")
                told = f" is in {burner.seen}/cache/data/ and on no disc"
                assert not files or [line for line in self.world.log("ERROR") if told in line]
            found.append(files)
        return found


STAGES: dict[str, Any] = {
    "dvdrw": Discs,
    "tape": lambda world: Drives(world, 1),
    "rait": lambda world: Drives(world, 3),
    "robot": RobotStage,
}


def tell(world: World) -> dict[str, tuple[str, list[tuple[str, int, int]]]]:
    """The story: three dumps, as many volumes as they want, and QUIT.

    :return: by handle how the dump ended, and its parts: label, file, bytes
    """
    talk = world.start()
    talk.send(f"START-TAPER taper0 {WORKER} PROTO {STAMP}")
    line = talk.expect("<w> <*>")
    ends: dict[str, tuple[str, list[tuple[str, int, int]]]] = {}
    if line.startswith("TAPE-ERROR"):  # a driver tries again
        talk.send(f"START-TAPER taper0 {WORKER} PROTO {STAMP}")
        talk.expect(f"TAPER-OK {WORKER} <*>")
    for handle, dump, data in DUMPS:
        talk.file_write(world.holding(data, dump), split_by(3 * BLOCK), handle=handle, dump=dump)
        parts: list[tuple[str, int, int]] = []
        while True:
            words = split_line(talk.expect("<w> <*>"))
            if words[0] == "REQUEST-NEW-TAPE":
                talk.send(f"START-SCAN {WORKER} {handle}", f"NEW-TAPE {WORKER} {handle}")
            elif words[0] == "PARTDONE":
                parts.append((words[3], int(words[4]), int(words[6].split()[3])))
            elif words[0] in ("DONE", "PARTIAL", "FAILED"):
                ends[handle] = words[0], parts
                break
            else:
                assert words[0] in ("NEW-TAPE", "NO-NEW-TAPE", "READY"), words
    talk.quit()
    return ends


def judge(stage: Stage, ends: dict[str, tuple[str, list[tuple[str, int, int]]]]) -> None:
    """What was told is on the volumes; one dump at most has met the fault; no label is twice."""
    volumes = stage.volumes()
    labels = [found[0] for files in volumes if (found := volume_label(files))]
    assert len(labels) == len(set(labels)), labels
    by_label = {found[0]: files for files in volumes if (found := volume_label(files))}
    for handle, _, data in DUMPS:
        word, parts = ends[handle]
        stored = b""
        for number, (label, fileno, size) in enumerate(parts, 1):
            (file,) = (file for file in by_label[label] if file.number == fileno)
            assert f" part {number}/-1 " in file.header.split("\n")[0]
            stored += file.data[:size]
        assert data.startswith(stored)
        if word == "DONE":
            assert stored == data
    assert [word for word, _ in ends.values()].count("DONE") >= len(ends) - 1


@contextmanager
def staged(taper: Program, name: str) -> Iterator[Stage]:
    """A stage in a world of its own, which tells what happened there if something is wrong."""
    world = World(Program(public_copy(), taper.name, taper.stock))
    try:
        yield STAGES[name](world)
    except Exception as error:
        error.add_note(history(world))
        raise
    finally:
        world.close()


@pytest.mark.own_only
@pytest.mark.parametrize("name", STAGES)
def test_a_fault_at_each_operation(taper: Program, name: str, pytestconfig: pytest.Config) -> None:
    with staged(taper, name) as stage:
        ends = tell(stage.world)
        judge(stage, ends)
        assert [word for word, _ in ends.values()] == ["DONE"] * len(DUMPS)
        faults = stage.faults()
    if pytestconfig.getoption("--faults", default="few") != "all":
        faults = faults[:: -(-len(faults) // stage.few)]
    wrong = []
    for fault in faults:
        try:
            with staged(taper, name) as stage:
                stage.strike(fault)
                judge(stage, tell(stage.world))
        except Exception as error:
            wrong.append(f"{fault}: {error}\n{''.join(error.__notes__)}")
    assert not wrong, f"{len(wrong)} of {len(faults)}\n" + "\n\n".join(wrong)


@contextmanager
def written(taper: Program, width: int) -> Iterator[Drives]:
    """Drives with the story's dumps on them, and slots to copy them to; no call was counted yet."""
    with staged(taper, "tape" if width == 1 else "rait") as stage:
        assert isinstance(stage, Drives)
        tell(stage.world)
        for slot in (1, 2):
            stage.world.mkdir(f"{VTAPES}/copy/slot{slot}")
        stage.strike(None)
        yield stage


def copy(stage: Stage) -> str:
    """Copy the first dump, and end. :return: how that went; what was told is there"""
    world = stage.world
    talk = world.start(arguments=["--storage", "COPY", "--log-filename", "/var/log/amanda/log.x"])
    talk.start_taper()
    who = "PROTO PROTO PROTO01 localhost /home 0 20260101000000"
    talk.send(f"VAULT-WRITE {WORKER} {HANDLE} {who} {split_by(3 * BLOCK)} 64")
    words = split_line(ending(talk))
    talk.quit()
    stored = b""
    for number, (label, fileno) in enumerate(talk.parts.get(HANDLE, []), 1):
        place = world.path(f"{VTAPES}/copy/slot{int(label[4:])}")
        (path,) = place.glob(f"{fileno:05}.*")
        content = path.read_bytes()
        assert f" part {number}/-1 ".encode() in content[:BLOCK]
        stored += content[BLOCK:]
    assert DATA.startswith(stored)
    if words[0] == "DONE":
        assert stored == DATA
    else:
        assert words[3] == "INPUT-ERROR", words
    return words[0]


@pytest.mark.own_only
@pytest.mark.parametrize("width", [1, 3])
def test_a_fault_at_each_operation_of_reading(
    taper: Program, width: int, pytestconfig: pytest.Config
) -> None:
    """What is copied is right, as far as it goes; of three children one may do what it likes."""
    with written(taper, width) as stage:
        assert copy(stage) == "DONE"
        faults = [fault for fault in stage.faults() if fault.code != "SHORT"]
    if pytestconfig.getoption("--faults", default="few") != "all":
        faults = faults[:: -(-len(faults) // stage.few)]
    wrong = []
    for fault in faults:
        try:
            with written(taper, width) as stage:
                stage.strike(fault)
                word = copy(stage)
                assert width == 1 or word == "DONE", word
        except Exception as error:
            wrong.append(f"{fault}: {error}\n{''.join(error.__notes__)}")
    assert not wrong, f"{len(wrong)} of {len(faults)}\n" + "\n\n".join(wrong)


@pytest.mark.own_only
@pytest.mark.parametrize("wanted", ["yes", "no"])
def test_a_rait_that_loses_a_child_in_mid_part(taper: Program, wanted: str) -> None:
    """With DEGRADED-WRITE the part, and all that follow, are on the other two, and the trace log
    says so once; else the part has failed, and is written again on the next volume."""
    world = World(Program(public_copy(), taper.name, False))
    try:
        stage = Drives(world, 3, f'device-property "DEGRADED-WRITE" "{wanted}"')
        # of the second child: label, header, one block; then half a block
        stage.strike(Fault(call="write", code="SHORT", after=3))
        ends = tell(world)
        labels = [label for _, parts in ends.values() for label, _, _ in parts]
        told = world.log("INFO taper volume PROTO01 is degraded from file 1 on: it was written w")
        if wanted == "no":
            judge(stage, ends)
            assert set(labels) == {"PROTO02"}
            assert not told
            return
        assert set(labels) == {"PROTO01"}
        assert [word for word, _ in ends.values()] == ["DONE"] * len(DUMPS)
        assert len(told) == 1
        assert "without d11: Error writing block: short write: " in told[0]
        first, lost, parity = stage.children()[0]
        assert len(lost) == 2
        rebuilt = [
            VolumeFile(
                one.number,
                one.name,
                one.header,
                bytes(xor([memoryview(one.data), memoryview(other.data)])),
            )
            for one, other in zip(first, parity, strict=True)
        ]
        files = joined([first, rebuilt, parity], BLOCK)
        for _, _, data in DUMPS:
            assert data in b"".join(file.data for file in files)
    finally:
        world.close()
