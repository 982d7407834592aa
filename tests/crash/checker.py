"""Judges an image: is all there that the driver was told of?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from attrs import define, field

from protocols.tapelist import Tapelist, TapelistError, parse_tapelist
from protocols.tracelog import Done, Fail, Part, Partial, Start
from protocols.tracelog.read import parse_line
from tests.crash.disk import Blob, Disk, Image
from tests.crash.promises import PartPromise, Promises
from tests.crash.stage import Recording
from tests.crash.volumes import Volume, volumes

ENDED = {"DONE": (Done,), "PARTIAL": (Partial,), "FAILED": (Fail, Partial)}


@define
class Logged:
    """What trace logs say."""

    starts: set[tuple[str, str]] = field(factory=set)
    parts: set[tuple[str, int, str, str, int]] = field(factory=set)
    ended: set[tuple[type, str, str]] = field(factory=set)

    def read(self, data: bytes) -> None:
        """Take in a log."""
        for line in data.decode("utf-8", "surrogateescape").split("\n"):
            match parse_line(line):
                case Start() as start:
                    self.starts.add((start.label, start.datestamp))
                case Part() as part:
                    self.parts.add(
                        (part.label, part.fileno, part.disk, part.datestamp, part.partnum)
                    )
                case (Done() | Partial() | Fail()) as end:
                    self.ended.add((type(end), end.disk, end.datestamp))

    def __ior__(self, other: Logged) -> Logged:
        self.starts |= other.starts
        self.parts |= other.parts
        self.ended |= other.ended
        return self


class Checker:
    """Judges the images of one recording.

    What was read of a file once is not read again.
    """

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._logs: dict[bytes, Logged] = {}
        self._tapelists: dict[bytes, Tapelist | str] = {}
        self._whole: dict[tuple[bytes, str, int], bool] = {}
        self._kept = self._prints(self._at_start())

    def _at_start(self) -> Image:
        disk = Disk(self._recording.tree)
        return disk.image((), disk.now)

    def _prints(self, image: Image) -> dict[str, tuple[tuple[str, bytes], ...]]:
        found = {}
        for volume in volumes(image):
            for label, _ in volume.labels:
                if label in self._recording.kept:
                    found[label] = volume.print
        assert found.keys() == self._recording.kept
        return found

    def faults(self, image: Image, promises: Promises, *, later: bool = False) -> list[str]:
        """What is wrong.

        :param later: one more run was made of it
        """
        return list(self._faults(image, promises, later))

    def _faults(self, image: Image, promises: Promises, later: bool) -> Iterator[str]:
        found: dict[str, list[Volume]] = {}
        for volume in volumes(image):
            for label, _ in volume.labels:
                found.setdefault(label, []).append(volume)
        for label, places in found.items():
            if len(places) > 1:
                yield f"label {label} is in {' and in '.join(place.place for place in places)}"
        yield from self._touched(found, later)
        tapelist = self._tapelist(image)
        if isinstance(tapelist, str):
            yield tapelist
            return
        counts = Counter(entry.label for entry in tapelist.entries)
        yield from (f"the tapelist has {label} twice" for label in counts if counts[label] > 1)
        logged = self._logged(image)
        gone = self._recording.erased | (self._recording.expendable if later else set())
        for label, stamp in promises.volumes:
            if label not in gone:
                yield from _volume(label, stamp, found.get(label, []), tapelist, logged)
        for part in promises.parts:
            yield from self._part(part, found.get(part.label, []), logged)
        for word, dump in promises.ended:
            kinds = ENDED[word] if dump.whole or word != "DONE" else (Partial,)
            if self._recording.log_fails and word != "DONE":
                continue
            if not any((kind, dump.disk, dump.datestamp) in logged.ended for kind in kinds):
                yield f"{word} was told of {dump.disk}, and no log has it"
            if word == "DONE":
                stored = sum(part.size for part in promises.parts_of(dump))
                if stored != len(dump.data):
                    yield f"DONE was told of {dump.disk}, and {stored} bytes were stored"

    def _touched(self, found: dict[str, list[Volume]], later: bool) -> Iterator[str]:
        for label, as_it_was in self._kept.items():
            if later and label in self._recording.expendable:
                continue
            if [volume.print for volume in found.get(label, [])] != [as_it_was]:
                yield f"volume {label} is active, and not as it was"

    def _part(self, part: PartPromise, places: list[Volume], logged: Logged) -> Iterator[str]:
        what = f"part {part.number} of {part.dump.disk} on {part.label} file {part.fileno}"
        named = (part.label, part.fileno, part.dump.disk, part.dump.datestamp, part.number)
        if named not in logged.parts:
            yield f"{what} was told, and no log has it"
        stored = [one for place in places for one in place.files.get(part.fileno, ())]
        if len(stored) != 1:
            yield f"{what} was told, and there are {len(stored)} such files"
            return
        header = stored[0].header
        if (header.disk, header.datestamp, header.partnum) != (
            part.dump.disk,
            part.dump.datestamp,
            part.number,
        ):
            yield f"{what} was told, and what is there begins with {header}"
        key = (stored[0].blob.digest, part.dump.handle, part.offset)
        if key not in self._whole:
            self._whole[key] = stored[0].data == part.data
        if not self._whole[key]:
            yield f"{what} was told, and is not whole"

    def _tapelist(self, image: Image) -> Tapelist | str:
        node = image.nodes.get("tapelist")
        if isinstance(node, str):
            node = image.nodes.get(node)
        if not isinstance(node, Blob):
            return "there is no tapelist"
        if node.digest not in self._tapelists:
            try:
                self._tapelists[node.digest] = parse_tapelist(node.data)
            except TapelistError as error:
                self._tapelists[node.digest] = f"the tapelist cannot be read: {error}"
        return self._tapelists[node.digest]

    def _logged(self, image: Image) -> Logged:
        whole = Logged()
        for path, node in image.nodes.items():
            if isinstance(node, Blob) and path.startswith("log/log"):
                if node.digest not in self._logs:
                    self._logs[node.digest] = Logged()
                    self._logs[node.digest].read(node.data)
                whole |= self._logs[node.digest]
        return whole


def _volume(
    label: str, stamp: str, places: list[Volume], tapelist: Tapelist, logged: Logged
) -> Iterator[str]:
    """A volume that was told with NEW-TAPE."""
    if not places:
        yield f"NEW-TAPE {label} was told, and no volume bears the label"
    for place in places:
        if place.labels != ((label, stamp),):
            yield f"NEW-TAPE {label} was told, and in {place.place} is {place.labels}"
    entry = tapelist.lookup(label)
    if entry is None or entry.datestamp != stamp:
        yield f"NEW-TAPE {label} was told, and the tapelist has {entry}"
    if (label, stamp) not in logged.starts:
        yield f"NEW-TAPE {label} was told, and no log has it"
