"""A directory of slots, and its changer, for the tests of ``chg-disk``."""

from __future__ import annotations

import pytest

from devices.errors import ChangerError
from devices.interfaces import AccessMode, LoadRequest, Relative
from protocols.conf.sections import ChangerSection, Storage
from protocols.perldata import format_perl_data, parse_perl_data
from tests.fakes.changers import open_blocking
from tests.fakes.config import make_config

CURRENT = LoadRequest(relative=Relative.CURRENT)
NEXT = LoadRequest(relative=Relative.NEXT)


def make_root(tmp_path):
    """A root with slots 1, 2, 3 and 10."""
    root = tmp_path / "vtapes"
    root.mkdir()
    for slot in (1, 2, 3, 10):
        (root / f"slot{slot}").mkdir()
    return root


def disk(root, runtapes=1, stop=None, opened=open_blocking, **properties):
    """A chg-disk called ``mydisk`` used by storage ``S`` of ``DailySet``."""
    section = ChangerSection(
        "mydisk",
        tpchanger=f"chg-disk:{root}",
        property={name.replace("_", "-"): (value,) for name, value in properties.items()},
    )
    storage = Storage("S", tpchanger="mydisk", runtapes=runtapes)
    return opened(None, make_config(section), storage, stop=stop)


def state_of(root):
    return parse_perl_data((root / "state").read_bytes())


def put_state(root, state):
    (root / "state").write_bytes(format_perl_data(state))


def label(changer, slot, name):
    reservation = changer.load(LoadRequest(slot=slot))
    reservation.device.start(AccessMode.WRITE, name, "20260102030405")
    reservation.release()


def failure(changer, request):
    with pytest.raises(ChangerError) as caught:
        changer.load(request)
    error = caught.value
    return error.message, error.reason, error.slot
