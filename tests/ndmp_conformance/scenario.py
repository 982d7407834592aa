"""What a scenario is, and how it is played."""

from __future__ import annotations

from contextlib import suppress

from attrs import field, frozen

from protocols.ndmp import messages as m
from protocols.ndmp.codes import ErrorCode
from tests.ndmp_conformance.scene import Scene, Step, Target, ask
from tests.ndmp_conformance.session_steps import CONNECTED, REFUSED
from tests.ndmp_conformance.talk import Wrong

ALL_VERSIONS = (4, 3, 2)
SINCE_3 = (4, 3)
V4 = (4,)


@frozen
class Scenario:
    """A short story between a client and a server.

    :ivar name: as [ndmp-server 7] has it, or by our own chapters.
    :ivar start: the steps before.
    :ivar needs: devices and abilities of the server, see :class:`Target`.
    """

    name: str
    title: str
    steps: tuple[Step, ...]
    start: tuple[Step, ...] = CONNECTED
    versions: tuple[int, ...] = V4
    needs: frozenset[str] = field(factory=frozenset)


def case(
    name: str,
    title: str,
    *steps: Step,
    start: tuple[Step, ...] = CONNECTED,
    versions: tuple[int, ...] = V4,
    needs: str = "",
) -> Scenario:
    """A scenario.

    :param needs: words
    """
    return Scenario(name, title, steps, start, versions, frozenset(needs.split()))


def denied(name: str, request: m.Request[m.Reply]) -> Scenario:
    """A request after a login that failed."""
    step = ask(request, ErrorCode.NOT_AUTHORIZED)
    return Scenario(
        name, f"{request.label} before a good login", (step,), REFUSED, request.versions
    )


def not_open(name: str, request: m.Request[m.Reply]) -> Scenario:
    """A request of a device that was not opened."""
    step = ask(request, ErrorCode.DEV_NOT_OPEN)
    return Scenario(name, f"{request.label}, nothing is open", (step,), versions=request.versions)


def illegal(name: str, request: m.Request[m.Reply]) -> Scenario:
    """A request in the wrong state, which is the first one."""
    step = ask(request, ErrorCode.ILLEGAL_STATE)
    return Scenario(name, f"{request.label} in IDLE", (step,), versions=request.versions)


def play(scenario: Scenario, target: Target, version: int, patience: float) -> None:
    """Play a scenario to its end; nothing else may be said, and all is given back.

    :raise Wrong: with the script
    """
    target.before()
    scene = Scene(target, version, patience)
    try:
        for step in (*scenario.start, *scenario.steps):
            step(scene)
        for talk in scene.talks.values():
            if talk.socket.fileno() >= 0:
                talk.request(m.MoverGetState())
                if talk.posts:
                    raise Wrong(f"the server said besides: {talk.posts}")
    except Wrong as wrong:
        with suppress(Wrong, OSError):
            scene.close()
        script = "\n  ".join(scene.script)
        raise Wrong(f"{scenario.title}\n  {script}\n{wrong}") from None
    except BaseException:
        with suppress(Wrong, OSError):
            scene.close()
        raise
    scene.close()
