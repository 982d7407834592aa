"""All scenarios, in their order."""

from __future__ import annotations

from tests.ndmp_conformance import (
    datas,
    drive_commands,
    from_tape,
    movers,
    ndmjobs,
    records,
    robots,
    sessions,
    tapes,
    to_tape,
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
    *to_tape.SCENARIOS,
    *from_tape.SCENARIOS,
    *datas.SCENARIOS,
    *ndmjobs.SCENARIOS,
)
