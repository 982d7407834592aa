"""What is recorded: each scenario prepares its volumes, and then plays a run or several."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from attrs import frozen

from tests.crash.stage import Stage

Prepare = Callable[[Stage], None]
Play = Callable[[Stage], Awaitable[None]]


@frozen
class Scenario:
    """One of them.

    :ivar prepare: before the recording begins; all that is there then is on the disk.
    :ivar play: what is recorded.
    """

    prepare: Prepare
    play: Play


SCENARIOS: dict[str, Scenario] = {}
UNSAFE: dict[str, Scenario] = {}
"""Those that lose something, as they are bound to."""


def scenario(prepare: Prepare, *, safe: bool = True) -> Callable[[Play], Play]:
    """Add one, by the name of its function."""

    def add(play: Play) -> Play:
        name = play.__name__
        assert name not in SCENARIOS | UNSAFE
        (SCENARIOS if safe else UNSAFE)[name] = Scenario(prepare, play)
        return play

    return add


def blank(more: str = "", top: str = "", slots: int = 4) -> Prepare:
    """Nothing but blank volumes."""

    def prepare(stage: Stage) -> None:
        stage.configure(more, top, slots)

    return prepare


from tests.crash import (  # noqa: E402  (they add themselves)
    scenarios_plain,
    scenarios_runs,
    scenarios_trouble,
    scenarios_volumes,
)

__all__ = ["scenarios_plain", "scenarios_runs", "scenarios_trouble", "scenarios_volumes"]
