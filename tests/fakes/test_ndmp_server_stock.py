"""Amanda's own programs find in our server what they find in ndmjob."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from pytest_twisted import async_yield_fixture, ensureDeferred
from twisted.internet import reactor
from twisted.internet.threads import deferToThread

from protocols.ndmp import messages as m
from protocols.ndmp.codes import ErrorCode, Mtio, TapeMode
from protocols.ndmp.errors import NdmpRefused
from protocols.twisted_transports.ndmp import connect_session
from tests.fakes.ndmjob import NdmJob, conformance, missing_ndmjob, private_command
from tests.fakes.ndmp_server import (
    CONFORMING,
    LENIENT,
    STRICT,
    Call,
    Hold,
    Limits,
    Medium,
    NdmpServer,
    Phase,
    Profile,
    Robot,
)
from tests.namespace import Namespace

pytestmark = pytest.mark.skipif(missing_ndmjob() is not None, reason=str(missing_ndmjob()))

KIB = 1024
WHOLE = 1248
"""The same with the padding of its last record, in KiB."""
SCRIPTS = Path(__file__).parent
WRITTEN = [
    "PART size=393216 partnum=1 fileno=1 eom=0 eof=0",
    "PART size=393216 partnum=2 fileno=2 eom=0 eof=0",
    "PART size=65536 partnum=3 fileno=3 eom=1 eof=0",
    "PART size=393216 partnum=4 fileno=1 eom=0 eof=0",
    "PART size=32768 partnum=5 fileno=2 eom=0 eof=1",
    "END",
]
"""What stock tells of 1230 KiB in parts of 384 KiB on ndmjob's tapes of 1 MiB (1.6)."""


class Servers:
    """Makes servers with two tapes of 1 MiB, ``t0`` and ``t1``."""

    def __init__(self) -> None:
        self.made: list[NdmpServer] = []

    def make(self, profile: Profile, tapes: list[Medium] | None = None) -> NdmpServer:
        tapes = tapes or [Medium(Limits.of_size(KIB * KIB)) for _ in range(2)]
        drives = {f"t{number}": tape for number, tape in enumerate(tapes)}
        server = NdmpServer(reactor, drives, profile)
        server.start()
        self.made.append(server)
        return server


@async_yield_fixture
async def servers() -> AsyncIterator[Servers]:
    made = Servers()
    yield made
    for server in made.made:
        await server.stop()
        assert server.failures == []


def run_perl(script: str, *arguments: str) -> list[str]:
    """Run a script of Amanda's API as the dump user. :return: the lines it said, errors too"""
    with private_command() as command:
        # by standard input: a checkout may be private
        done = subprocess.run(
            command("perl", "-", *arguments),
            input=(SCRIPTS / script).read_text(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
        )
    return done.stdout.splitlines()


async def written(first: str, second: str, indirect: str = "0", kib: int = 1230) -> list[str]:
    """Let stock write so much in parts of 384 KiB."""
    sizes = (str(kib * KIB), str(384 * KIB))
    lines: list[str] = await deferToThread(
        run_perl, "stock_ndmp_write.pl", indirect, *sizes, first, second
    )
    return lines


@pytest.mark.parametrize("agent", ["4m", "4t", "3m", "2t"])
@pytest.mark.parametrize("profile", [LENIENT, CONFORMING], ids=lambda profile: profile.name)
@ensureDeferred
async def test_the_mover_test_of_ndmjob_passes(
    servers: Servers, profile: Profile, agent: str
) -> None:
    """All 100 steps, in every version, by text and by md5."""
    port = servers.make(profile).port
    _, said = await deferToThread(conformance, "test-mover", port, tape="t0", agent=agent)
    assert "FINAL test-mover Passed -- pass=100 warn=0 fail=0" in said


@pytest.mark.parametrize(("agent", "steps"), [("4m", 24), ("3m", 24), ("2m", 3)])
@ensureDeferred
async def test_the_data_test_of_ndmjob_passes(servers: Servers, agent: str, steps: int) -> None:
    """The data agent listens and aborts as ndmjob's test wants it."""
    port = servers.make(LENIENT).port
    _, said = await deferToThread(conformance, "test-data", port, agent=agent)
    assert f"FINAL test-data Passed -- pass={steps} warn=0 fail=0" in said


@ensureDeferred
async def test_the_tape_test_of_ndmjob_passes_up_to_what_its_client_cannot_say(
    servers: Servers,
) -> None:
    """The zero-length write of T-BW #6 is never sent by the stock client (5.6)."""
    server = servers.make(LENIENT)
    _, said = await deferToThread(conformance, "test-tape", server.port, tape="t0")
    assert "T-OC Passed -- pass=8" in said
    assert "T-BGS Passed -- pass=4" in said
    assert "T-BW #6 -- Failed" in said
    assert "TAPE_WRITE" not in server.labels()[-1:]


@ensureDeferred
async def test_a_strict_server_refuses_the_empty_window(servers: Servers) -> None:
    """As on Solaris, which is why IndirectTCP exists."""
    port = servers.make(STRICT).port
    _, said = await deferToThread(conformance, "test-mover", port, tape="t0")
    assert "M-IDLE #6 -- Failed NDMP4_MOVER_SET_WINDOW" in said


@pytest.mark.parametrize(
    ("profile", "indirect"),
    [(LENIENT, "0"), (LENIENT, "1"), (STRICT, "0"), (STRICT, "1")],
    ids=["direct", "lenient-indirect", "refused-window", "strict-indirect"],
)
@ensureDeferred
async def test_stock_spans_two_tapes(servers: Servers, profile: Profile, indirect: str) -> None:
    """The parts are cut where ndmjob's tapes cut them, and no byte is lost."""
    server = servers.make(profile)
    said = await written(server.url("t0"), server.url("t1"), indirect)
    assert said == WRITTEN
    # the header of each part, then its data, stand in files of their own
    first, second = (server.drives[name].tape().files() for name in ("t0", "t1"))
    assert [len(file) for file in (*first, *second)] == [1, 13, 13, 3, 1, 13, 2]
    direct = "MOVER_SET_WINDOW(offset=0, length=0) NO_ERR"
    assert any(direct in str(noted) for noted in server.noted) == (
        profile is LENIENT and indirect == "0"
    )


@ensureDeferred
async def test_stock_reads_back_what_it_wrote(servers: Servers) -> None:
    """Restoring by the mover gives the bytes that were written; a spanned dump has the same.

    Stock compares every byte with what it made, so here is no padding; and only one volume, as
    stock loses count of the stream when it goes from one to the next, on ndmjob too.
    """
    spanned = servers.make(STRICT)
    assert await written(spanned.url("t0"), spanned.url("t1")) == WRITTEN
    server = servers.make(LENIENT, [Medium(), Medium()])
    said = await written(server.url("t0"), server.url("t1"), kib=WHOLE)
    assert [line.split()[1] for line in said[:-1]] == ["size=393216"] * 3 + ["size=98304"]
    hold_the_first_part(server)
    said = await deferToThread(run_perl, "stock_ndmp_read.pl", f"{server.url('t0')},1,2,3,4")
    sizes = [line.split()[1] for line in said if line.startswith("PART")]
    assert sizes == ["size=393216"] * 3 + ["size=98304"], said
    assert said[-1] == "END"
    whole = content(server.drives["t0"].tape())
    parts = [content(spanned.drives[name].tape()) for name in ("t0", "t1")]
    assert b"".join(parts)[: 1230 * KIB] == whole[: 1230 * KIB]


def content(tape: Medium) -> bytes:
    """The data records of all parts."""
    return b"".join(record for file in tape.files()[1:] for record in file[1:])


def hold_the_first_part(server: NdmpServer) -> None:
    """Stock loses count if the mover is done before it looks (3.6), so hold it until it does."""
    hold = Hold()
    server.faults.plant(hold, "MOVER_READ", Phase.AFTER)
    asked_to_read = len(server.noted)

    def release(session: object) -> None:
        labels = [noted.label for noted in server.noted[asked_to_read:]]
        if labels.count("MOVER_READ") and hold.waiting:
            hold.release()

    server.faults.plant(Call(release), "MOVER_GET_STATE", Phase.REQUEST, times=None)


@ensureDeferred
async def test_ndmjob_reads_a_tape_of_ours(servers: Servers) -> None:
    """A tape in a file has ndmjob's format, so ndmjob finds every record and filemark on it."""
    with NdmJob() as job:
        for name in ("t0", "t1"):
            job.blank(name)
        tapes = [Medium.in_file(job.directory / name) for name in ("t0", "t1")]
        server = servers.make(LENIENT, tapes)
        await written(server.url("t0"), server.url("t1"))
        assert await read_files(job.port, job.device("t0")) == tapes[0].files()
        assert len(tapes[0].files()) == 5


async def read_files(port: int, device: str) -> list[list[bytes]]:
    """Every record that a server finds on a tape."""
    session = await connect_session(
        reactor, "127.0.0.1", port, username="ndmp", password="ndmp", auth="text", timeout=600
    )
    await session.request(m.TapeOpen(device=device, mode=TapeMode.READ))
    await session.request(m.TapeMtio(op=Mtio.REW, count=1))
    files: list[list[bytes]] = [[]]
    while True:
        try:
            reply = await session.request(m.TapeRead(count=32768))
        except NdmpRefused as refused:
            if refused.error != ErrorCode.EOF:
                raise
            moved = await session.request(m.TapeMtio(op=Mtio.FSF, count=1))
            if moved.resid:
                break
            files.append([])
        else:
            files[-1].append(bytes(reply.data))
    await session.request(m.TapeClose())
    await session.close()
    return files if files[-1] else files[:-1]


@ensureDeferred
async def test_our_server_reads_a_tape_of_ndmjob(servers: Servers) -> None:
    """The reverse: what ndmjob wrote is found on our tape, record for record."""
    with NdmJob(tape_limit=KIB * KIB) as job:
        for name in ("t0", "t1"):
            job.blank(name)
        assert await written(job.url("t0"), job.url("t1")) == WRITTEN
        files = Medium.in_file(job.directory / "t0").files()
        assert [len(file) for file in files] == [1, 13, 13, 3]
        assert files[0][0].startswith(b"AMANDA: TAPESTART")


CHANGER = """tapetype T
define tapetype T {{
  length 10 mbytes
}}
tpchanger "robot"
labelstr "^V"
define changer "robot" {{
  tpchanger "chg-ndmp:127.0.0.1:{port}@robot"
  property "tape-device" "0=ndmp:127.0.0.1:{port}@t0" "1=ndmp:127.0.0.1:{port}@t1"
  changerfile "/etc/amanda/R/state"
}}
"""


@ensureDeferred
async def test_stock_works_with_our_changer(servers: Servers) -> None:
    """Amanda's chg-ndmp finds the slots, loads two drives and knows where the tapes came from."""
    server = servers.make(STRICT)
    drives = list(server.drives.values())
    tapes = [Medium(barcode=f"TAPE{number}") for number in (1, 2, 3)]
    for drive in drives:
        drive.medium = None
    server.robots["robot"] = Robot(drives, list(tapes))
    with closing(Namespace()) as namespace:
        namespace.write("/etc/amanda/R/amanda.conf", CHANGER.format(port=server.port))
        namespace.write("/etc/amanda/R/tapelist", "")

        async def run(*command: str) -> str:
            done = await deferToThread(namespace.run, *command)
            return str(done.stdout)

        assert "Success!" in await run("/usr/sbin/amlabel", "R", "V1", "slot", "2")
        assert "changed to slot 3" in await run("/usr/sbin/amtape", "R", "slot", "3")
        inventory = await run("/usr/sbin/amtape", "R", "inventory")
    assert "slot 2: label V1 barcode TAPE2 (in drive 0)" in inventory
    assert "slot 3: blank barcode TAPE3 (in drive 1) (current)" in inventory
    assert [drive.medium for drive in drives] == tapes[1:]
