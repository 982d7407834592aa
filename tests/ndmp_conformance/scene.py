"""The scene on which scenarios are played, and what is asked and expected there.

A step is a function of the scene; what these functions here return is one. A step that finds the
server at fault raises :class:`tests.ndmp_conformance.talk.Wrong`.
"""

from __future__ import annotations

import select
import socket
import struct
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from attrs import define, field, frozen

from protocols.ndmp import messages as m
from protocols.ndmp.codes import ErrorCode
from tests.ndmp_conformance.talk import Got, Talk, Wrong, name_of

OK = ErrorCode.NO_ERR
RECORD = 1024
"""Bytes of a record, where that does not matter."""
_PIPELINE = 8
_DATA = (m.DataAbort, m.DataConnect, m.DataGetEnv, m.DataGetState, m.DataListen, m.DataStop)
_DATA_SERVICE = (
    *_DATA,
    *(m.DataStartBackup, m.DataStartRecover, m.DataStartRecoverFilehist),
    *(m.ConfigGetButypeInfo, m.ConfigGetFsInfo),
)
_MOVER_POSTS = (m.NotifyMoverHalted, m.NotifyMoverPaused)
_NO_LINGER = struct.pack("ii", 1, 0)

Step = Callable[["Scene"], None]


@frozen
class Target:
    """A server under test.

    :ivar devices: what it has, by our name for it: ``drive``; perhaps ``protected``, ``empty``
        (a drive), ``small`` (a drive whose tape warns early) and ``changer``.
    :ivar offers: what else it can: ``ipv6`` data connections.
    :ivar versions: of the protocol.
    :ivar before: called before each scenario.
    """

    name: str
    address: tuple[str, int]
    devices: Mapping[str, str]
    offers: frozenset[str] = frozenset()
    account: tuple[str, str] = ("ndmp", "ndmp")
    versions: tuple[int, ...] = (4, 3, 2)
    before: Callable[[], object] = lambda: None

    @property
    def has(self) -> frozenset[str]:
        """All that a scenario may need."""
        return frozenset(self.devices) | self.offers


@define
class Scene:
    """What a scenario is played on.

    :ivar version: of the protocol.
    :ivar talk: the session that speaks now.
    :ivar peer: our end of the data connection.
    :ivar told: what the server said that later steps need.
    """

    target: Target
    version: int
    patience: float
    talks: dict[str, Talk] = field(factory=dict)
    speaker: str = "client"
    peer: socket.socket | None = None
    told: dict[str, Any] = field(factory=dict)
    script: list[str] = field(factory=list)

    @property
    def talk(self) -> Talk:
        return self.talks[self.speaker]

    def call(self) -> Talk:
        """Connect; the speaker's session from now on."""
        self.talks[self.speaker] = Talk(self.target.address, self.patience)
        return self.talk

    def device(self, name: str) -> str:
        """The server's name of a device; what is none of ours stays as it is."""
        return self.target.devices.get(name, name)

    def note(self, line: str) -> None:
        """A line of what was played."""
        self.script.append(f"{self.speaker}: {line}")

    @property
    def link(self) -> socket.socket:
        """The data connection."""
        assert self.peer is not None, "no data connection yet"
        return self.peer

    def hang_up(self) -> None:
        """End the data connection."""
        if self.peer is not None:
            self.peer.close()
            self.peer = None

    def close(self) -> None:
        """Leave the server as it was."""
        self.hang_up()
        for talk in self.talks.values():
            if talk.socket.fileno() >= 0:
                talk.close()


# what is expected


@frozen
class ByVersion:
    """Another thing in version 4 than before."""

    v4: Any
    before: Any

    def of(self, version: int) -> Any:
        return self.v4 if version >= 4 else self.before


def before4(before: Any, v4: Any) -> ByVersion:
    """What was before version 4, and what is in it."""
    return ByVersion(v4, before)


def _in(version: int, value: Any) -> Any:
    return value.of(version) if isinstance(value, ByVersion) else value


def _shown(request: Any) -> str:
    text = repr(request)
    return text if len(text) < 200 else f"{text[:200]}..."


def check(scene: Scene, request: m.Request[Any], got: Got, errors: Iterable[Any]) -> None:
    """The reply has one of these errors.

    A server without a data service is right to say NOT_SUPPORTED to all of that.
    """
    wanted: list[int] = []
    for error in errors:
        found = _in(scene.version, error)
        wanted += found if isinstance(found, tuple) else (found,)
    no_service = isinstance(request, _DATA_SERVICE) and got.error == ErrorCode.NOT_SUPPORTED
    scene.note(f"{_shown(request)}: {name_of(got.error)}")
    if got.error not in wanted and not no_service:
        names = " or ".join(name_of(error) for error in wanted)
        raise Wrong(f"{request.label}: {name_of(got.error)}, wanted {names}")


def check_fields(scene: Scene, what: Any, fields: Mapping[str, Any]) -> None:
    """The fields of a reply or a post have these values; a tuple is a choice, a function judges."""
    for name, value in fields.items():
        found, wanted = getattr(what, name), _in(scene.version, value)
        if callable(wanted):
            good = wanted(found)
        else:
            good = found in wanted if isinstance(wanted, tuple) else found == wanted
        if not good:
            raise Wrong(f"{type(what).__name__}: {name} {found!r}, wanted {wanted!r}")


Said = m.Request[Any] | Callable[[Scene], m.Request[Any]]
"""A request, or what makes it of what the server told."""


def _request(scene: Scene, said: Said) -> m.Request[Any]:
    request = said if isinstance(said, m.Request) else said(scene)
    changes = {
        name: _in(scene.version, getattr(request, name))
        for name in request.fields
        if isinstance(getattr(request, name), ByVersion)
    }
    device = getattr(request, "device", None)
    if device is not None:
        changes["device"] = scene.device(device)
    return request.evolve(**changes) if changes else request


def ask(said: Said, *errors: Any, in_header: bool = False, **fields: Any) -> Step:
    """Send a request; it is answered with one of the errors, or well.

    :param in_header: the error must be there, and nothing behind it
    :param fields: what a good reply has in it
    """

    def step(scene: Scene) -> None:
        request = _request(scene, said)
        got = scene.talk.request(request)
        check(scene, request, got, errors or (OK,))
        if in_header and got.body is not None:
            raise Wrong(f"{request.label}: {name_of(got.error)} in the body")
        changes = isinstance(request, m.MoverAbort | m.MoverClose | m.MoverContinue)
        if changes and any(isinstance(post, _MOVER_POSTS) for post in scene.talk.crossed):
            raise Wrong(f"{scene.talk.crossed} before the reply to {request.label}")
        if got.error == OK:
            check_fields(scene, got.body, fields)
            scene.told[request.label] = got.body

    return step


Asked = tuple[m.Request[Any], Any, Mapping[str, Any]]
"""A request, the error that it is answered with, and what a good reply has in it."""


def all_of(*asked: Asked) -> Step:
    """Send several requests at once; they are answered in order."""

    def step(scene: Scene) -> None:
        for at in range(0, len(asked), _PIPELINE):
            some = [
                (_request(scene, said), errors, fields)
                for said, errors, fields in asked[at : at + _PIPELINE]
            ]
            sequences = [scene.talk.say(request) for request, _, _ in some]
            for sequence, (request, error, fields) in zip(sequences, some, strict=True):
                got = scene.talk.reply(sequence)
                check(scene, request, got, (error,))
                if got.error == OK:
                    check_fields(scene, got.body, fields)

    return step


def since4(*steps: Step) -> Step:
    """What is done in version 4 only."""

    def step(scene: Scene) -> None:
        for one in steps if scene.version >= 4 else ():
            one(scene)

    return step


def until4(*steps: Step) -> Step:
    """What is done before version 4 only."""

    def step(scene: Scene) -> None:
        for one in steps if scene.version < 4 else ():
            one(scene)

    return step


def posted(kind: type[m.Post], **fields: Any) -> Step:
    """The server says this by itself, next."""

    def step(scene: Scene) -> None:
        post = scene.talk.next_post(kind)
        scene.note(f"<- {post}")
        check_fields(scene, post, fields)

    return step


def logged(text: str) -> Step:
    """Some line for the log had this in it."""

    def step(scene: Scene) -> None:
        if not any(text in log for log in scene.talk.logs):
            raise Wrong(f"no log has {text!r}: {scene.talk.logs}")

    return step


def tries(scene: Scene) -> Iterable[int]:
    """Again and again, but not for ever; a little pause between."""
    for number in range(int(scene.patience / 0.01)):
        yield number
        select.select([], [], [], 0.01)
