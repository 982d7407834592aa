"""Whether a volume counts, where that is known later than a part on it begins."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred, succeed

from taper.flow.standing import Standing


def test_a_volume_that_is_known() -> None:
    """Nobody is told, as nobody has waited."""
    standing, known = Standing(), list[None]()
    standing.begin(None, lambda: known.append(None))
    assert not standing.unknown
    assert Deferred.fromCoroutine(standing.counts()).result is True
    assert known == []


@pytest.mark.parametrize("counts", [True, False])
@pytest.mark.parametrize("before", [True, False], ids=["asked before", "asked after"])
def test_a_volume_that_is_to_be_known(counts: bool, before: bool) -> None:
    """Who asks waits for it; if it does not count, nothing may ever be told of the part."""
    standing, known = Standing(), list[None]()
    stands: Deferred[bool] = Deferred()
    standing.begin(stands, lambda: known.append(None))
    assert standing.unknown
    asked = Deferred.fromCoroutine(standing.counts()) if before else None
    assert asked is None or not asked.called
    stands.callback(counts)
    if asked is None:
        asked = Deferred.fromCoroutine(standing.counts())
    assert asked.result is counts
    assert standing.unknown is not counts
    assert len(known) == counts
    again = Deferred.fromCoroutine(standing.counts())
    assert again.result is counts


def test_the_next_part() -> None:
    """It begins as if nothing had been."""
    standing = Standing()
    standing.begin(succeed(False), lambda: None)
    standing.taken_back = True
    assert Deferred.fromCoroutine(standing.counts()).result is False
    standing.end()
    assert (standing.unknown, standing.taken_back) == (False, False)
    standing.begin(None, lambda: None)
    assert Deferred.fromCoroutine(standing.counts()).result is True
