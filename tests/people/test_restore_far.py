"""``taperctl restore --to HOST:DIR``: by programs that behave as ``ssh`` does, or fails."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from attrs import evolve
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from protocols.errorcode import named
from protocols.header import Header, HeaderType, build_header
from taper.gnutar import find_tar
from taper.installation import installation
from taper.people.exits import Exit
from taper.people.restore import far, step
from tests.people.archives import AGAIN, FULL, HOME, Archive, found, packed, script, two_nights
from tests.people.nights import Nights, works_begun
from tests.plane.dumping import crc_of

pytestmark = pytest.mark.skipif(find_tar() is None, reason="there is no tar")

UNREACHED, UNABLE = far.LinkFailed.taper_code, far.Unable.taper_code
WORDS = ("restore", "localhost", "/home", "--to")


class FarHost:
    """Another host: a directory that its logins are in, and an ssh that gets there.

    :ivar home: where its users are at home.
    :ivar ssh: the program.
    """

    def __init__(self, root: Path, run: str = 'exec sh -c "$1"') -> None:
        """:param run: what it does with the command, in a shell; the number of the connection is
        ``$number``
        """
        self.home = root / "far home"
        self.home.mkdir()
        self._said = root / "said"
        self._count = root / "count"
        self._count.write_text("")
        words = shlex.quote(str(self._said))
        self.ssh = script(
            root / "ssh",
            f"printf '%s\\n' \"$@\" >> {words}\n"
            f"echo >> {shlex.quote(str(self._count))}\n"
            f"number=$(wc -l < {shlex.quote(str(self._count))})\n"
            'while [ "$1" != -- ]; do shift; done\n'
            f"shift 2; cd {shlex.quote(str(self.home))}\n{run}",
        )

    @property
    def connections(self) -> int:
        return len(self._count.read_text())

    @property
    def said(self) -> list[str]:
        """All words of all connections."""
        return self._said.read_text().splitlines()


def unpacking(run: str) -> str:
    """So that host runs unpacking, from the second connection on."""
    return f'[ "$number" -eq 1 ] && exec sh -c "$1"\n{run}'


@ensureDeferred
async def test_two_levels(tmp_path: Path) -> None:
    """The same files as here, in a directory whose name means harm; a plan connects to nobody."""
    nights = await two_nights(tmp_path)
    host = FarHost(tmp_path)
    name = 'it\'s; touch pwned $(touch pwned) `touch pwned`\\ "*"'
    words = (*WORDS, f"me@db:{name}", "--ssh", f"'{host.ssh}' -p 2222")
    plan = await nights.lines(*words, "--dry-run")
    assert plan[1].startswith("It is read and decrypted here, and unpacked on me@db, by ssh")
    assert (host.connections, list(host.home.iterdir())) == (0, [])
    said = await nights.lines(*words)
    assert said[: len(plan)] == plan
    assert said[-1] == "Restored. All checksums are as they were when it was dumped."
    assert [path.name for path in host.home.iterdir()] == [name]
    assert found(host.home / name) == HOME.files() | AGAIN.files()
    assert host.connections == 3
    assert host.said[:2] == ["-p", "2222"]
    assert host.said.count("BatchMode=yes") == host.said.count("me@db") == 3


@ensureDeferred
async def test_paths_and_a_directory_that_is_there(tmp_path: Path) -> None:
    """As here: it must be empty, or one has to say so."""
    nights = Nights(tmp_path).make()
    harm = "dir/$(touch pwned)';touch pwned;'"
    nights.hold_back(FULL, Archive("/home", 3, more={harm: b"harmless"}))
    host = FarHost(tmp_path, 'echo Hello; echo No terminal >&2; exec sh -c "$1"')
    back = host.home / "back"
    back.mkdir()
    words = (*WORDS, "db:back", "--ssh", str(host.ssh), "--path", harm, "--path", "dir/f1")
    for mine in ("mine", ".mine", "..mine", "*", "\n"):
        (back / mine).symlink_to("nowhere")
        assert (await nights.run(*words))[0] == Exit.FAILED
        assert nights.said[-1].startswith("db:./back is not empty; name another directory")
        assert nights.codes[-1] == 8013
        (back / mine).unlink()
    (back / "mine").write_text("precious")
    await nights.lines(*words, "--overwrite")
    assert found(back) == {
        "mine": b"precious",
        "dir/f1": HOME.files()["dir/f1"],
        harm: b"harmless",
    }
    assert not list(host.home.glob("**/pwned"))


@pytest.mark.parametrize(
    ("run", "text", "code"),
    [
        (
            'printf "no route\\033[2J\\n" >&2; exit 255',
            "ssh does not reach db: no route\\x1b[2J",
            UNREACHED,
        ),
        ("exit 255", "ssh does not reach db: ssh ended with status 255", UNREACHED),
        ("kill -9 $$", "db does not do what it is told by ssh (signal 9)", UNABLE),
        ("echo This account is closed.; exit 1", "(status 1): This account is closed.", UNABLE),
        ("exec yes", "db says other things than it is asked for", UNREACHED),
        ("exec sleep 1000", "db has not answered within 0.2 s", UNREACHED),
        ("sleep 1000 & wait", "db has not answered within 0.2 s", UNREACHED),
        ("echo taper-far ready 9 closed /bin/tar", "db:./back: it is not writable", 8001),
        ('echo > back; exec sh -c "$1"', "into db:./back: mkdir: cannot create", UNABLE),
        ("echo taper-far ready 9 empty none", "no GNU tar is on db, at /bin/tar", 7006),
        ("echo taper-far ready 9 empty /bin/evil", "no GNU tar is on db, at /bin/tar", 7006),
        (unpacking("echo taper-far absent"), "/tar is not there on db", 7006),
    ],
)
@ensureDeferred
async def test_a_host_where_nothing_can_be_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: str, text: str, code: int
) -> None:
    """Each ends, with a sentence."""
    if "0.2 s" in text:
        monkeypatch.setattr(far, "ANSWER_SECONDS", 0.2)
    nights = Nights(tmp_path).make()
    nights.hold_back(FULL, HOME)
    host = FarHost(tmp_path, run)
    status, _ = await nights.run(*WORDS, "db:back", "--ssh", str(host.ssh))
    assert status == Exit.FAILED
    assert text in nights.said[-1]
    assert nights.codes[-1] == code
    assert not found(host.home).keys() - {"back"}


@ensureDeferred
async def test_words_that_make_no_sense(tmp_path: Path) -> None:
    nights = Nights(tmp_path).make()
    nights.hold_back(FULL, HOME)
    ready = script(tmp_path / "ready", "echo taper-far ready 9 empty /bin/tar")
    for to, ssh, more, text in (
        ("-oProxyCommand=x:y", "ssh", (), "'-oProxyCommand=x' names no host"),
        ("db:", "ssh", (), "names no directory of db"),
        ("db:~/x", "ssh", (), "no shell reads it"),
        ("here", "ssh", (), "--ssh needs a directory of another host"),
        ("db:x", "'", (), "--ssh ': No closing quotation"),
        ("db:x", " ", (), "--ssh names no program"),
        ("db:x", "/no/ssh", (), "cannot run /no/ssh: "),
        ("db:x", str(ready), ("--path", "x" * 60000), "name fewer or shorter paths"),
    ):
        words = (*WORDS[:-1], f"--to={to}", "--ssh", ssh, *more)
        wrong_words = ssh != "/no/ssh"
        assert (await nights.run(*words))[0] == (Exit.USAGE if wrong_words else Exit.FAILED)
        assert text in nights.said[-1]


@ensureDeferred
async def test_a_colon_in_the_name_of_a_directory_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nights = Nights(tmp_path).make()
    nights.hold_back(FULL, HOME)
    monkeypatch.chdir(tmp_path)
    await nights.lines(*WORDS, "./db:back")
    assert found(tmp_path / "db:back") == HOME.files()


@pytest.mark.parametrize(
    ("run", "why"),
    [
        ("head -c 100000 | sh -c \"$1\" | grep --line-buffered begin\n"
         "echo Timeout, server not responding. >&2; exit 255", "server not responding."),
        ('sh -c "$1" | grep --line-buffered begin; exit 0', "ssh ended with status 0"),
        ('echo taper-far begin; kill -9 $$', "ssh ended with signal 9"),
        ('echo Connection refused >&2; exit 255', "does not reach db any more: Connection refused"),
    ],
    ids=["in the middle", "at the end", "at the begin", "before it"],
)  # fmt: skip
@ensureDeferred
async def test_a_connection_that_dies(tmp_path: Path, run: str, why: str) -> None:
    """It is told why; and the next dump is not tried, as it builds on this one."""
    nights = await two_nights(tmp_path)
    host = FarHost(tmp_path, unpacking(run))
    words = (*WORDS, "db:back", "--ssh", str(host.ssh))
    record = await nights.record(*words, exit=Exit.FOUND)
    first, second = record["outcomes"]
    assert (record["whole"], first["whole"], first["checked"], first["files"]) == (
        *(False, False, False),
        None,
    )
    assert why in first["faults"][0]
    assert first["faults"][0].endswith(f"[{named(UNREACHED)}]")
    assert second["faults"] == ["it was not begun"]
    assert host.connections == 2


@ensureDeferred
async def test_a_connection_that_dies_is_no_long_wait(tmp_path: Path) -> None:
    """What nobody takes is not read; and it is told which files cannot be there."""
    nights = Nights(tmp_path).make()
    many = Archive("/home", 200)
    nights.hold_back(FULL, many)
    run = 'head -c 100000 | sh -c "$1" | grep --line-buffered begin\nexit 255'
    host = FarHost(tmp_path, unpacking(run))
    words = (*WORDS, "db:back", "--ssh", str(host.ssh))
    record = await nights.record(*words, exit=Exit.FOUND)
    (outcome,) = record["outcomes"]
    assert any("ssh to db took only" in fault for fault in outcome["faults"])
    behind = outcome["faults"][-1].removeprefix("no file behind ").partition(" ")[0]
    whole = {name for name, data in found(host.home / "back").items() if many.files()[name] == data}
    assert whole <= {f"dir/f{number}" for number in range(int(behind.removeprefix("dir/f")) + 1)}
    assert outcome["read"] < len(many.data(FULL))


@ensureDeferred
async def test_a_tar_that_fails_there(tmp_path: Path) -> None:
    """Its words are shown; the next dump is restored none the less, as here."""
    nights = await two_nights(tmp_path)
    host = FarHost(tmp_path)
    back = host.home / "back"
    back.mkdir()
    (back / "dir").write_text("in the way")
    (back / "late").mkdir()
    (back / "late" / "x").write_text("in the way")
    words = (*WORDS, "db:back", "--overwrite", "--ssh", str(host.ssh))
    said = "\n".join(await nights.lines(*words, exit=Exit.FOUND))
    assert "Level 1: " in said
    assert "late: Cannot open: " in said
    assert f"tar on db ended with status 2 [{named(UNABLE)}]" in said
    assert "NOT ALL was restored" in said
    assert host.connections == 3


def application(nights: Nights, root: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """A held dump of an application that is such a program. :return: its data"""
    directory = root / "applications"
    directory.mkdir()
    script(directory / "amthing", text)
    usual = installation().evolve(application_dir=str(directory))
    monkeypatch.setattr(step, "installation", lambda: usual)
    data = bytes(range(256)) * 16384
    header = Header(
        type=HeaderType.DUMPFILE,
        datestamp=FULL,
        host="localhost",
        disk="/home",
        program="APPLICATION",
        application="amthing",
        recover_cmd="x",
        server_crc=crc_of(data),
    )
    header = evolve(header, disk="/it's\\ $(id)")
    (nights.root / "holding" / FULL).mkdir()
    held = nights.root / "holding" / FULL / "localhost.thing.0"
    held.write_bytes(build_header(header, 32768, None) + data)
    return data


THING = ("restore", "localhost", "/it's\\ $(id)", "--trust", "amthing", "--to")


@ensureDeferred
async def test_an_application(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is run there as it is here, and says what it wants on its outputs."""
    nights = Nights(tmp_path).make()
    text = f"printf '%s\\n' \"$@\" > '{tmp_path}/words'; echo taper-far end 9; cat > data"
    data = application(nights, tmp_path, text, monkeypatch)
    host = FarHost(tmp_path)
    await nights.lines(*THING, "db:a b", "--ssh", str(host.ssh), exit=Exit.WELL)
    assert (host.home / "data").read_bytes() == data
    assert (tmp_path / "words").read_text().splitlines() == [
        *("restore", "--config", "C", "--host", "localhost", "--disk", "/it's\\ $(id)"),
        *("--level", "0", "--target", "./a b"),
    ]


@pytest.mark.parametrize(("status", "whole"), [(0, True), (3, False)])
@ensureDeferred
async def test_a_program_that_does_not_read_to_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, whole: bool
) -> None:
    """If it is content, all is sent there none the less; if it is not, nothing more is."""
    nights = Nights(tmp_path).make()
    text = f"head -c 10 >/dev/null; echo done >&2; exit {status}"
    data = application(nights, tmp_path, text, monkeypatch)
    counted = tmp_path / "counted"
    host = FarHost(tmp_path, unpacking(f"tee '{counted}' 2>/dev/null | sh -c \"$1\""))
    record = await nights.record(
        *(*THING, "db:x", "--ssh", str(host.ssh)), exit=Exit.WELL if whole else Exit.FOUND
    )
    (outcome,) = record["outcomes"]
    assert (outcome["whole"], outcome["checked"]) == (whole, whole)
    if whole:
        assert counted.read_bytes() == data
    else:
        assert outcome["faults"][:2] == [
            "done",
            f"amthing on db ended with status 3 [{named(UNABLE)}]",
        ]


@ensureDeferred
async def test_what_the_dump_is_undone_by_runs_here(tmp_path: Path) -> None:
    """What leaves is the archive itself."""
    nights = Nights(tmp_path).make()
    program = script(tmp_path / "unpack", f"pwd > '{tmp_path}/where'; exec cat")
    packed(nights, program)
    host = FarHost(tmp_path)
    words = ("restore", "localhost", "/packed", "--to", "db:x", "--ssh", str(host.ssh))
    await nights.lines(*words, "--trust", str(program))
    assert found(host.home / "x") == HOME.files()
    assert (tmp_path / "where").read_text().strip() != str(host.home)


@pytest.mark.parametrize("number", [1, 2])
@ensureDeferred
async def test_it_is_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """At once, whatever ssh waits for."""
    nights = Nights(tmp_path).make()
    nights.hold_back(FULL, HOME)
    pid = tmp_path / "pid"
    sleeping = f"echo $$ > '{pid}'; exec sleep 1000"
    host = FarHost(tmp_path, sleeping if number == 1 else unpacking(sleeping))
    begun = works_begun(monkeypatch)
    running = Deferred.fromCoroutine(nights.run(*WORDS, "db:x", "--ssh", str(host.ssh)))
    while not (pid.exists() and pid.read_text().strip()):
        await deferLater(reactor, 0.01, lambda: None)  # type: ignore[arg-type]
    begun[0].leave()
    status, said = await running
    assert status == Exit.INTERRUPTED
    assert "what was restored so far is not whole" in said
    assert not Path(f"/proc/{pid.read_text().strip()}").exists()
