"""Dumps by rendezvous over several volumes of vtapes, and onto tape servers of both kinds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.conformance.harness import World
from tests.conformance.harness_rendezvous import DATA, Story
from tests.fakes.ndmjob import NdmJob, missing_ndmjob
from tests.fakes.ndmp_process import NdmpProcess
from tests.flow.rendezvous_peer import Cut, Script

pytestmark = [pytest.mark.own_only, pytest.mark.usefixtures("rendezvous")]

BLOCK = 32768
PADDED = -(-len(DATA) // BLOCK) * BLOCK


def test_over_several_vtapes(world: World) -> None:
    """In parts, over volumes that end, and with a data connection that is cut twice."""
    story = Story(world, usage_kib=640, leom=True)
    story.begin(262144)
    cuts = [Cut(700_000), Cut(1_200_000, link=True)]
    application = story.send(script=Script(cuts=cuts))
    assert story.write_all(3) == len(DATA)
    story.finish(application)
    assert application.doubled <= 2 << 20
    first = world.volume("PROTO01")[1].header
    assert "APPLICATION=amdirecttar\n" in first


@contextmanager
def tape_server(kind: str) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """A drive, and what is on its tape in the end."""
    if kind == "ndmjob":
        if missing_ndmjob() is not None:
            pytest.skip("no ndmjob here")
        with NdmJob() as job:
            job.blank("tape1")
            yield job.url("tape1"), (job.directory / "tape1").read_bytes
        return
    with NdmpProcess({"tape1": "16777216"}, arguments=[f"--{kind}"]) as process:

        def payload_of() -> bytes:
            files = process.files("tape1")[1:]
            return b"".join(b"".join(records[1:]) for records in files)

        yield process.url("tape1"), payload_of


@pytest.mark.parametrize("kind", ["ndmjob", "conforming", "strict"])
def test_past_this_host(world: World, kind: str) -> None:
    """The client sends straight to the mover, which a strict one lets listen late; nobody is told
    255.255.255.255, and the log has a real checksum."""
    with tape_server(kind) as (url, on_tape):
        changer = f'tpchanger "chg-single:{url}"'
        story = Story(world, slots=0, usage_kib=None, leom=None, changer=changer)
        story.begin(8 * BLOCK)
        application = story.send()
        assert story.write_all() == PADDED
        story.hear_result(application)
        story.say_done()
        port = int(url.split(":")[2].split("@")[0])
        (order,) = application.orders
        others = (port, story.addresses[0].port)
        assert all(address.port not in others for address in order.addresses)
        found = on_tape()
        assert all(DATA[at : at + BLOCK] in found for at in range(0, len(DATA), BLOCK))
