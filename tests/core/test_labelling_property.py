"""The invariant at the moment of labelling: an active volume is never overwritten.

Somebody else changes the tapelist between the scan and the labelling, and volumes are exchanged
in their slots; whatever label dies is judged by a plain model of which volumes are active.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import evolve
from hypothesis import example, given, settings
from hypothesis import strategies as st

from protocols.driver import replies
from protocols.tapelist import Tapelist, TapelistEntry
from tests.core.conversing import RUN, START, Conversation, configuration, content, file_write
from tests.core.stocked import Tape
from tests.core.surroundings import Dumped

BLOCK = 200
LABELS = [f"PROTO{number:02d}" for number in range(1, 6)]
STAMPS = ["0", "20250101000000", "20250202000000", "20250303000000", "20260531000000", RUN]

ENTRIES = st.builds(
    TapelistEntry,
    datestamp=st.sampled_from(STAMPS),
    label=st.sampled_from(LABELS),
    reuse=st.sampled_from([True, True, True, False]),
    pool=st.sampled_from(["PROTO", "PROTO", "PROTO", None, "other"]),
    storage=st.sampled_from(["PROTO", None]),
    config=st.sampled_from(["PROTO", "PROTO", None, "other"]),
    barcode=st.sampled_from([None, None, "B1", "B2"]),
)
TAPELISTS = st.lists(ENTRIES, max_size=6, unique_by=lambda entry: entry.label).map(Tapelist.of)
Meddling = Callable[[Tapelist], Tapelist]


def _wrote(label: str) -> Meddling:
    """Another run wrote the volume."""

    def change(tapelist: Tapelist) -> Tapelist:
        entry = tapelist.lookup(label) or TapelistEntry(datestamp="1", label=label, pool="PROTO")
        return tapelist.replacing(evolve(entry, datestamp="20260531235959"))

    return change


def _marked(label: str) -> Meddling:
    """amadmin no-reuse."""

    def change(tapelist: Tapelist) -> Tapelist:
        entry = tapelist.lookup(label)
        return tapelist if entry is None else tapelist.replacing(entry.no_reuse())

    return change


def _removed(label: str) -> Meddling:
    """amrmtape: what was newer makes room for older ones to count."""
    return lambda tapelist: tapelist.removing(label)


MEDDLINGS = st.sampled_from([_wrote, _marked, _removed]).flatmap(
    lambda kind: st.sampled_from(LABELS).map(kind)
)


def active(tapelist: Tapelist, label: str, tapecycle: int) -> bool:
    """Whether the volume must be kept: by mark, owner, this run, or the number of newer ones."""
    entry = tapelist.lookup(label)
    if entry is None:
        return True  # a label of ours that the tapelist does not know
    if not entry.reuse or entry.datestamp == RUN:
        return True
    if entry.pool not in (None, "PROTO") or entry.config not in (None, "PROTO"):
        return True
    if entry.datestamp == "0":
        return False
    mine = [
        other
        for other in tapelist.entries
        if other.reuse and other.datestamp != "0" and other.pool in (None, "PROTO")
    ]
    surely_newer = [other for other in mine if other.datestamp > entry.datestamp]
    foreign = [other for other in surely_newer if other.config not in (None, "PROTO")]
    # who counts when other configs write into our pool is retention's business, not ours here
    return not foreign and len(surely_newer) + 1 <= tapecycle - 1 and _alone(mine, entry)


def _alone(mine: list[TapelistEntry], entry: TapelistEntry) -> bool:
    """No other volume was written at the same moment: the order is plain."""
    return sum(other.datestamp == entry.datestamp for other in mine) == 1


BOTH = Tapelist.of([TapelistEntry(datestamp="0", label="PROTO01", pool="PROTO")])


@settings(max_examples=250)
@example(
    # two volumes of one label, and somebody changes the entry of the first after we wrote it
    tapelist=BOTH,
    tapecycle=1,
    slots=["PROTO01", "PROTO01"],
    barcodes=[None] * 4,
    meddlings=[(number, _wrote("PROTO01")) for number in (15, 16, 17, 18)],
    exchanges=[],
    algorithm="traditional",
)
@example(
    # somebody takes our new label from the tapelist: it must not be given a second time
    tapelist=Tapelist.of([]),
    tapecycle=1,
    slots=[None, None],
    barcodes=[None] * 4,
    meddlings=[(number, _removed("PROTO01")) for number in (14, 17, 20, 23)],
    exchanges=[],
    algorithm="traditional",
)
@given(
    tapelist=TAPELISTS,
    tapecycle=st.integers(1, 4),
    slots=st.lists(st.sampled_from([*LABELS, None, "ALIEN"]), min_size=1, max_size=4),
    barcodes=st.lists(st.sampled_from([None, "B1", "B2"]), min_size=4, max_size=4),
    meddlings=st.lists(st.tuples(st.integers(0, 40), MEDDLINGS), max_size=4),
    exchanges=st.lists(st.tuples(st.integers(0, 40), st.sampled_from(LABELS)), max_size=2),
    algorithm=st.sampled_from(["traditional", "lexical", "oldest"]),
)
def test_an_active_volume_never_dies(
    tapelist: Tapelist,
    tapecycle: int,
    slots: list[str | None],
    barcodes: list[str | None],
    meddlings: list[tuple[int, Meddling]],
    exchanges: list[tuple[int, str]],
    algorithm: str,
) -> None:
    """Judged by the tapelist as it was when its lock was last held."""
    tapes = [
        Tape(
            6 * BLOCK,
            label=label,
            timestamp=_stamp_of(tapelist, label),
            barcode=barcode,
            block_size=BLOCK,
            warning=1,
        )
        for label, barcode in zip(slots, barcodes, strict=False)
    ]
    talk = Conversation(
        *tapes,
        entries=reversed(tapelist.entries),
        config=configuration(tapecycle=tapecycle),
        dumps={"HF": Dumped(content(9 * BLOCK))},
        algorithm=algorithm,
    )
    dead: list[str] = []
    wrong: list[tuple[str, Tapelist]] = []

    def judge(label: str | None, stamp: str | None) -> None:
        if label is not None and label != "ALIEN":
            dead.append(label)
            if active(talk.tapelists.judged, label, tapecycle):
                wrong.append((label, talk.tapelists.judged))

    for tape in tapes:
        tape.at_label = judge
    _run(talk, meddlings, exchanges)
    talk.quit()
    talk.check_sound()
    assert not wrong
    assert len(dead) == len(set(dead)), "written twice in one run"
    told = [reply.label for reply in talk.driver.replies if isinstance(reply, replies.NewTape)]
    assert len(told) == len(set(told)), "a label was given twice"


def _stamp_of(tapelist: Tapelist, label: str | None) -> str | None:
    entry = None if label is None else tapelist.lookup(label)
    if entry is None:
        return None if label is None else "20240101000000"
    return "X" if entry.datestamp == "0" else entry.datestamp


def _run(
    talk: Conversation, meddlings: list[tuple[int, Meddling]], exchanges: list[tuple[int, str]]
) -> None:
    """The conversation, with somebody else at work before some of its steps."""
    talk.tell(START)
    wrote = False
    for number in range(400):
        for when, change in meddlings:
            if when == number:
                store = talk.tapelists.store
                store.tapelist = change(store.tapelist)
        for when, label in exchanges:
            # until the last look at the medium, that is; then it is in our drive
            if when == number and "read_label" not in talk.moments.done:
                talk.tapes["1"].medium.label = label
        if not talk.step():
            if wrote or not talk.driver.replies:
                return
            if isinstance(talk.driver.replies[-1], replies.TapeError):
                return
            wrote = True
            talk.tell(file_write(split='"" "" "" 1 400 "" "" ""'))
    # the driver of this test grants for ever
    talk.granting = False
    talk.settle()
