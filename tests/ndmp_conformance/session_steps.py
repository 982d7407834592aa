"""Steps: sessions and logins."""

from __future__ import annotations

from typing import Any

from protocols.ndmp import messages as m
from protocols.ndmp.auth import auth_data
from protocols.ndmp.codes import ErrorCode
from tests.ndmp_conformance.scene import OK, Scene, Step, ask, check, check_fields
from tests.ndmp_conformance.talk import Wrong, name_of


def call(scene: Scene) -> None:
    """Connect; the greeting is as it should be."""
    talk = scene.call()
    check_fields(
        scene, talk.greeting, {"reason": 0, "protocol_version": max(scene.target.versions)}
    )


def opening(version: int | None = None, *errors: Any) -> Step:
    """CONNECT_OPEN; None: the version of the scenario."""

    def step(scene: Scene) -> None:
        number = scene.version if version is None else version
        ask(m.ConnectOpen(protocol_version=number), *errors)(scene)
        if not errors:
            scene.talk.version = number

    return step


def login(method: str = "text", *errors: Any, password: str | None = None) -> Step:
    """CONNECT_CLIENT_AUTH, right or with another password."""

    def step(scene: Scene) -> None:
        challenge = b""
        if method == "md5":
            ask(m.ConfigGetAuthAttr(auth_type=2))(scene)
            challenge = scene.told["CONFIG_GET_AUTH_ATTR"].challenge.challenge
        name, secret = scene.target.account
        said = auth_data(method, name, secret if password is None else password, challenge)
        ask(m.ConnectClientAuth(auth=said), *errors)(scene)

    return step


WRONG = "not the password"
CONNECTED: tuple[Step, ...] = (call, opening(), login())
REFUSED: tuple[Step, ...] = (
    call,
    opening(),
    login("text", ErrorCode.NOT_AUTHORIZED, password=WRONG),
)


def other(*steps: Step) -> Step:
    """Another client does this meanwhile."""

    def step(scene: Scene) -> None:
        scene.speaker = "other"
        try:
            if "other" not in scene.talks:
                for one in CONNECTED:
                    one(scene)
            for one in steps:
                one(scene)
        finally:
            scene.speaker = "client"

    return step


def raw(code: int, body: str, *errors: Any) -> Step:
    """A request in bytes, as hexadecimal; it is answered in the header."""

    def step(scene: Scene) -> None:
        got = scene.talk.reply(scene.talk.say_raw(code, bytes.fromhex(body)))
        scene.note(f"{code:#x} {body}: {name_of(got.error)}")
        if got.error not in errors:
            raise Wrong(f"{code:#x}: {name_of(got.error)}, wanted {[name_of(e) for e in errors]}")

    return step


def stray_reply(code: int) -> Step:
    """A reply to nothing, of ours."""

    def step(scene: Scene) -> None:
        scene.talk.say_raw(code, bytes(4), message_type=1)

    return step


def in_fragments(request: m.Request[Any], *errors: Any) -> Step:
    """A request cut into fragments of seven bytes."""

    def step(scene: Scene) -> None:
        talk, kept = scene.talk, []
        real = talk.socket
        talk.socket = _Keeper(kept)  # type: ignore[assignment]
        sequence = talk.say(request)
        talk.socket = real
        whole = b"".join(kept)[4:]
        pieces = [whole[at : at + 7] for at in range(0, len(whole), 7)]
        for piece in pieces:
            last = (piece is pieces[-1]) << 31
            real.sendall((last | len(piece)).to_bytes(4, "big") + piece)
        check(scene, request, talk.reply(sequence), errors or (OK,))

    return step


class _Keeper:
    def __init__(self, kept: list[bytes]) -> None:
        self._kept = kept

    def sendall(self, data: bytes) -> None:
        self._kept.append(data)


def says_good_bye(scene: Scene) -> None:
    """CONNECT_CLOSE; the server ends the connection, and may say so before."""
    scene.talk.say(m.ConnectClose())
    if not scene.talk.ended():
        raise Wrong("the connection does not end after CONNECT_CLOSE")
    if any(not isinstance(post, m.NotifyConnectionStatus) for post in scene.talk.posts):
        raise Wrong(f"{scene.talk.posts} after CONNECT_CLOSE")
    scene.talk.drop()


def goes_away(scene: Scene) -> None:
    """The client is gone without a word."""
    scene.talk.drop()
