"""For how many days a storage's policy keeps a volume."""

from __future__ import annotations

from typing import Any

import pytest

from protocols.conf.keeping import LONGEST, days_kept
from protocols.conf.sections import Policy, Storage
from tests.fakes.config import make_config

POLICIES: list[tuple[dict[str, Any], dict[str, Any], int]] = [
    # nine other volumes are written first, one a day
    ({"tapecycle": 10, "dumpcycle": 7, "runspercycle": 7}, {"retention_tapes": 9}, 9),
    # two of each run
    ({"dumpcycle": 7, "runspercycle": 7, "runtapes": 2}, {"retention_tapes": 9}, 4),
    # five runs a week
    ({"dumpcycle": 7, "runspercycle": 5}, {"retention_tapes": 20}, 28),
    ({"dumpcycle": 7}, {"retention_tapes": 20}, 20),
    # nobody knows how often it runs
    ({"dumpcycle": 0}, {"retention_tapes": 20}, 1),
    ({"dumpcycle": 0}, {"retention_tapes": 20, "retention_days": 33}, 33),
    ({"dumpcycle": 7}, {"retention_days": 3, "retention_full": 90}, 90),
    ({"dumpcycle": 7}, {"retention_recover": 30}, 37),
    ({"dumpcycle": 7}, {}, 1),
    ({"dumpcycle": 7}, {"retention_days": 10**6}, LONGEST),
]


@pytest.mark.parametrize(("general", "policy", "days"), POLICIES)
def test_days(general: dict[str, Any], policy: dict[str, Any], days: int) -> None:
    """The longest of its rules."""
    runtapes = general.get("runtapes", 1)
    storage = Storage("near", policy="keep", runtapes=runtapes)
    config = make_config(Policy("keep", **policy), storage, **general)
    assert days_kept(config, storage) == days


def test_without_a_storage() -> None:
    """The global parameters count."""
    general = {"tapecycle": 11, "runtapes": 2, "dumpcycle": 5, "runspercycle": 5}
    assert days_kept(make_config(**general), None) == 5
