"""A night with the stock driver that dumps to NDMP tapes and vaults them, from mover to mover."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fakes.ndmjob import NdmJob, missing_ndmjob
from tests.system.amanda import ETC, Options
from tests.system.conftest import MakeAmanda
from tests.system.test_vault import DISKS
from tests.system.test_vault import STORAGES as NEAR_AND_FAR

_REASON = missing_ndmjob()
pytestmark = [pytest.mark.system, pytest.mark.skipif(_REASON is not None, reason=_REASON or "")]

CHANGERS = """
define changer near-library {{
  tpchanger "chg-ndmp:{where}"
  property "tape-device" "0=ndmp:{where}/drive0"
  property append "tape-device" "1=ndmp:{where}/drive1"
  changerfile "{etc}/library"
}}
define changer far-drive {{
  tpchanger "chg-single:{drive}"
}}
"""
STORAGES = (
    NEAR_AND_FAR.replace("chg-disk:/var/lib/amanda/vtapes", "near-library").replace(
        "chg-disk:PLACE", "far-drive"
    )
    + 'vault-storage "far"\n'
)


@pytest.fixture
def near() -> Iterator[NdmJob]:
    with NdmJob(tape_limit=6 << 20) as job:
        yield job


@pytest.fixture
def far() -> Iterator[NdmJob]:
    with NdmJob() as job:
        job.blank("tape")
        yield job


def test_a_night_with_vaulting(make_amanda: MakeAmanda, near: NdmJob, far: NdmJob) -> None:
    """A library and a drive of another server; near volumes are spanned; all comes back."""
    where = f"127.0.0.1:{near.port}@{near.directory}"
    changers = CHANGERS.format(where=where, etc=ETC, drive=far.url("tape"))
    amanda = make_amanda(
        Options(disks=DISKS, storages=changers + STORAGES, tapetype="part-size 1 mbytes")
    )
    for disk, _ in DISKS:
        amanda.fill(disk, 4)
    amanda.ask("amdump")
    assert sorted(amanda.tapelist()) == ["FAR-001", "NEAR-001", "NEAR-002"]
    vaulted = [line for line in amanda.trace_log("DONE taper") if '"ST:far"' in line]
    assert len(vaulted) == len(DISKS)
    log = amanda.driver_log()
    assert log.count('INPUT-GOOD TAPE-GOOD "00000000:0"') == len(DISKS)  # from mover to mover
    for disk, _ in DISKS:
        amanda.check_restored(disk, amanda.fetch(disk, "-ostorage=far"))
    amanda.check_ours(at_least=2)
