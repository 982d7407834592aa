"""Volumes in a bucket, on a real store."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.conformance.harness_files import BLOCK, VolumeFile, label_header
from tests.conformance.kind import VTAPES, Kind, limits
from tests.fakes.weed import Weed, shared_weed, why_no_weed

if TYPE_CHECKING:
    from tests.conformance.harness import Options, World

LABEL = "special-tapestart"
_FILE = re.compile(r"f([0-9a-f]{8})-filestart")


class Bucket(Kind):
    """``chg-multi`` of volumes in one bucket."""

    pads = False
    sized_headers = False

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._volumes = BucketVolumes()

    def configure(self, options: Options) -> str:
        self.world.mkdir(VTAPES)
        if options.slots < self.count:
            self._volumes.remove(range(options.slots + 1, self.count + 1))
        self.count = options.slots
        slots = ",".join(str(slot) for slot in range(1, options.slots + 1))
        return (
            f'define changer volumes {{\n  tpchanger "chg-multi:{self._volumes.name}{{{slots}}}-"\n'
            f'  changerfile "{VTAPES}/state"\n  {self._volumes.properties(options)}\n}}\n'
            'tpchanger "volumes"'
        )

    def files(self, slot: int, last: int | None = None) -> list[VolumeFile]:
        return self._volumes.files(slot, last)

    def label(self, slot: int, label: str, stamp: str) -> None:
        self._volumes.label(slot, label, stamp)


class BucketVolumes:
    """A new bucket, and what is in it.

    :ivar name: of the devices, up to the slot's number
    """

    def __init__(self) -> None:
        reason = why_no_weed()
        if reason is not None:
            pytest.skip(reason)
        self._weed: Weed = shared_weed()
        self._bucket = self._weed.make_bucket()
        self.name = f"s3:{self._bucket}/slot"

    def properties(self, options: Options) -> str:
        """The lines of a device or changer section."""
        given = dict(self._weed.properties(self._weed.taper))
        given["BLOCK_SIZE"] = str(BLOCK)
        if options.usage_kib is not None:
            given["ENFORCE_MAX_VOLUME_USAGE"] = "yes"
        lines = [f'device-property "{name}" "{value}"' for name, value in given.items()]
        return "\n  ".join([*lines, limits(self._usage(options), options.leom)])

    def _usage(self, options: Options) -> int | None:
        """KiB, so that as much fits as on a ``file:`` volume with a label and two headers: these
        have their natural lengths here, and the warning comes four blocks earlier."""
        if options.usage_kib is None:
            return None
        warned = options.leom is not False
        blocks = 1 if warned else -3
        return options.usage_kib + blocks * BLOCK // 1024 + 2

    def files(self, slot: int, last: int | None) -> list[VolumeFile]:
        """What is on a volume, read with nothing of any taper's."""
        prefix = f"slot{slot}-"
        keys = self._weed.keys_in(self._bucket, prefix)
        found = []
        for key in keys:
            name = key.removeprefix(prefix)
            match = _FILE.fullmatch(name)
            if name == LABEL:
                found.append(self._file(0, key, []))
            elif match is not None and (last is None or int(match[1], 16) <= last):
                data = [each for each in keys if each.startswith(f"{prefix}f{match[1]}-")]
                blocks = sorted(each for each in data if each.endswith(".data"))
                found.append(self._file(int(match[1], 16), key, blocks))
        return sorted(found, key=lambda file: file.number)

    def _file(self, number: int, key: str, blocks: list[str]) -> VolumeFile:
        header = self._weed.content(self._bucket, key).decode("utf-8", "surrogateescape")
        data = b"".join(self._weed.content(self._bucket, block) for block in blocks)
        return VolumeFile(number, key, header, data)

    def label(self, slot: int, label: str, stamp: str) -> None:
        """Put the label of a volume there."""
        text = label_header(label, stamp).rstrip(b"\0")
        self._weed.client().put_object(Bucket=self._bucket, Key=f"slot{slot}-{LABEL}", Body=text)

    def remove(self, slots: range) -> None:
        """Remove volumes."""
        for slot in slots:
            for key in self._weed.keys_in(self._bucket, f"slot{slot}-"):
                self._weed.client().delete_object(Bucket=self._bucket, Key=key)
