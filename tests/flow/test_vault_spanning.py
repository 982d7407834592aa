"""A dump on tapes goes to devices that share no connection, past this host where it can."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from protocols.crc import UNKNOWN
from taper.core.interfaces import IFlow
from taper.flow.flows import Flows
from tests.contract.flow import BLOCK, DATA
from tests.fakes.ndmp_server import CONFORMING, PROFILES, Limits
from tests.fakes.relay import WAYS
from tests.fakes.turning import Turning, turning_reactor
from tests.flow.flowing import make_context
from tests.flow.test_spanning import Volumes, crc_of, dump
from tests.flow.vaulting import Vault


@pytest.fixture
def turning() -> Iterator[Turning]:
    with turning_reactor() as turning:
        yield turning


def vaulted(turning: Turning, source: Vault, volumes: Volumes) -> IFlow:
    """Vault it. :return: the last flow"""
    context = source.context(make_context(turning.reactor))
    flow = turning.run(dump(Flows(context), source.origin(context), source, volumes))
    source.close()
    volumes.close()
    assert volumes.stored[: len(DATA)] == DATA
    assert len(volumes.stored) - len(DATA) < BLOCK
    assert flow.take_errors() == []
    return flow


class Known(Vault):
    """The catalogue knows its checksum, and so its size."""

    crc = crc_of(DATA)


@pytest.mark.parametrize(
    ("made", "kinds"),
    [
        (Vault, "nmnmnmnmnm"),
        (Vault, "nfmfnfmfnf"),
        (Vault, "fmfmfmfmfm"),
        (Known, "nnffmmffnn"),
    ],
)
def test_from_device_to_device(
    turning: Turning, tmp_path: Path, made: type[Vault], kinds: str
) -> None:
    """Every byte is stored once, in order; and what nobody has counted has no checksum."""
    source = made(turning, tmp_path, whole=True)
    volumes = Volumes(turning, kinds, CONFORMING, indirect=False, path=tmp_path)
    flow = vaulted(turning, source, volumes)
    assert flow.source_crc() == flow.dest_crc() == UNKNOWN
    assert source.said("MOVER_CONNECT") >= kinds.replace("nn", "n").replace("mm", "m").count("n")
    if "f" not in kinds:
        assert not source.said("MOVER_LISTEN")
        assert source.clerk.fetched == ["OLD0", "OLD1", "OLD2", "OLD3"]


def test_a_volume_that_is_full_before_the_source_is_there(turning: Turning, tmp_path: Path) -> None:
    """It takes no header while the source's volume is still being fetched, and the next one is of
    another kind: the fetching is waited for, and not cut short."""
    source = Vault(turning, tmp_path, whole=True)
    source.clerk.seconds = 0.3
    volumes = Volumes(turning, "nmfmn", CONFORMING, indirect=True, path=tmp_path)
    for medium in volumes.worlds["m"].media.values():
        medium.limits = Limits(end_records=1)
    vaulted(turning, source, volumes)
    assert not source.clerk.interrupted


class Scattered(Vault):
    """Its volumes are on two servers, by turns."""

    servers = 2


@pytest.mark.parametrize("kinds", ["n", "nmnmnmnmnm"])
def test_source_volumes_that_share_no_connection(
    turning: Turning, tmp_path: Path, kinds: str
) -> None:
    """Over such a change the dump passes through this host."""
    source = Scattered(turning, tmp_path, whole=True)
    volumes = Volumes(turning, kinds, CONFORMING, indirect=False, path=tmp_path)
    vaulted(turning, source, volumes)
    assert source.said("MOVER_CONNECT")
    assert source.said("MOVER_LISTEN")


@pytest.mark.parametrize(
    ("name", "how"),
    [
        *(("conforming", how) for how in WAYS),
        ("lenient", "sender only"),
        ("strict", "end"),
        ("product", "receiver only"),
    ],
)
def test_broken_connections(
    turning: Turning, tmp_path: Path, name: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever sees it: what is certain stays, and the rest goes to the same volume, past us."""
    monkeypatch.setattr("taper.flow.mover_to_mover.VERDICT_PATIENCE", 0.2)
    source = Vault(turning, tmp_path, whole=True)
    volumes = Volumes(turning, "n", PROFILES[name], indirect=name == "product")
    # a mover may not even have taken a connection whose first bytes are its last
    first = 250_001 if how == "receiver only" else 1
    volumes.cut([(first, how), (200_001, how), (200_000, how)], threading.Event())
    vaulted(turning, source, volumes)
    assert len(volumes.relays[-1].passed) == 4
    assert not source.said("MOVER_LISTEN")


WHOLE = -(-len(DATA) // BLOCK) * BLOCK


@pytest.mark.parametrize("left", [1, BLOCK - 1])
def test_padding_hides_no_loss(turning: Turning, tmp_path: Path, left: int) -> None:
    """What looks like a good end comes within the last record, and what is missing was on its way:
    the mover fills that up, and counts as much as was sent."""
    source = Vault(turning, tmp_path, whole=True)
    volumes = Volumes(turning, "n", CONFORMING, indirect=False)
    volumes.cut([(WHOLE - left, "end")], threading.Event())
    vaulted(turning, source, volumes)
    assert len(volumes.relays[-1].passed) == 2


@pytest.mark.parametrize("size", [WHOLE - 3 * BLOCK, WHOLE])
def test_a_connection_that_dies_behind_all_that_was_sent(
    turning: Turning, tmp_path: Path, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The source's mover writes nothing more that could fail, and the other one hears nothing, not
    even the end."""
    monkeypatch.setattr("taper.flow.other_count.MOST_ALIKE", 6)
    source = Vault(turning, tmp_path, whole=True)
    volumes = Volumes(turning, "n", CONFORMING, indirect=False)
    volumes.cut([(size, "sender only")], threading.Event())
    vaulted(turning, source, volumes)
    assert len(volumes.relays[-1].passed) == 2


def test_a_part_that_fails_comes_again(turning: Turning, tmp_path: Path) -> None:
    """On the next volume: the mover halted where a tape ends without a warning."""
    source = Vault(turning, tmp_path, whole=True)
    volumes = Volumes(turning, "nmnmnmnmnmnmnmn", CONFORMING, indirect=False)
    for name in ("n", "m"):
        for medium in volumes.worlds[name].media.values():
            medium.limits = Limits(end_records=8)
    vaulted(turning, source, volumes)
    assert volumes.failed > 10
    assert not source.said("MOVER_LISTEN")
