"""Posts that wait to be asked for."""

from __future__ import annotations

import pytest

from protocols.ndmp import messages as m
from protocols.ndmp.errors import (
    NdmpGarbage,
)
from protocols.ndmp.postbox import LIMIT, LOG_LIMIT, PostBox


def test_the_post_box_keeps_order_and_kinds() -> None:
    """The first of the kinds asked for, or all of them as they came."""
    box = PostBox()
    paused = [m.NotifyMoverPaused(1, number) for number in range(2)]
    halted = m.NotifyMoverHalted(1)
    for post in (paused[0], halted, paused[1]):
        box.put(post)
    assert box.take_first(m.NotifyMoverHalted) == halted
    assert box.take_first(m.NotifyMoverHalted) is None
    box.put(halted)
    assert box.take_all((m.NotifyMoverPaused, m.NotifyMoverHalted)) == [*paused, halted]
    assert box.take_all(m.Post) == []


def test_the_post_box_is_bounded() -> None:
    """Old log lines go; a server that pauses for ever is mad."""
    box = PostBox()
    for number in range(LOG_LIMIT + 5):
        box.put(m.LogMessage(0, number, ""))
    kept = box.take_all(m.LogMessage)
    assert len(kept) == LOG_LIMIT
    assert kept[-1] == m.LogMessage(0, LOG_LIMIT + 4, "")
    for number in range(LIMIT):
        box.put(m.NotifyMoverPaused(1, number))
    with pytest.raises(NdmpGarbage, match="more than 1000 NOTIFY_MOVER_PAUSED"):
        box.put(m.NotifyMoverPaused(1, 0))
