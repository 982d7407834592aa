"""Work that is shielded is done to its end, whoever waits for it no longer."""

from __future__ import annotations

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from devices.shield import shield, undisturbed


def outcome(deferred: Deferred[str]) -> list[object]:
    """What has come of it so far: a result, or an exception."""
    seen: list[object] = []
    deferred.addCallbacks(seen.append, lambda failure: seen.append(failure.value))
    return seen


def test_a_result_and_an_error_are_passed_on() -> None:
    work: Deferred[str] = Deferred()
    seen = outcome(shield(work))
    assert seen == []
    work.callback("done")
    assert seen == ["done"]
    failing: Deferred[str] = Deferred()
    seen = outcome(shield(failing))
    fault = OSError("x")
    failing.errback(Failure(fault))
    assert seen == [fault]


def test_a_cancelled_wait_ends_at_once_and_the_work_goes_on() -> None:
    """What comes of the work then reaches nobody, also if the cancellation ends it."""
    for end in (lambda work: work.callback("late"), lambda work: work.errback(OSError("late"))):
        for at_once in (False, True):
            stopped: list[Deferred[str]] = []
            work: Deferred[str] = Deferred(stopped.append)

            def abandoned(work: Deferred[str] = work, at_once: bool = at_once, end=end) -> None:
                if at_once:
                    end(work)

            waiting = shield(work, abandoned)
            seen = outcome(waiting)
            waiting.cancel()
            assert [type(each) for each in seen] == [CancelledError]
            assert stopped == []
            if not at_once:
                end(work)
            assert len(seen) == 1
            waiting.cancel()


@pytest.mark.parametrize("cancels", [0, 1, 3])
@pytest.mark.parametrize("fails", [False, True])
def test_undisturbed_waits_to_the_end(cancels: int, fails: bool) -> None:
    """However often it is cancelled; an error of the work counts more than that it was."""
    stopped: list[Deferred[str]] = []
    work: Deferred[str] = Deferred(stopped.append)
    waiting = Deferred.fromCoroutine(undisturbed(work))
    seen = outcome(waiting)
    for _ in range(cancels):
        waiting.cancel()
    assert (seen, stopped) == ([], [])
    fault = OSError("x")
    if fails:
        work.errback(Failure(fault))
        assert seen == [fault]
    else:
        work.callback("done")
        assert seen == ["done"] if not cancels else isinstance(seen[0], CancelledError)
