"""The images that crashes leave, for each moment of a recording."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

from attrs import frozen

from tests.crash.disk import Blob, Change, Disk, Image, Naming, applied, sized
from tests.crash.events import Event, Heard, Told, Tree, Truncate, Write

SECTOR = 512


@frozen
class Crash:
    """One crash.

    :ivar moment: so many events had happened.
    :ivar kind: what was lost, in a word.
    :ivar told: the conversation so far.
    """

    moment: int
    kind: str
    image: Image
    told: Sequence[Told | Heard]


def crashes(
    tree: Tree, events: Sequence[Event], name: str, samples: int, lax: bool = False
) -> Iterator[Crash]:
    """Crashes after each event: five that lose all of a kind, and samples of other mixtures.

    :param name: of what is recorded; with the numbers of event and sample it is the seed
    :param samples: so many after each event that changes what a crash leaves
    """
    disk = Disk(tree, lax)
    told: tuple[Told | Heard, ...] = ()
    latest: list[tuple[str, Image]] = list(_plain(disk))
    for kind, image in latest:
        yield Crash(0, kind, image, told)
    for moment, event in enumerate(events, 1):
        if isinstance(event, Told | Heard):
            told = (*told, event)
            for kind, image in latest:
                yield Crash(moment, kind, image, told)
        if not disk.happen(event):
            continue
        latest = list(_plain(disk))
        if disk.namings or disk.unsettled():
            for number in range(samples):
                random = Random(f"{name} {moment} {number}")
                latest.append((f"sample {number}", _mixture(disk, random)))
        for kind, image in latest:
            yield Crash(moment, kind, image, told)


def _plain(disk: Disk) -> Iterator[tuple[str, Image]]:
    namings = disk.namings
    yield "nothing lost", disk.image(namings, disk.now)
    if not namings and not disk.unsettled():
        return
    yield "all lost", disk.image((), disk.durable)
    yield "data lost", disk.image(namings, disk.durable)
    yield "names lost", disk.image((), disk.now)
    yield "sizes kept", disk.image(namings, lambda inode: _sized(disk, inode))


def _sized(disk: Disk, inode: int) -> Blob:
    changes = disk.changes(inode)
    return Blob(sized(disk.durable(inode).data, changes)) if changes else disk.durable(inode)


def _mixture(disk: Disk, random: Random) -> Image:
    namings = _some_namings(disk.namings, random)
    chosen: dict[int, Blob] = {}

    def contents(inode: int) -> Blob:
        if inode not in chosen:
            changes = disk.changes(inode)
            blob = disk.durable(inode)
            if changes:
                blob = Blob(_some_contents(blob.data, changes, random))
            chosen[inode] = blob
        return chosen[inode]

    return disk.image(namings, contents)


def _some_namings(namings: Sequence[Naming], random: Random) -> set[Naming]:
    share = random.choice((0.2, 0.5, 0.8, 1.0))
    chosen = [naming for naming in namings if random.random() < share]
    return {one for naming in chosen for one in naming.with_causes()}


def _some_contents(data: bytes, changes: Sequence[Change], random: Random) -> bytes:
    """Some of the changes, the last of them perhaps torn, with or without the size of all."""
    way = random.randrange(4)
    if way == 0:  # in order, up to some moment
        found = list(changes[: random.randrange(len(changes) + 1)])
    else:
        found = [change for change in changes if random.random() < 0.6]
    if found and random.random() < 0.7:
        at = random.randrange(len(found))
        found[at] = _torn(found[at], random)
    result = applied(data, found)
    if way == 2:
        grown = len(sized(data, changes)) - len(result)
        result += bytes(max(0, grown))
    return result


def _torn(change: Change, random: Random) -> Change:
    if isinstance(change, Truncate) or len(change.data) < 2:
        return change
    if len(change.data) > SECTOR:
        cut = random.randrange(SECTOR, len(change.data), SECTOR)
    else:
        cut = random.randrange(1, len(change.data))
    if random.random() < 0.5:
        return Write(change.inode, change.offset, change.data[:cut])
    return Write(change.inode, change.offset + cut, change.data[cut:])
