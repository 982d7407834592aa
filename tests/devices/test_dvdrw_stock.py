"""Discs burned by ours and read by Amanda's own device, and the reverse, with the same programs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from devices.errors import DriveFailed
from devices.interfaces import AccessMode
from tests.contract.device import STAMP, read_rest, write_part
from tests.devices.test_dvdrw import open_burner
from tests.devices.test_file_stock import HEADERS, payloads, stock, why_no_perl, write_stock
from tests.fakes.burner import Burner


@pytest.fixture(scope="module", autouse=True)
def _needs_stock() -> None:
    reason = why_no_perl()
    if reason:
        pytest.skip(reason)


@pytest.fixture
def burner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Burner:
    """Its programs are found in PATH, by both."""
    burner = Burner(tmp_path / "burner")
    monkeypatch.setenv("PATH", f"{burner.programs}:{os.environ['PATH']}")
    return burner


def node(burner: Burner) -> Path:
    return Path(f"{burner.cache}:{burner.root}/drive")


MOUNT = "dvdrw_mount_point"


def ours(burner: Burner, **more: object) -> tuple[dict[str, bytes], list[str]]:
    """A volume of ours. :return: what is on the disc, and the calls"""
    device = open_burner(burner, **more)
    for name in ("growisofs", "mount", "umount"):
        device.properties.set(f"dvdrw_{name}_command", name)
    device.start(AccessMode.WRITE, "TAPE-01", STAMP)
    for header, path in zip(HEADERS, paths_of(burner), strict=True):
        write_part(device, memoryview(path.read_bytes()), header)
    device.finish()
    return burner.files(), burner.calls()


def paths_of(burner: Burner) -> list[Path]:
    place = burner.root / "payloads"
    return sorted(place.iterdir()) if place.exists() else payloads(place)


def test_the_same_disc(burner: Burner) -> None:
    """The same files, byte by byte, by the same command, and the cache as empty after it."""
    paths = paths_of(burner)
    mine = ours(burner)
    assert burner.files("cache") == {}
    burner.eject()
    burner.insert_blank()
    write_stock(node(burner), paths, scheme="dvdrw", properties={MOUNT: str(burner.mount_point)})
    assert (burner.files(), burner.calls()) == mine
    assert burner.files("cache") == {}


def test_stock_reads_ours(burner: Burner, tmp_path: Path) -> None:
    ours(burner)
    out = tmp_path / "out"
    out.mkdir()
    told = stock(
        *("read", node(burner)),
        scheme="dvdrw",
        properties={MOUNT: str(burner.mount_point)},
        out=str(out),
    )
    assert (told["label"], told["stamp"]) == ("TAPE-01", STAMP)
    for number, path in enumerate(paths_of(burner), 1):
        assert (out / str(number)).read_bytes() == path.read_bytes()
    # so far it is as with ours: mounted for the label, and once more for all the rest
    point = burner.mount_point
    assert burner.calls() == [f"mount {point}", f"umount {point}"] * 2


def test_ours_reads_stocks(burner: Burner) -> None:
    """And does not write over what stock has kept in the cache: nobody knows whether it is on a
    disc."""
    paths = paths_of(burner)
    kept = {MOUNT: str(burner.mount_point), "dvdrw_keep_cache": "1"}
    write_stock(node(burner), paths, scheme="dvdrw", properties=kept)
    device = open_burner(burner)
    assert device.read_label().label == "TAPE-01"
    device.start(AccessMode.READ)
    for number, path in enumerate(paths, 1):
        assert device.seek_file(number) is not None
        assert read_rest(device) == path.read_bytes()
    device.finish()
    with pytest.raises(DriveFailed, match="is not known to be"):
        device.start(AccessMode.WRITE, "TAPE-02", STAMP)


def test_stock_goes_on_from_a_cache_of_ours(burner: Burner) -> None:
    """Our mark is not on a disc of stock's that hinders anybody; and is not taken for its own."""
    ours(burner, dvdrw_keep_cache=True)
    assert (burner.cache / "burned").exists()
    kept = {MOUNT: str(burner.mount_point), "dvdrw_keep_cache": "1"}
    write_stock(node(burner), paths_of(burner), scheme="dvdrw", properties=kept)
    device = open_burner(burner)
    assert device.read_label().label == "TAPE-01"
    with pytest.raises(DriveFailed, match="is not known to be"):
        device.start(AccessMode.WRITE, "TAPE-02", STAMP)
