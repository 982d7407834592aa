"""Every fenced block of the README and of docs is accounted for: run, parsed, or compared.

What stands behind the language of a block says how. A block that nothing here knows is a fault.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from protocols.conf import load
from taper import ctl
from taper.people.commands import COMMANDS as PEOPLE
from taper.tapeserver.service import ServerOptions
from taper.tapeserver.settings import read_settings
from tests.bench import __main__ as bench
from tests.docs.machine import TAPER, Machine
from tests.docs.markdown import ROOT, Block, blocks, documents, name_of, prose
from tests.docs.stages import STAGES, acted, plain, told
from tests.namespace import missing

BIN = Path(sys.prefix) / "bin"
SECONDS = 1200

KNOWN = {
    "sh demo": "run here; it makes no change but in temporary directories",
    "sh install": "run on a machine of our own, where nothing is installed",
    "sh machine": "run on that machine after it",
    "sh tutorial": "run on that machine, those of a document one after another, as one session",
    "sh daemon": "started there, talked to, and ended",
    "sh pytest": "run here, but the tests are only collected",
    "sh make": "make says what it would do, and the arguments are parsed",
    "sh towncrier": "run here",
    "sh listing": "not run: system packages, and paths that are not Debian's; arguments are parsed",
    "text output": "compared with what the block before it said",
    "text": "a picture or a form, for people",
    "text bytes": "made and read by tests/docs/test_rendezvous.py",
    "python program": "run there",
    "conf": "parsed as amanda.conf",
    "ini settings": "read as the tape server's settings",
    "sh server": "not run: the tape server of those settings; arguments are parsed",
    "sh systemd": "not run: there is no systemd; the units are those that we have",
}


def kind(block: Block) -> str:
    return f"{block.language} {block.mark}".strip()


def all_blocks() -> list[Block]:
    """Those of the README and of docs; of docs/facts the README only."""
    found = []
    for path in documents():
        if path.parent.name != "facts" or path.name == "README.md":
            found += blocks(name_of(path), path.read_text())
    return found


def blocks_of(*kinds: str) -> list[Block]:
    return [block for block in all_blocks() if kind(block) in kinds]


def place(block: Block) -> str:
    return f"{block.document}:{block.line}"


def with_output(*kinds: str) -> list[tuple[Block, Block | None]]:
    """Blocks, each with the block behind it that says what it prints."""
    found = all_blocks()
    pairs = []
    for block, following in zip(found, [*found[1:], None], strict=True):
        if kind(block) in kinds:
            told = following is not None and kind(following) == "text output"
            pairs.append((block, following if told else None))
    return pairs


def compare(output: Block | None, said: str) -> None:
    """Every line that the document promises was said, in that order; ``...`` is anything."""
    if output is None:
        return
    position = 0
    for line in output.text.splitlines():
        pattern = ".*".join(re.escape(piece) for piece in line.split("..."))
        found = re.compile(f"^{pattern}$", re.MULTILINE).search(said, position)
        assert found is not None, f"{place(output)}: {line!r} is not in what was said:\n{said}"
        position = found.end()


def lines_of(block: Block) -> list[list[str]]:
    return [shlex.split(line, comments=True) for line in block.text.splitlines() if line.strip()]


def run(*command: str) -> str:
    """Run a command in the tree; it must succeed. :return: what it said"""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")
    }
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**environment, "VENV": sys.prefix},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, f"{command}:\n{done.stdout}"
    return done.stdout


# All are known


def test_every_block_is_accounted_for() -> None:
    """Nobody can add a command that no test executes."""
    unknown = [
        f"{place(block)}: {kind(block)!r}" for block in all_blocks() if kind(block) not in KNOWN
    ]
    assert unknown == []
    assert {kind(block) for block in all_blocks()} == set(KNOWN)


def test_output_follows_commands() -> None:
    """A block of output belongs to one that was run."""
    run_kinds = ("sh demo", "sh install", "sh machine", "sh tutorial")
    outputs = [output for _, output in with_output(*run_kinds) if output is not None]
    assert outputs == blocks_of("text output")


def test_facts_have_no_commands() -> None:
    """What is fenced there was recorded."""
    for path in (ROOT / "docs" / "facts").glob("*.md"):
        for block in blocks(name_of(path), path.read_text()):
            assert block.language in ("", "text"), place(block)


def test_no_block_is_made_by_indenting() -> None:
    """It would escape."""
    for path in documents():
        before = ""
        for number, line in prose(path.read_text()):
            assert before or not line.startswith("    "), f"{name_of(path)}:{number}"
            before = line.strip()


def test_commands_within_the_text() -> None:
    """Targets of make, commands of taperctl and modules that are named in passing are there."""
    makefile = (ROOT / "Makefile").read_text()
    seen = 0
    for path in documents():
        for _, line in prose(path.read_text()):
            for program, *words in map(str.split, re.findall(r"`([^`]+)`", line)):
                if not words:
                    continue
                if program == "make":
                    assert re.search(rf"^{words[0]}:", makefile, re.MULTILINE), line
                elif program == "taperctl" and len(words) == 1 and words[0] in PEOPLE:
                    pass  # the command is meant, without what it is given
                elif program == "taperctl":
                    ctl._parser().parse_args(words)
                elif program == "python" and words[0] == "-m":
                    assert (ROOT / f"{words[1].replace('.', '/')}.py").exists(), line
                else:
                    continue
                seen += 1
    assert seen >= 5


def test_the_parts_that_are_cut_lose_no_file() -> None:
    """Nobody would notice a file of tests that no part runs."""
    said = subprocess.run(
        ["make", "-n", "test-nights", "test-any-taper"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=SECONDS,
    ).stdout
    patterns = re.findall(r"tests/\w+/test_\[\S+\*\.py", said)
    found = sorted(path for pattern in patterns for path in ROOT.glob(pattern))
    names = ("conformance", "system")
    assert found == sorted(path for name in names for path in ROOT.glob(f"tests/{name}/test_*.py"))


# Here


def test_the_demo() -> None:
    """It runs, and ends as the README says."""
    ((block, output),) = with_output("sh demo")
    said = "".join(run(*words) for words in lines_of(block))
    compare(output, said)


@pytest.mark.parametrize("block", blocks_of("sh make"), ids=place)
def test_what_make_would_do(block: Block) -> None:
    """The target is there, and what is passed on is understood."""
    for make, target, *settings in lines_of(block):
        assert make == "make"
        assert run(make, "--dry-run", "--always-make", target, *settings)
        for setting in settings:
            name, _, value = setting.partition("=")
            words = shlex.split(value)
            if name == "BENCH":
                bench.parse(words)
            else:
                assert name == "PYTEST"
                run(sys.executable, "-m", "pytest", "--version", *words)


@pytest.mark.parametrize("block", blocks_of("sh pytest"), ids=place)
def test_what_pytest_would_run(block: Block) -> None:
    """Paths and options are good; where no taper need be made ready for it, there are tests."""
    for program, *words in lines_of(block):
        assert program == ".venv/bin/pytest"
        assert os.path.exists(ROOT / words[0])
        if "--taper" in words:  # collecting would install one for the dump user
            assert {".venv/bin/taper", TAPER} >= set(values_of("--taper", words))
            run(sys.executable, "-m", "pytest", "--version", *words)
            continue
        said = run(sys.executable, "-m", "pytest", "--collect-only", "-q", *words)
        assert re.search(r"^[1-9]\d*(/\d+)? tests? collected", said, re.MULTILINE), said


def values_of(option: str, words: list[str]) -> list[str]:
    """What stands behind each place of an option."""
    return [value for name, value in pairwise(words) if name == option]


@pytest.mark.parametrize("block", blocks_of("sh towncrier"), ids=place)
def test_the_changelog(block: Block) -> None:
    """The fragments make a changelog, each under its heading; nothing is written."""
    ((program, *words),) = lines_of(block)
    assert program == ".venv/bin/towncrier"
    assert "--draft" in words
    said = run(str(BIN / "towncrier"), *words)
    fragments = [path for path in (ROOT / "docs" / "changes").iterdir() if path.name[0] == "+"]
    for fragment in fragments:
        assert fragment.suffixes[-2] in (".safety", ".feature", ".fix", ".misc"), fragment.name
        first = " ".join(fragment.read_text().split())[:40]
        assert first in " ".join(said.split()), fragment.name


@pytest.mark.parametrize("block", blocks_of("sh listing"), ids=place)
def test_what_is_not_run(block: Block) -> None:
    """System packages, and our own command with paths that are not here."""
    for sudo, program, *words in lines_of(block):
        assert sudo == "sudo"
        if program == "apt-get":
            assert words[0] == "install"
            assert all(re.fullmatch(r"[a-z0-9.+-]+", word) for word in words[1:])
        else:
            assert program == "/opt/taper/bin/taperctl"
            ctl._parser().parse_args(words)


@pytest.mark.parametrize("block", blocks_of("conf"), ids=place)
def test_configuration(block: Block) -> None:
    """It is read without a complaint."""
    loaded = load("C", {"/etc/amanda/C/amanda.conf": block.text.encode()}.get)
    assert loaded.messages == ()


@pytest.mark.parametrize("block", blocks_of("ini settings"), ids=place)
def test_settings_of_a_tape_server(block: Block, tmp_path: Path) -> None:
    """They are good where the accounts are; nothing is listened on."""
    accounts = tmp_path / "accounts"
    accounts.write_text("NAME:PASSWORD\n")
    accounts.chmod(0o600)
    path = tmp_path / "conf"
    path.write_text(block.text.replace("/etc/amanda/ndmp-accounts", str(accounts)))
    settings = read_settings(str(path))
    assert all(library.drives for library in settings.libraries)
    assert settings.libraries


@pytest.mark.parametrize("block", blocks_of("sh server"), ids=place)
def test_commands_of_a_tape_server(block: Block) -> None:
    """Both programs, and one set of options."""
    for program, *words in lines_of(block):
        assert program in ("taper", "twistd")
        options: Any = ServerOptions()  # type: ignore[no-untyped-call]
        options.parseOptions(words[words.index("ndmp-tape") + 1 :])
        assert options["config"]


@pytest.mark.parametrize("block", blocks_of("sh systemd"), ids=place)
def test_units_of_systemd(block: Block) -> None:
    """Those that are named are there; tests/run/test_systemd.py looks into them."""
    units = ROOT / "packaging" / "systemd"
    for program, *words in lines_of(block):
        if program == "cp":
            *sources, target = words
            assert target == "/etc/systemd/system/"
            assert all((ROOT / source).parent == units for source in sources)
        else:
            assert program == "systemctl"
            action, *_ = words
            assert action in ("daemon-reload", "enable", "disable", "restart")
        named = [Path(word).name for word in words if word.endswith((".service", ".socket"))]
        assert named or words == ["daemon-reload"]
        assert all((units / name).exists() for name in named)


# On a machine of our own

_REASON = missing(TAPER, "/usr/bin/dpkg-divert", "/usr/sbin/runuser", "/usr/bin/python3")
on_a_machine = pytest.mark.skipif(_REASON is not None, reason=_REASON or "")
NO_INDEX = re.compile(r"No matching distribution|NewConnectionError|Could not fetch URL")


@pytest.fixture(scope="module")
def installed() -> Iterator[tuple[Machine, str]]:
    """A machine on which both tapers have run a night, and what the README's commands said."""
    with closing(Machine()) as machine:
        machine.hold_a_night("20200101000000")
        (block,) = blocks_of("sh install")
        done = machine.script(block.text)
        if done.returncode and NO_INDEX.search(done.stdout):
            pytest.skip("pip reaches no package index")
        assert done.returncode == 0, f"{place(block)}:\n{done.stdout}"
        machine.hold_a_night("20200102000000")
        yield machine, done.stdout


@pytest.fixture
def machine(installed: tuple[Machine, str]) -> Machine:
    """Ours is in place."""
    done = installed[0].script("/opt/taper/bin/taperctl install")
    assert done.returncode == 0, done.stdout
    return installed[0]


@on_a_machine
def test_the_installation(installed: tuple[Machine, str]) -> None:
    """It says what the README says."""
    ((_, output),) = with_output("sh install")
    compare(output, installed[1])


@on_a_machine
@pytest.mark.parametrize(
    ("block", "output"),
    with_output("sh machine"),
    ids=[place(block) for block, _ in with_output("sh machine")],
)
def test_on_the_machine(machine: Machine, block: Block, output: Block | None) -> None:
    """Each block where ours is installed and in place, and both have run."""
    done = machine.script(block.text)
    assert done.returncode == 0, f"{place(block)}:\n{done.stdout}"
    assert done.stdout
    compare(output, done.stdout)


@on_a_machine
@pytest.mark.parametrize("document", sorted({it.document for it in blocks_of("sh tutorial")}))
def test_sessions(installed: tuple[Machine, str], document: str) -> None:
    """Command after command, word for word, but for names of what is simulated or borrowed; each
    says what is shown."""
    machine = installed[0]
    steps = [step for step in with_output("sh tutorial") if step[0].document == document]
    border = "end of a step of the tutorial"
    script = f"\necho '{border}'\n".join(block.text for block, _ in steps)
    with STAGES.get(document, plain)(machine, document) as names:
        done = machine.script(acted(names, script))
    said = told(names, done.stdout).split(f"{border}\n")
    assert done.returncode == 0, f"{place(steps[len(said) - 1][0])}:\n{said[-1]}"
    for (_, output), text in zip(steps, said, strict=True):
        compare(output, text)


@on_a_machine
@pytest.mark.parametrize("block", blocks_of("sh daemon"), ids=place)
def test_the_daemon(machine: Machine, block: Block) -> None:
    """A driver connects, is served, and a signal ends it all."""
    (words,) = lines_of(block)
    door = machine.path(words[-1].removeprefix("unix:"))
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            machine.command_of_root(*words),
            env=machine.environment_of_root,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            while not _served_at(door):
                if process.poll() is not None:
                    said.seek(0)
                    raise AssertionError(said.read())
                time.sleep(0.05)
            os.kill(_last_child_of(process.pid), signal.SIGTERM)
            process.wait(SECONDS)
            assert not _served_at(door)
            # it stopped in good order; nobody but root can take a socket out of /run
            assert door.exists() is (door.parent.owner() == "root")
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _served_at(door: Path) -> bool:
    """A driver that says QUIT is let go; False: nobody is at the door yet."""
    with socket.socket(socket.AF_UNIX) as driver:
        driver.settimeout(SECONDS)
        try:
            driver.connect(str(door))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        driver.sendall(b"QUIT\n")
        assert driver.recv(1) == b""
    return True


def _last_child_of(pid: int) -> int:
    """The taper below the programs that started it."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return _last_child_of(int(children[0])) if children else pid
