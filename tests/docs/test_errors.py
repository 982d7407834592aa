"""Every error has a code, every code is explained, and none ever means anything else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from twisted.internet.defer import CancelledError
from twisted.python.failure import Failure
from twisted.python.usage import UsageError

from devices import errors as device_errors
from protocols import errorcode
from taper.codes import AREAS, kinds
from taper.people import findings
from tests.docs import errors, raising
from tests.docs.markdown import ROOT

FROZEN = Path(__file__).with_name("error_codes.txt")

MISTAKES = {
    *(AssertionError, AttributeError, NotImplementedError, RuntimeError, TypeError, ValueError),
}
"""Faults of ours: whoever sees one of them sees TAPER-9000."""
SYSTEM = OSError
"""The number of the system's error tells the code."""
OTHERS = {
    CancelledError: "nobody waits any more, which nobody is told",
    Failure: "one of Twisted's around an error that has its own code",
    EOFError: "the end of what a person types, which is caught where it is read",
    KeyboardInterrupt: "a signal ended it",
    UsageError: "of twistd, whose command lines we read; it is told with TAPER-1001",
}
INSIDE = {
    "devices.changers.state._NoRoom": "caught where the state is written",
    "devices.patience.StopSet": "ends a wait; whoever waited says what that means",
    "devices.patience.TimeIsUp": "likewise",
    "devices.s3_client.GivenUp": "told as an S3Error",
    "devices.tape_position.EndOfData": "a place on a tape, and no fault",
    "devices.tape_reading.TooLong": "a record that is read again in another size",
    "protocols.driver.codec._BadValue": "told by the BAD-COMMAND of its line",
    "protocols.greeting.GreetingError": "an answer to the command that came, which goes on itself",
    "protocols.ndmp_server.interfaces.CheckCondition": "a SCSI answer to the client",
    "protocols.ndmp_server.interfaces.Refused": "an NDMP answer to the client",
    "protocols.ndmp_server.interfaces.Unfit": "an NDMP answer to the client",
    "protocols.rendezvous.window.Gone": "an answer to the other end",
    "protocols.status.Refused": "stands in the view of a taper that cannot be watched",
    "protocols.status.StatusError": "likewise",
    "protocols.tracelog.read._NoRow": "a line of a log that tells of no dump",
    "taper.daemon_client.NotServed": "the command goes on by itself",
    "taper.core.errors.Interrupted": "why is told already",
    "taper.core.errors.ScribeTaken": "the way on, and no fault",
    "taper.core.labelling._NotStarted": "told as what it was caused by",
    "taper.core.request._NoStart": "likewise",
    "taper.flow.reactor_side.GivenUp": "nobody waits any more",
    "taper.people.web.pages.NoSuchPage": "a page of the answer 404",
    "taper.people.inspecting.Stopped": "nobody waits any more",
    "taper.plane.pusher._PeerGone": "caught by whoever sends",
    "taper.plane.ring.Left": "the way on, and no fault",
    "taper.plane.ring.Stopped": "the way a stream ends early; why is told by who stopped it",
}
"""Errors that reach no person as what they are, and why."""


@pytest.fixture(scope="module")
def sources() -> raising.Sources:
    return raising.read()


def named(kind: type[BaseException]) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def test_whatever_is_raised_has_a_code(sources: raising.Sources) -> None:
    """A new class says ``taper_code``, or stands among :data:`INSIDE`."""
    found = list(raising.sites(sources))
    assert len(found) > 1000
    without, inside = [], set()
    for site in found:
        if not site.kinds:
            without.append(f"{site.place}: what is raised cannot be found out: {site.words}")
        for kind in site.kinds:
            if isinstance(getattr(kind, "taper_code", None), int):
                continue
            if named(kind) in INSIDE:
                inside.add(named(kind))
            elif kind not in MISTAKES and kind not in OTHERS and not issubclass(kind, SYSTEM):
                without.append(f"{site.place}: {named(kind)} has no taper_code")
    assert without == []
    assert inside == set(INSIDE)


def test_all_codes_are_explained_and_used(sources: raising.Sources) -> None:
    said = set(raising.codes_said(sources))
    said |= set(errorcode._BY_ERRNO.values())
    said |= set(device_errors._CODES_BY_REASON.values()) | set(findings._CODES.values())
    said |= {
        value
        for value in vars(errorcode).values()
        if isinstance(value, int) and value > errorcode.GENERAL
    }
    known = set(kinds())
    assert said - known == set(), "not explained in taper/errors.toml"
    assert known - said == set(), "explained, and nothing has it"


def test_no_code_changes_its_meaning() -> None:
    """A new code is put into the list, and stays there; one that nothing has any more is marked
    with "retired" behind its name."""
    lines = [line.split() for line in FROZEN.read_text().splitlines()]
    assert [int(words[0]) for words in lines] == sorted({int(words[0]) for words in lines})
    assert len({words[1] for words in lines}) == len(lines)
    living = {int(words[0]): words[1] for words in lines if words[2:] != ["retired"]}
    assert {code: kind.name for code, kind in kinds().items()} == living


def test_each_has_all_its_texts() -> None:
    for kind in kinds().values():
        assert kind.code // 1000 * 1000 in AREAS, kind
        assert kind.title[-1] not in ".!?", kind.title
        for text in (kind.meaning, kind.cause, kind.remedy):
            assert len(text) > 10, kind
            assert "\n" not in text, kind
        assert kind.meaning.endswith("."), kind
        assert kind.cause.endswith("."), kind


def test_the_page_is_as_the_table_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """``python -m tests.docs.errors --write`` makes it so."""
    assert errors.main([]) == 0
    text = errors.PAGE.read_text()
    for kind in kinds().values():
        assert text.count(f'<a id="{kind.label}"></a>') == 1
    assert text.count("\n### ") == text.count("\nCause: ") == text.count("\nRemedy: ")
    assert text.count("\n### ") == len(kinds())
    monkeypatch.setattr(errors, "PAGE", tmp_path / "errors.md")
    (tmp_path / "errors.md").write_text(text.replace("TAPER-1001", "TAPER-1002"))
    assert errors.main([]) == 1
    assert "errors --write" in capsys.readouterr().out
    assert errors.main(["--write"]) == 0
    assert (tmp_path / "errors.md").read_text() == text


def test_explain() -> None:
    """For people, and without a configuration."""

    def explain(*codes: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [sys.executable, "-m", "taper.ctl", "explain", *codes],
            capture_output=True,
            text=True,
            cwd=ROOT,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    status, told, _ = explain("TAPER-8002", "[taper-1030]")
    assert status == 0
    assert told.startswith("TAPER-8002: A disk is full\n")
    assert "\nRemedy: Set part-size in tapetype TAPETYPE, to about SIZE.\n" in told
    assert max(map(len, told.splitlines())) <= 80
    status, told, _ = explain()
    assert (status, len(told.splitlines())) == (0, len(kinds()))
    status, told, said = explain("8002", "TAPER-1")
    assert (status, told) == (1, "")
    assert said.startswith("taperctl: 'TAPER-1' is none of our codes")
    assert said.endswith(" [TAPER-1001]\n")
