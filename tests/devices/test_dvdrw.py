"""A DVD burner, simulated: the contract, the cache, the programs and their faults."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import pytest
from zope.interface.verify import verifyObject

from devices.dvdrw import NO_COLON, NO_ERASING, NO_MOUNT_POINT, WRONG_MODE, DvdrwDevice
from devices.errors import DeviceBusy, DeviceError, DriveFailed, NotOnVolume, Status
from devices.interfaces import AccessMode, IDevice, IHurries
from devices.registry import open_blocking_device
from protocols.header import HeaderType
from tests.contract.device import (
    BLOCK,
    STAMP,
    ReadContract,
    StoringBehindContract,
    read_rest,
    some_bytes,
    write_part,
)
from tests.contract.device_end import EndContract
from tests.fakes.burner import Burner


def open_burner(burner: Burner, **more: object) -> DvdrwDevice:
    device = open_blocking_device(burner.name)
    assert isinstance(device, DvdrwDevice)
    device.tray_seconds = 0
    for name, value in {**burner.properties, **more}.items():
        device.properties.set(name, value)
    return device


@pytest.fixture
def burner(tmp_path: Path) -> Burner:
    return Burner(tmp_path)


class TestContract(ReadContract, EndContract, StoringBehindContract):
    @pytest.fixture
    def open_device(self, burner: Burner) -> Callable[..., IDevice]:
        burner.insert_empty()

        def open_it(limit: int = 0, leom: bool = True) -> IDevice:
            return open_burner(burner, block_size=BLOCK, leom=leom, max_volume_usage=limit)

        return open_it

    def test_reading_a_blank_volume(self, device: IDevice) -> None:
        """Reading does not start on a volume without a label; appending never does."""
        with pytest.raises(DeviceError) as caught:
            device.start(AccessMode.READ)
        assert caught.value.status & Status.VOLUME_UNLABELED

    def test_erase(self, open_device: Callable[..., IDevice]) -> None:
        """A disc cannot be erased; what is on it stays, and can be replaced."""
        device = open_device()
        device.start(AccessMode.WRITE, "DVD-01", STAMP)
        write_part(device, some_bytes(BLOCK))
        device.finish()
        with pytest.raises(DriveFailed, match=NO_ERASING):
            device.erase()
        assert open_device().read_label().label == "DVD-01"


def write_volume(device: IDevice, label: str = "DVD-01", parts: int = 2) -> list[bytes]:
    """A volume, not finished. :return: the data of its parts"""
    device.start(AccessMode.WRITE, label, STAMP)
    data = [some_bytes(50_000 + number) for number in range(parts)]
    for each in data:
        write_part(device, each)
    return [bytes(each) for each in data]


def check_volume(device: IDevice, label: str, data: list[bytes]) -> None:
    assert device.read_label().label == label
    device.start(AccessMode.READ)
    for number, each in enumerate(data, 1):
        assert device.seek_file(number) is not None
        assert read_rest(device).rstrip(b"\0") == each.rstrip(b"\0")
    device.finish()


def test_a_volume_is_burned_when_it_is_finished(burner: Burner) -> None:
    """With stock's words for growisofs; then the cache is empty, unless it shall be kept."""
    device = open_burner(burner)
    data = write_volume(device)
    written = burner.files("cache")
    assert list(written) == [
        "00000.DVD-01",
        "00001.client.example.com._home.0",
        "00002.client.example.com._home.0",
    ]
    assert burner.calls() == []
    device.finish()
    words = "-use-the-force-luke -Z {0}/drive -J -R -pad -quiet {0}/cache"
    assert burner.calls() == [f"growisofs {words.format(burner.root)}"]
    assert burner.files() == written
    assert burner.files("cache") == {}
    assert sorted(os.listdir(burner.cache)) == ["data"]
    check_volume(open_burner(burner), "DVD-01", data)
    point = burner.mount_point
    assert burner.calls() == [f"mount {point}", f"umount {point}"] * 2
    burner.eject("first")
    burner.insert_blank()

    kept = open_burner(burner, dvdrw_keep_cache=True)
    write_volume(kept, "DVD-02")
    kept.finish()
    assert burner.files("cache") == burner.files()
    write_volume(kept, "DVD-03")  # the kept one is on a disc
    kept.finish()
    assert "00000.DVD-03" in burner.files()
    assert list(burner.files("cache")) == list(burner.files())
    burner.eject()
    burner.insert("first")
    check_volume(open_burner(burner), "DVD-01", data)


def test_discs_without_a_volume(burner: Burner) -> None:
    """A blank one cannot be mounted, and counts as unlabelled only where that is asked for; one
    without a directory for data is unlabelled."""
    reading = open_burner(burner).read_label()
    assert reading.status is Status.DEVICE_ERROR
    assert reading.error is not None
    assert reading.error.startswith(f"DVDRW device cannot execute '{burner.programs}/mount': ")
    assert "no medium found or unknown file system" in reading.error
    assert burner.calls() == [f"mount {burner.mount_point}"] * 2
    lenient = open_burner(burner, dvdrw_unlabelled_when_unmountable=True)
    reading = lenient.read_label()
    assert (reading.status, reading.header_type) == (Status.VOLUME_UNLABELED, HeaderType.EMPTY)
    write_volume(lenient)
    lenient.finish()
    burner.eject()
    burner.insert_empty()
    reading = open_burner(burner).read_label()
    assert (reading.status, reading.header_type) == (Status.VOLUME_UNLABELED, HeaderType.EMPTY)
    assert not burner.mount_point.is_symlink()


def test_what_is_refused(burner: Burner) -> None:
    """Names without a drive, reading without a mount point, appending, no cache."""
    for name in ("dvdrw:/x", "dvdrw:", "dvdrw::/dev/x", "dvdrw:/x:"):
        with pytest.raises(DriveFailed) as refused:
            open_blocking_device(name)
        assert refused.value.text == f"{NO_COLON}: '{name}'"
    device = open_blocking_device(burner.name)
    assert device.read_label().error == NO_MOUNT_POINT
    with pytest.raises(DriveFailed, match=NO_MOUNT_POINT):
        device.start(AccessMode.READ)
    with pytest.raises(DriveFailed, match=WRONG_MODE):
        open_burner(burner).start(AccessMode.APPEND)
    assert not open_burner(burner).properties["appendable"].value
    (burner.cache / "data").rmdir()
    with pytest.raises(DriveFailed, match=f"Error checking directory {burner.cache}/data/: No"):
        open_burner(burner).start(AccessMode.WRITE, "DVD-01", STAMP)
    assert burner.calls() == []


FAULTS = [
    ("it fails", "echo ':-( write failed: Input/output error' >&2; exit 5", "Input/output error"),
    ("it is killed", "kill -9 $$", "killed by signal 9"),
    ("it says much", "yes | head -c 200000 >&2; exit 1", "exit status 1"),
]


@pytest.mark.parametrize("trouble", ["protected", "too small", "no disc", "missing", *FAULTS])
def test_a_burn_that_fails_loses_nothing(burner: Burner, trouble: str | tuple[str, ...]) -> None:
    """The volume stays in the cache, is told of, and no other is written over it; burned by hand
    it is a volume like any other."""
    device = open_burner(burner)
    data = write_volume(device)
    written = burner.files("cache")
    match trouble:
        case "protected":
            burner.protect()
            text = "media is not writable"
        case "too small":
            burner.set(capacity=8)
            text = "too much for this disc"
        case "no disc":
            burner.eject()
            text = "no media mounted"
        case "missing":
            (burner.programs / "growisofs").rename(burner.programs / "away")
            text = "there is no such program"
        case _:
            burner.faults(trouble[1])
            text = trouble[2]
    with pytest.raises(NotOnVolume) as failed:
        device.finish()
    assert f"DVDRW device cannot execute '{burner.programs}/growisofs': " in failed.value.text
    assert text in failed.value.text
    assert f"volume DVD-01 is in {burner.cache}/data/ and on no disc" in failed.value.text
    assert len(failed.value.text) < 6000
    assert burner.files("cache") == written
    for again in (device, open_burner(burner)):
        again.reset()
        with pytest.raises(DriveFailed, match=r"holds the volume of 00000\.DVD-01, which was not"):
            again.start(AccessMode.WRITE, "DVD-02", STAMP)
    assert burner.files("cache") == written

    if trouble == "no disc":
        burner.insert_blank()
    if trouble == "missing":
        (burner.programs / "away").rename(burner.programs / "growisofs")
    burner.faults()
    burner.set(capacity=10**6)
    (burner.root / "protected").unlink(missing_ok=True)
    words = f"-use-the-force-luke -Z {burner.root}/drive -J -R -pad -quiet {burner.cache}"
    subprocess.run([burner.programs / "growisofs", *words.split()], check=True)
    check_volume(open_burner(burner), "DVD-01", data)
    for path in (burner.cache / "data").iterdir():
        path.unlink()
    write_volume(open_burner(burner), "DVD-02")


def test_a_label_alone_may_be_replaced(burner: Burner) -> None:
    """No dump is lost with it. A volume that another taper has put there since is not known to be
    burned, whatever was before it."""
    burner.protect()
    device = open_burner(burner)
    device.start(AccessMode.WRITE, "DVD-01", STAMP)
    with pytest.raises(NotOnVolume):
        device.finish()
    (burner.root / "protected").unlink()
    device = open_burner(burner, dvdrw_keep_cache=True)
    write_volume(device)
    device.finish()
    for path in (burner.cache / "data").iterdir():
        content = path.read_bytes()
        path.rename(path.with_name(f"old-{path.name}"))  # so that no inode is used again
        path.write_bytes(content)
    with pytest.raises(DriveFailed, match="not known to be"):
        open_burner(burner).start(AccessMode.WRITE, "DVD-02", STAMP)


def test_programs_that_hang_are_killed(burner: Burner) -> None:
    """Each has a deadline, after which it is gone with all that it has started."""
    (burner.root / "pids").touch()
    burner.faults(f"echo $$ >>{burner.root}/pids; sleep 1000 & echo $! >>{burner.root}/pids; wait")
    device = open_burner(burner)
    device.mount_seconds = device.burn_seconds = 0.5
    assert "took longer than 0.5 s and was killed" in str(device.read_label().error)
    device.reset()
    write_volume(device)
    with pytest.raises(NotOnVolume, match="took longer"):
        device.finish()
    for pid in (burner.root / "pids").read_text().split():
        wait_until(lambda pid=pid: _gone(int(pid)))  # type: ignore[misc]


def test_a_mount_that_nobody_waits_for_is_killed(burner: Burner) -> None:
    """The second try as well, which is not begun any more."""
    device = open_burner(burner)
    assert verifyObject(IHurries, device)
    burner.faults(f"echo $$ >{burner.root}/pid; exec sleep 1000")
    device.tray_seconds = 1000
    Thread(target=lambda: (wait_until((burner.root / "pid").exists), device.hurry())).start()
    assert "nobody waited for it any longer" in str(device.read_label().error)
    burner.faults()
    device.reset()
    write_volume(device)
    device.finish()
    assert device.read_label().label == "DVD-01"


def _gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state in "ZX"


def wait_until(done: Callable[[], bool]) -> None:
    """Whatever is waited for comes, on however slow a machine."""
    while not done():
        time.sleep(0.01)


PROCESS = """
import sys
from tests.devices.test_dvdrw import open_burner, write_volume
from tests.fakes.burner import Burner

burner = Burner.__new__(Burner)
burner.place({root!r})
device = open_burner(burner)
write_volume(device)
print("written", flush=True)
device.finish()
print("burned", flush=True)
"""


def test_a_taper_that_is_killed_while_a_disc_is_burned(burner: Burner) -> None:
    """A driver does not wait that long: the disc is finished all the same, the cache is locked
    until then, and afterwards the next volume may have it."""
    burner.faults(
        f"touch {burner.root}/begun; while ! [ -e {burner.root}/go ]; do sleep 0.05; done"
    )
    with subprocess.Popen(
        [sys.executable, "-c", PROCESS.format(root=str(burner.root))],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    ) as taper:
        assert taper.stdout is not None
        assert taper.stdout.readline() == b"written\n"
        wait_until((burner.root / "begun").exists)
        taper.kill()
    device = open_burner(burner)
    with pytest.raises(DeviceBusy, match="is being written or burned by another process"):
        device.start(AccessMode.WRITE, "DVD-02", STAMP)
    (burner.root / "go").touch()
    wait_until((burner.cache / "burned").exists)
    burner.faults()
    assert list(burner.files()) == list(burner.files("cache"))

    def free() -> bool:
        device.reset()
        try:
            device.start(AccessMode.WRITE, "DVD-02", STAMP)
        except DeviceBusy:
            return False
        return True

    wait_until(free)
    device.finish()
    assert list(burner.files()) == ["00000.DVD-02"]


def test_a_taper_that_is_killed_before_it_burns(burner: Burner) -> None:
    """What was reported stored is in the cache, and stays there."""
    code = PROCESS.format(root=str(burner.root)).replace("device.finish()", "input()")
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    ) as taper:
        assert taper.stdout is not None
        assert taper.stdout.readline() == b"written\n"
        taper.kill()
    with pytest.raises(DriveFailed, match="which was not burned, or is not known to be"):
        open_burner(burner).start(AccessMode.WRITE, "DVD-02", STAMP)


def test_a_disc_that_cannot_be_unmounted(burner: Burner) -> None:
    """It is still mounted then, and is read and unmounted the next time."""
    device = open_burner(burner)
    data = write_volume(device)
    device.finish()
    burner.faults('case "$0" in */umount) echo busy >&2; exit 32;; esac')
    assert device.read_label().label == "DVD-01"
    burner.faults()
    check_volume(device, "DVD-01", data)
    assert not burner.mount_point.is_symlink()


def test_names_stay_arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache, drive or mount point with blanks, quotes or a dash in front is one word, no option
    and no command."""
    burner = Burner(tmp_path / 'it\'s a $(touch x) -o; "place"')
    device = open_burner(burner)
    data = write_volume(device)
    device.finish()
    check_volume(open_burner(burner), "DVD-01", data)
    monkeypatch.chdir(tmp_path)
    device = open_blocking_device("dvdrw:-c:-drive")
    assert isinstance(device, DvdrwDevice)
    assert device._cache.path == f"{tmp_path}/-c"


def test_a_cache_that_somebody_emptied(burner: Burner) -> None:
    """There is nothing to burn, and what is on the disc stays."""
    device = open_burner(burner)
    write_volume(device)
    for path in (burner.cache / "data").iterdir():
        path.unlink()
    with pytest.raises(NotOnVolume, match="the volume is gone"):
        device.finish()
    assert burner.calls() == []
