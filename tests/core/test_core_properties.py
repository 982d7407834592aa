"""Random dumps on random volumes, and random commands at random moments."""

from __future__ import annotations

from typing import Any

from attrs import frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.driver import replies
from tests.core.checking import check_closed, check_dump, check_permissions
from tests.core.conversing import (
    HANDLE,
    RUN,
    START,
    WORKER,
    Conversation,
    content,
    file_write,
    port_write,
)
from tests.core.stocked import Tape
from tests.core.surroundings import Dumped

BLOCK = 200


class Faults:
    """Device calls fail by their number."""

    def __init__(self, numbers: set[int]) -> None:
        self._numbers = numbers
        self._count = 0

    def __call__(self, what: str) -> bool:
        self._count += 1
        return self._count in self._numbers


@frozen
class Situation:
    """One dump and the volumes it finds."""

    port: bool
    size: int
    pieces: tuple[int, ...]
    split: str
    leom: bool
    blocks: list[int | None]
    warning: int
    behind: bool
    faults: set[int]
    shared: bool
    source_error: str
    grants: int
    result: str


SPLITS = st.one_of(
    st.sampled_from(
        ['"" "" "" "" "" "" "" ""', '"" "" "" 0 "" "" "" ""', '"" "" "" 1 "" "" "" ""']
    ),
    st.builds(
        lambda size, cache, limit: f'"" "" "" 1 {size} {cache} "" {limit}',
        st.integers(1, 12 * BLOCK),
        st.sampled_from(['""', "none", "memory", "disk"]),
        st.sampled_from(['""', "0", "150", "1000"]),
    ),
    st.builds(
        lambda size, fallback: f'{size} "" {fallback} 1 "" "" "" ""',
        st.integers(0, 12 * BLOCK),
        st.sampled_from(['""', "0", "500"]),
    ),
)

SITUATIONS = st.builds(
    Situation,
    port=st.booleans(),
    size=st.one_of(st.integers(0, 30).map(lambda n: n * BLOCK), st.integers(0, 30 * BLOCK)),
    pieces=st.lists(st.integers(1, 3 * BLOCK), min_size=1, max_size=3).map(tuple),
    split=SPLITS,
    leom=st.booleans(),
    blocks=st.lists(st.one_of(st.none(), st.integers(2, 25)), min_size=1, max_size=6),
    warning=st.integers(0, 4),
    behind=st.booleans(),
    faults=st.sets(st.integers(1, 60), max_size=3),
    shared=st.booleans(),
    source_error=st.sampled_from(["", "", "", "the disk is bad"]),
    grants=st.integers(0, 9),
    result=st.sampled_from(["DONE", "FAILED"]),
)


def talk_of(situation: Situation) -> tuple[Conversation, bytes]:
    data = content(situation.size)
    faults = Faults(situation.faults)
    dumped = Dumped(data, pieces=situation.pieces, source_error=situation.source_error)
    tapes = [
        Tape(
            None if blocks is None else blocks * BLOCK,
            block_size=BLOCK,
            leom=situation.leom,
            warning=situation.warning,
            shared=situation.shared,
            behind=situation.behind,
            faults=faults,
        )
        for blocks in situation.blocks
    ]
    talk = Conversation(*tapes, granting=False, dumps={"HF": dumped}, dumpers=[dumped])
    return talk, data


@settings(max_examples=250)
@given(SITUATIONS)
def test_what_is_told_is_stored(situation: Situation) -> None:
    """DONE only for all of the source; never more told than stored; one end; all given back."""
    talk, data = talk_of(situation)
    talk.say(START)
    make = port_write if situation.port else file_write
    talk.say(make(split=situation.split))
    grants = situation.grants
    for _ in range(60):
        last = talk.driver.replies[-1]
        if isinstance(last, replies.RequestNewTape):
            word = "NEW-TAPE" if grants else "NO-NEW-TAPE"
            reason = "" if grants else " enough"
            grants -= 1
            talk.say(f"{word} {WORKER} {HANDLE}{reason}")
        elif isinstance(last, replies.DumperStatus):
            fields = " 7 1:1 2:2 00000000:0" if situation.result == "DONE" else ""
            talk.say(f"{situation.result} {WORKER} {HANDLE}{fields}")
        else:
            break
    disk = "/var" if situation.port else "/home"
    word = check_dump(talk, HANDLE, data, disk)
    check_permissions(talk)
    labels = [tape.medium.label for tape in talk.tapes.values() if tape.medium.label is not None]
    assert len(labels) == len(set(labels)), "one label on two volumes"
    well = not situation.faults and not situation.source_error and situation.grants == 9
    if well and None in situation.blocks[:1]:
        assert word == "DONE"
    if word == "DONE":
        assert not situation.source_error
        assert talk.words().count("READY") == 1
    talk.quit()
    talk.check_sound()


WORKERS = st.sampled_from([WORKER, WORKER, "worker0-1", "worker0-2", "worker9-9"])
HANDLES = st.sampled_from([HANDLE, HANDLE, "01-00002", "02-00003"])
DATA = content(9 * BLOCK + 50)
PARTS = '"" "" "" 1 600 "" "" ""'


def _line(name: str, worker: str, handle: str, other: str) -> str:
    return {
        "START-TAPER": f"START-TAPER taper0 {worker} PROTO {RUN}",
        "FILE-WRITE": file_write("HF", handle, PARTS, worker).replace("/home", f"/{handle}"),
        "PORT-WRITE": port_write(handle, PARTS, worker).replace("/var", f"/{handle}"),
        "START-SCAN": f"START-SCAN {worker} {handle}",
        "NEW-TAPE": f"NEW-TAPE {worker} {handle}",
        "NO-NEW-TAPE": f"NO-NEW-TAPE {worker} {handle} no",
        "TAKE-SCRIBE-FROM": f"TAKE-SCRIBE-FROM {worker} {handle} {other}",
        "DONE": f"DONE {worker} {handle} 1 1:1 2:2 00000000:0",
        "FAILED": f"FAILED {worker} {handle}",
        "CLOSE-VOLUME": f"CLOSE-VOLUME {worker}",
        "CLOSE-SOURCE-VOLUME": f"CLOSE-SOURCE-VOLUME {worker}",
        "GARBAGE": "GARBAGE",
    }[name]


NAMES = (
    ["START-TAPER"] * 2
    + ["FILE-WRITE", "PORT-WRITE", "START-SCAN"]
    + ["NEW-TAPE"] * 3
    + ["NO-NEW-TAPE", "TAKE-SCRIBE-FROM", "TAKE-SCRIBE-FROM", "DONE", "FAILED"]
    + ["CLOSE-VOLUME", "CLOSE-SOURCE-VOLUME", "GARBAGE"]
)
COMMANDS = st.builds(_line, st.sampled_from(NAMES), WORKERS, HANDLES, WORKERS)
# what a driver would say next, which leads further than chance
FITTING = st.just("fitting")
STEPS = st.lists(st.integers(0, 3), min_size=1, max_size=12)
ACTIONS = st.lists(st.one_of(COMMANDS, FITTING, FITTING, STEPS, STEPS, STEPS), max_size=50)


def _fitting(talk: Conversation) -> str:
    """The answer to the last question that was asked."""
    for reply in reversed(talk.driver.replies):
        if isinstance(reply, replies.RequestNewTape):
            return f"NEW-TAPE {reply.worker} {reply.handle}"
        if isinstance(reply, replies.DumperStatus):
            return f"DONE {reply.worker} {reply.handle} 1 1:1 2:2 00000000:0"
        if isinstance(reply, replies.TaperOk):
            return file_write("HF", HANDLE, PARTS, reply.worker).replace("/home", f"/{HANDLE}")
    return START if not talk.commands else f"START-TAPER taper0 worker0-1 PROTO {RUN}"


# what went before: by worker, its first commands, each followed by all that it leads to
BEFORE = st.lists(
    st.sampled_from(["START", "START write", "START port", "START write grant"]), max_size=3
)


def _begin(talk: Conversation, before: list[str]) -> None:
    for number, words in enumerate(before):
        worker, handle = f"worker0-{number}", f"0{number}-0000{number + 1}"
        talk.say(_line("START-TAPER", worker, handle, WORKER))
        for word in words.split(" ")[1:]:
            name = {"write": "FILE-WRITE", "port": "PORT-WRITE", "grant": "NEW-TAPE"}[word]
            talk.say(_line(name, worker, handle, WORKER))


@settings(max_examples=250)
@given(BEFORE, ACTIONS, st.lists(st.integers(6, 30), min_size=3, max_size=8))
def test_any_commands_at_any_moment(
    before: list[str], actions: list[Any], blocks: list[int]
) -> None:
    """The controller neither dies nor hangs: after QUIT all is given back, and it says so."""
    silent = Dumped(DATA, silent={"header"})
    late = Dumped(DATA, silent={"data"})
    dumpers = [Dumped(DATA), silent, Dumped(DATA), late, *(Dumped(DATA) for _ in range(70))]
    tapes = [
        Tape(n * BLOCK, block_size=BLOCK, warning=1, leom=n % 2 == 0, behind=n % 3 > 0)
        for n in blocks
    ]
    talk = Conversation(*tapes, granting=False, dumps={"HF": Dumped(DATA)}, dumpers=dumpers)
    overwritten: list[Any] = []
    for tape in tapes:
        tape.at_label = lambda label, stamp: overwritten.append((label, stamp))
    _begin(talk, before)
    for action in actions:
        if isinstance(action, list):
            for which in action:
                if places := talk.moments.lanes():
                    talk.moments.step(places[which % len(places)])
        else:
            talk.tell(_fitting(talk) if action == "fitting" else action)
    talk.quit()
    talk.check_sound()
    # every volume was blank, and each is written once in a run
    assert all(label is None for label, _ in overwritten)
    _check_ends(talk)
    check_closed(talk)


def _check_ends(talk: Conversation) -> None:
    """Each write that was not refused has one end, of which the trace log says the same."""
    begun = sum(origin.begun for origin in talk.origins.made)
    told = [r for r in talk.driver.replies if isinstance(r, ENDS)]
    refused = [r for r in talk.driver.lines if r.startswith("BAD-COMMAND")]
    assert begun <= len(told) <= len(talk.origins.made)
    assert len(talk.origins.made) - len(told) <= len(refused)
    logged = talk.logged("DONE") + talk.logged("PARTIAL") + talk.logged("FAIL")
    assert len(logged) == len(told)


ENDS = (replies.Done, replies.Partial, replies.Failed)
