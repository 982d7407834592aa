"""Frames as bytes for docs/rendezvous.md, made with the library, of fixed key and nonces.

``python -m tests.docs.rendezvous_bytes --write`` puts them there; without ``--write`` the exit
status is 1 if others stand there.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from protocols.directtcp import Address
from protocols.rendezvous.application import ApplicationHalf, Names
from protocols.rendezvous.frames import (
    Alive,
    Broken,
    Cannot,
    Delivered,
    End,
    Frame,
    Halt,
    Halted,
    HeaderBlock,
    HeaderFields,
    Kind,
    Outcome,
    Refusal,
    Refused,
    Result,
    Send,
    Sending,
    Stored,
    Why,
)
from protocols.rendezvous.half import Half
from protocols.rendezvous.taper import TaperHalf
from tests.docs.markdown import ROOT

DOCUMENT = ROOT / "docs" / "rendezvous.md"
BEGIN = "<!-- the bytes: made by `python -m tests.docs.rendezvous_bytes --write` -->\n"
END = "<!-- end of the bytes -->\n"

KEY = b"not a secret any more"
DUMP_ID = bytes(range(0xA0, 0xB0))
NONCE = bytes(range(0x20))
OTHER_NONCE = bytes(range(0x40, 0x60))
NAMES = Names("client.example.com", "/home", 1, "amdirecttar")
WINDOW = 16 << 20

_A_LINE = 24
_MACS = 32


def conversation() -> Iterator[tuple[str, bytes]]:
    """Who says it, and the whole frame."""
    application = ApplicationHalf(KEY, NAMES, DUMP_ID, NONCE, WINDOW)
    taper = TaperHalf(KEY, OTHER_NONCE)
    application.begin()
    yield from _brought("application", application, taper)
    yield from _brought("taper", taper, application)
    yield from _brought("application", application, taper)
    here, there = Address("192.0.2.1", 5000), Address("2001:db8::1", 5000)
    fields = (("program", "APPLICATION"), ("application", "amdirecttar"), ("compression", "N"))
    for frame in (
        HeaderFields(fields),
        HeaderBlock(b"AMANDA: FILE ...\n"),
        Send(1, 0, (here, there)),
        Sending(1, 0, 0),
        Alive(1048576),
        Stored(0, 524288),
        Broken(1, 1048576, "Connection reset by peer"),
        Send(2, 524288, (there,)),
        Sending(2, 524288, 0x0BADCAFE),
        Halt(2, 1048576),
        Halted(2, 1048576, 0x12345678),
        Send(3, 0, (here,)),
        Cannot(3, Why.KEPT_NO_MORE, 524288, "byte 0 is kept no more"),
        Delivered(3, 2097152),
        End(2097152, 0xDEADBEEF, 0, ""),
        Result(Outcome.GOOD, 2097152, True, 0xDEADBEEF, ""),
    ):
        whose = "application" if frame.kind in application.says - taper.says else "taper"
        half, other = (application, taper) if whose == "application" else (taper, application)
        if isinstance(frame, Alive):
            whose, half, other = "application", application, taper
        half.say(frame)
        yield from _brought(whose, half, other)
    yield "taper", refusal(Refused(Refusal.BUSY, "another application is at this dump"))


def refusal(frame: Frame) -> bytes:
    """A frame of another connection, the taper's first one behind CHALLENGE."""
    application = ApplicationHalf(KEY, NAMES, DUMP_ID, NONCE, WINDOW)
    taper = TaperHalf(KEY, OTHER_NONCE)
    application.begin()
    taper.receive(application.output())
    application.receive(taper.output())
    taper.receive(application.output())
    taper.say(frame)
    return taper.output()


def _brought(whose: str, half: Half, other: Half) -> Iterator[tuple[str, bytes]]:
    whole = half.output()
    other.receive(whole)
    yield whose, whole


def shown(whose: str, whole: bytes) -> Iterator[str]:
    """A frame, field by field."""
    kind = Kind(whole[4])
    yield f"{kind.name}, said by the {whose}"
    yield f"  length  {whole[:4].hex()}"
    yield f"  kind    {whole[4:5].hex()}"
    yield f"  number  {whole[5:13].hex()}"
    for name, value, size in (
        ("body", whole[13:-_MACS], _A_LINE),
        ("mac", whole[-_MACS:], _MACS),
    ):
        for at in range(0, len(value), size):
            yield f"  {'' if at else name:<8}{value[at : at + size].hex()}"


def block() -> str:
    """The fenced block of the document."""
    lines = [
        "```text bytes",
        f"secret      {KEY.decode()}",
    ]
    for whose, whole in conversation():
        lines += ["", *shown(whose, whole)]
    return "\n".join([*lines, "```", ""])


def with_bytes(text: str) -> str:
    """The document as it should be. :raise ValueError: it has no place for them"""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{DOCUMENT.name} has no place for the bytes")
    return before + begin + block() + end + after


def main(arguments: Sequence[str]) -> int:
    """Compare or write. :return: the exit status"""
    text = DOCUMENT.read_text()
    wanted = with_bytes(text)
    if "--write" in arguments:
        DOCUMENT.write_text(wanted)
    elif text != wanted:
        print("docs/rendezvous.md shows other bytes; python -m tests.docs.rendezvous_bytes --write")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
