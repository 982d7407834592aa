"""All scenarios, in their order."""

from __future__ import annotations

from tests.ndmp_conformance import (
    datas,
    drive_commands,
    movers,
    ndmjobs,
    records,
    robots,
    sessions,
    streams,
    tapes,
    windows,
)

SCENARIOS = (
    *sessions.SCENARIOS,
    *tapes.SCENARIOS,
    *records.SCENARIOS,
    *drive_commands.SCENARIOS,
    *robots.SCENARIOS,
    *movers.SCENARIOS,
    *windows.SCENARIOS,
    *streams.SCENARIOS,
    *datas.SCENARIOS,
    *ndmjobs.SCENARIOS,
)
