"""Dumps by DirectTCP onto one NDMP drive: the servers, and what a taper does meanwhile.

Amanda's ndmjob takes records larger than its stream buffer of 102400 bytes and then never gets one
together: whoever is its client, the dump stands still. So larger blocks are for our own server.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.bench.cases import NDMJOB_MOST
from tests.conformance.harness import USER, VTAPES, Options, World
from tests.conformance.harness_talk import HANDLE, WORKER, Conversation
from tests.conformance.harness_text import split_line
from tests.fakes.ndmjob import Command, NdmJob, missing_ndmjob
from tests.fakes.ndmp_process import NdmpProcess
from tests.fakes.ndmp_server.profile import LENIENT


@contextmanager
def drive(world: World, block: int) -> Iterator[str]:
    """A server with an empty tape on tmpfs. :return: the name of its drive

    :param block: KiB of a record
    """
    directory = world.path(VTAPES)
    if block <= NDMJOB_MOST:
        with NdmJob(command=inside(world), directory=directory, seen_as=VTAPES) as job:
            job.blank("tape")
            yield job.url("tape")
    else:
        with NdmpProcess(arguments=["--tape", f"tape={directory}/tape"]) as server:
            yield server.url("tape")


def inside(world: World) -> Command:
    """Runs a program as the dump user in a world."""

    def command(*program: str, cwd: str = "/") -> list[str]:
        user = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--init-groups"]
        return ["nsenter", "-t", str(world.keeper.pid), "-m", f"--wd={cwd}", *user, *program]

    return command


def options(url: str, block: int) -> Options:
    """The configuration for a drive."""
    return Options(
        slots=0,
        usage_kib=None,
        leom=None,
        changer=f'tpchanger "chg-single:{url}"',
        properties='device-property "INDIRECT" "false"',
        tapetype=f"length 1 tbytes\n  blocksize {block} kbytes",
    )


def begin(talk: Conversation, stamp: str) -> None:
    """Start a worker."""
    talk.send(f"START-TAPER taper0 {WORKER} PROTO {stamp}")
    talk.expect(f"TAPER-OK {WORKER} NO-TAKE-SCRIBE-FROM")


def ports(talk: Conversation, split: str, stamp: str) -> tuple[int, int]:
    """Ask for a dump. :return: the ports for its header and its data"""
    talk.send(f"PORT-WRITE {WORKER} {HANDLE} localhost /home 0 {stamp} {split} DIRECTTCP")
    words = split_line(talk.expect(f'PORT {WORKER} {HANDLE} <n> "127.0.0.1:<n>"'))
    return int(words[3]), int(words[4].split(":")[1])


def unserved(block: int) -> str | None:
    """Why no server of ours takes records of so many KiB; None: one does."""
    most = max(NDMJOB_MOST, LENIENT.max_record_size // 1024)
    if block > most:
        return f"the NDMP server of the tests takes records of {most} KiB at most"
    return missing_ndmjob() if block <= NDMJOB_MOST else None
