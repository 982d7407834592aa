"""Nights onto volumes in a bucket: written by ours and fetched by Amanda, and the reverse."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from devices.interfaces import AccessMode, IDevice
from devices.registry import open_blocking_device
from protocols.header import HeaderType
from tests.fakes.preloaded import why_no_library
from tests.fakes.stock_uploads import made_library
from tests.fakes.weed import Weed
from tests.system.amanda import ETC, Amanda, Options
from tests.system.conftest import MakeAmanda

pytestmark = pytest.mark.system

CLOUD = """
define changer cloud {{
  tpchanger "{changer}"
  {state}
  {properties}
}}
define storage s3store {{
  tpchanger "cloud"
  tapetype "T"
  labelstr "^SYS-[0-9][0-9]$"
  autolabel "SYS-%%" any
}}
storage "s3store"
"""
SLOTS = "slot-{01,02,03,04}-"
LIMIT = {"ENFORCE_MAX_VOLUME_USAGE": "yes"}
ONE_OBJECT = {"S3_MULTI_PART_UPLOAD": "yes"}
# the early warning comes as many blocks before the end as there are threads, and four
LAYOUTS = {
    "blocks": ("128 kbytes", {**LIMIT, "NB_THREADS_BACKUP": "3"}),
    "one object": ("128 kbytes", {**LIMIT, **ONE_OBJECT}),
    # stock's blocks are the parts of an upload, none of which but the last may be smaller
    "large blocks in one object": ("5 mbytes", {**ONE_OBJECT, "NB_THREADS_BACKUP": "1"}),
    "locked": ("128 kbytes", {**LIMIT, **ONE_OBJECT}),
    "one volume": ("128 kbytes", {}),
}


class Cloud:
    """An installation whose volumes are in a new bucket, 4 MB each."""

    def __init__(self, make_amanda: MakeAmanda, weed: Weed, layout: str, *, ours: bool) -> None:
        self.weed = weed
        self.bucket = weed.make_bucket(lock=layout == "locked")
        self._layout = layout
        self._single = layout == "one volume"
        self.amanda: Amanda = make_amanda(self.options(4), ours=ours)

    def options(self, tapecycle: int) -> Options:
        block, more = LAYOUTS[self._layout]
        properties = {**self.weed.properties(self.weed.taper), **more}
        lines = [f'device-property "{name}" "{value}"' for name, value in properties.items()]
        if self._layout == "locked":
            lines.append('property "S3_RETENTION_MODE" "compliance"')
        return Options(
            slots=0,
            runtapes=3,
            tapecycle=tapecycle,
            length_mb=4,
            tapetype=f"blocksize {block}\n  part-size 1 mbytes",
            extra=CLOUD.format(
                changer=f"chg-single:s3:{self.bucket}/only-"
                if self._single
                else f"chg-multi:s3:{self.bucket}/{SLOTS}",
                state="" if self._single else f'changerfile "{ETC}/s3-state"',
                properties="\n  ".join(lines),
            ),
        )

    def device(self, slot: str) -> IDevice:
        device = open_blocking_device(f"s3:{self.bucket}/{slot}")
        for name, value in self.weed.properties(self.weed.taper).items():
            device.properties.set(name, value)
        return device

    def check_night(self, labels: int) -> None:
        """One dump, on so many new volumes; ours leaves nothing unfinished there."""
        self.amanda.report()
        assert len(self.amanda.trace_log("DONE taper")) == 1
        parts = self.amanda.trace_log("PART taper")
        used = list(dict.fromkeys(line.split()[4] for line in parts))
        assert len(used) == labels
        assert self.amanda.tapelist()[:labels] == used[::-1]
        if self.amanda.ours:
            found = self.weed.client().list_multipart_uploads(Bucket=self.bucket)
            slots = {f"slot-{label[-2:]}" for label in used}
            assert not [each for each in found.get("Uploads", []) if each["Key"][:7] in slots]

    def read_by_ours(self) -> bytes:
        """The dump of the last night, from the volumes that its log names."""
        data = b""
        buffer = memoryview(bytearray(4 << 20))
        parts = [line.split()[4:6] for line in self.amanda.trace_log("PART taper")]
        for label in dict.fromkeys(label for label, _ in parts):
            device = self.device(f"slot-{label[-2:]}-")
            device.properties.set("block-size", 4 << 20)
            assert device.read_label().label == label
            device.start(AccessMode.READ)
            for number in [int(number) for volume, number in parts if volume == label]:
                header = device.seek_file(number)
                assert header is not None
                assert header.type is HeaderType.SPLIT_DUMPFILE
                while got := device.read_blocks(buffer):
                    data += buffer[:got]
            device.finish()
        return data

    def locked(self) -> list[bool]:
        """Of each object, whether it is."""
        client = self.weed.client()
        return [
            "ObjectLockMode" in client.head_object(Bucket=self.bucket, Key=key)
            for key in self.weed.keys_in(self.bucket)
        ]

    def check_by_ours(self) -> None:
        """What ours reads is every file of the night."""
        place = self.amanda.mkdir("/tmp/amanda/by-ours")
        command = ["tar", "-xpf", "-", "-C", str(self.amanda.path(place))]
        subprocess.run(command, input=self.read_by_ours(), check=True)
        self.amanda.check_restored("home", place)


@pytest.fixture(scope="module")
def library() -> Iterator[Path]:
    reason = why_no_library()
    if reason is not None:
        pytest.skip(reason)
    with made_library() as library:
        yield library


@pytest.mark.parametrize("layout", ["blocks", "one object", "locked"])
def test_ours_writes_and_amanda_fetches(make_amanda: MakeAmanda, weed: Weed, layout: str) -> None:
    """Over three volumes, by chg-multi and amfetchdump; and the note of each label is kept."""
    cloud = Cloud(make_amanda, weed, layout, ours=True)
    amanda = cloud.amanda
    amanda.fill("home", 7)
    amanda.ask("amdump")
    cloud.check_night(3)
    for number in (1, 2, 3):
        note = amanda.read(f"{ETC}/bucket-{cloud.bucket}/slot-0{number}-")
        assert note.startswith(f"LABEL: SYS-0{number}\nHEADER: ")
    amanda.check_restored("home", amanda.fetch("home"))
    cloud.check_by_ours()
    assert all(cloud.locked()) if layout == "locked" else not any(cloud.locked())
    shown = amanda.ask("amtape", "show")
    assert [f"SYS-0{number}" in shown for number in (1, 2, 3)] == [True] * 3
    amanda.check_ours()


@pytest.mark.parametrize(
    ("layout", "first", "second"), [("blocks", 2, 3), ("large blocks in one object", 1, 1)]
)
def test_amanda_writes_and_ours_reads_and_goes_on(
    make_amanda: MakeAmanda, weed: Weed, library: Path, layout: str, first: int, second: int
) -> None:
    """Then ours writes over the oldest volumes, and both read the next night."""
    cloud = Cloud(make_amanda, weed, layout, ours=False)
    amanda = cloud.amanda
    amanda.environment["LD_PRELOAD"] = str(library)
    amanda.fill("home", 5)
    amanda.ask("amlabel", "SYS-01", "slot", "1")
    amanda.ask("amdump")
    cloud.check_night(first)
    cloud.check_by_ours()
    del amanda.environment["LD_PRELOAD"]
    amanda.use(ours=True)
    amanda.configure(cloud.options(tapecycle=2))
    amanda.fill("home", 2, seed=1)
    amanda.ask("amdump")
    cloud.check_night(second)
    amanda.check_restored("home", amanda.fetch("home", amanda.stamp()))
    amanda.check_ours()


def test_one_volume_without_a_changer(make_amanda: MakeAmanda, weed: Weed) -> None:
    """The device alone, as chg-single; two nights, the second over the first."""
    cloud = Cloud(make_amanda, weed, "one volume", ours=True)
    amanda = cloud.amanda
    amanda.configure(cloud.options(tapecycle=1))
    for night in (1, 2):
        amanda.fill("home", 1, seed=night)
        amanda.ask("amdump")
        cloud.check_night(1)
        amanda.check_restored("home", amanda.fetch("home"))
    assert cloud.device("only-").read_label().label == amanda.tapelist()[0]
    amanda.check_ours(at_least=2)
