"""Which volumes are still needed."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.catalog import DumpCopy, DumpsTold, by_disk
from protocols.commandfile import Command
from protocols.conf import AutoLabel, LabelStr, Policy, Storage
from protocols.tapelist import Tapelist, TapelistEntry, parse_tapelist
from taper.core.retention import Kept, Retention
from tests.fakes.config import make_config

NOW = datetime(2026, 11, 23, 12)


def stamp(days_ago: float) -> str:
    return (NOW - timedelta(days=days_ago)).strftime("%Y%m%d%H%M%S")


def storage(name: str = "S", pool: str = "P", policy: str = "K", **changes: object) -> Storage:
    values = {"labelstr": LabelStr("^[A-Z]"), "autolabel": AutoLabel(template="$c-%%")} | changes
    return Storage(name, tapepool=pool, policy=policy, **values)


def keep(**rules: int) -> Policy:
    return Policy("K", **{f"retention_{name}": value for name, value in rules.items()})


def listed(*labels_and_days: tuple[str, float], **fields: object) -> Tapelist:
    """Volumes of pool P and how many days ago they were written."""
    return Tapelist.of(
        TapelistEntry(
            **{"datestamp": stamp(days), "label": label, "pool": "P", **fields}  # type: ignore[arg-type]
        )
        for label, days in labels_and_days
    )


def rules_over(
    tapelist: Tapelist,
    policy: Policy,
    *storages: Storage,
    dumps: tuple[DumpsTold, ...] = (),
    commands: tuple[Command, ...] = (),
    unread: tuple[str, ...] = (),
) -> Retention:
    config = make_config(policy, *(storages or (storage(),)), tapecycle=3)
    return Retention(
        config,
        tapelist,
        stamp_days_ago=stamp,
        dumps=by_disk(dumps),
        commands=commands,
        unread=unread,
    )


def retained(retention: Retention) -> dict[str, str]:
    reasons = {
        entry.label: retention.retained_by(entry.label) for entry in retention.tapelist.entries
    }
    return {label: reason for label, reason in reasons.items() if reason}


def dump(
    days: float, *labels: str, level: int = 0, disk: str = "/", done: bool = True
) -> DumpsTold:
    """A dump so many days old, on volumes written at the same time."""
    volumes = frozenset((label, stamp(days)) for label in labels)
    return {DumpCopy(stamp(days), level, volumes, done): (("h", disk),)}


FIVE = listed(("A", 0), ("B", 1), ("C", 2), ("D", 4), ("E", 9))


def test_the_newest_volumes_are_kept() -> None:
    """As many as retention-tapes says; unset it is tapecycle - 1, and 0 turns the rule off."""
    assert retained(rules_over(FIVE, keep(tapes=3))) == dict.fromkeys("ABC", "retention-tapes")
    assert retained(rules_over(FIVE, keep())) == dict.fromkeys("AB", "retention-tapes")
    assert retained(rules_over(FIVE, keep(tapes=0))) == {}


def test_young_volumes_are_kept() -> None:
    """Written less than so many days ago, however many they are."""
    kept = retained(rules_over(FIVE, keep(tapes=1, days=3)))
    assert kept == {"A": "retention-tapes", "B": "retention-days", "C": "retention-days"}


def test_all_rules_tell_until_when_they_keep_a_volume() -> None:
    """By days after it was written, or by how many other volumes are written before."""
    retention = rules_over(FIVE, keep(tapes=2, days=3, full=1), dumps=(dump(2, "C"),))
    assert retention.kept_by("A") == (
        Kept("retention-tapes", "S", volumes=2),
        Kept("retention-days", "S", days=3),
    )
    assert retention.kept_by("B")[0] == Kept("retention-tapes", "S", volumes=1)
    assert retention.kept_by("C") == (
        Kept("retention-days", "S", days=3),
        Kept("retention-full", "S"),
    )
    assert retention.kept_by("D") == ()
    later = FIVE.adding(TapelistEntry(datestamp=stamp(-1), label="F", pool="P"))
    assert "retention-tapes" not in {
        kept.rule for kept in rules_over(later, keep(tapes=2)).kept_by("B")
    }


def test_days_hold_for_volumes_that_left_the_newest_in_this_run() -> None:
    """Stock forgets the days of volumes that were among the newest when it last read the list."""
    young = listed(("C", 0.02), ("B", 0.03), ("A", 0.04))
    longer = young.adding(TapelistEntry(datestamp=stamp(0), label="D", pool="P"))
    longer = longer.adding(TapelistEntry(datestamp=stamp(0), label="E", pool="P"))
    policy = keep(tapes=2, days=30)
    for tapelist in (young, longer):
        retention = rules_over(tapelist, policy)
        assert set(retained(retention)) == {entry.label for entry in tapelist.entries}
        assert retention.oldest_reusable(storage(), stamp(0)) is None


def test_marked_and_foreign_volumes_are_kept() -> None:
    """no-reuse, and those of another config."""
    tapelist = parse_tapelist(
        f"{stamp(9)} A no-reuse POOL:P\n{stamp(8)} B reuse POOL:P CONFIG:Other\n".encode()
    )
    kept = retained(rules_over(tapelist, keep(tapes=0)))
    assert kept == {"A": "no-reuse", "B": "other config"}


def test_each_storage_counts_its_own_volumes() -> None:
    """By pool and storage, and by the label of volumes without pool; unused storages count too."""
    near, off = storage("S", "P"), storage("T", "Q", labelstr=LabelStr("^q"))
    tapelist = parse_tapelist(
        b"20260106 A POOL:P\n20260105 B POOL:P STORAGE:T\n20260104 C POOL:Q\n"
        b"20260103 D\n20260102 q\n0 X POOL:P\n"
    )
    kept = retained(rules_over(tapelist, keep(tapes=1), near, off))
    assert set(kept) == {"A", "C"}
    assert set(retained(rules_over(tapelist, keep(tapes=2), near, off))) == set("ACDq")


def test_labelled_but_never_written_volumes_are_free() -> None:
    """They count for no rule, but only some callers want them."""
    retention = rules_over(listed(("A", 0), ("N", 0), datestamp="0"), keep(tapes=5, days=99))
    assert retained(retention) == {}
    assert retention.is_newly_labelled("N", storage())
    assert not retention.is_newly_labelled("N", storage(pool="Q"))
    assert not retention.is_newly_labelled("gone", storage())
    ask = {"write_timestamp": stamp(0)}
    assert retention.is_reusable("N", storage(), new_label_ok=True, **ask)
    assert not retention.is_reusable("N", storage(), new_label_ok=False, **ask)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("20260101 B POOL:P", "it is not in the tapelist"),
        ("20260101 A no-reuse POOL:P", "it is marked no-reuse"),
        ("20260101 A POOL:P CONFIG:Other", "it belongs to config Other"),
        ("20260101 A POOL:Q", "it is in pool Q, not in P"),
        ("0 A POOL:P", "it was labelled but never written"),
        ("20261123120000 A POOL:P", "it was written in this run (20261123120000)"),
        ("20261123110000 A POOL:P", "it is retained by retention-days"),
        ("20260101 A POOL:P", None),
        ("20260101 A STORAGE:Other CONFIG:DailySet", None),
    ],
)
def test_why_a_volume_is_not_reusable(line: str, reason: str | None) -> None:
    """In words, for the log."""
    retention = rules_over(parse_tapelist(line.encode()), keep(tapes=0, days=2))
    said = retention.why_not_reusable("A", storage(), new_label_ok=False, write_timestamp=stamp(0))
    assert said == reason


def test_a_volume_without_pool_must_have_one_of_our_labels() -> None:
    """Matched with the tapelist's own barcode, meta and storage, and never anchored."""
    entry = TapelistEntry(datestamp="20260101", label="x-BAR-MET-S-y", barcode="BAR", meta="MET")
    ours = storage(labelstr=LabelStr("$b-$m-$r"))

    def reusable(entry: TapelistEntry) -> bool:
        retention = rules_over(Tapelist((entry,)), keep(tapes=0), ours)
        return retention.is_reusable(entry.label, ours, new_label_ok=True, write_timestamp=None)

    assert reusable(evolve(entry, storage="S"))
    assert not reusable(evolve(entry, storage="T"))
    assert not reusable(evolve(entry, storage="S", barcode="OTHER"))


def test_the_oldest_reusable_volume() -> None:
    """Only if more volumes than retention-tapes could be taken."""
    assert rules_over(FIVE, keep(tapes=4)).oldest_reusable(storage(), stamp(0)) == "E"
    assert rules_over(FIVE, keep(tapes=5)).oldest_reusable(storage(), stamp(0)) is None
    ours = storage(labelstr=LabelStr("^[A-D]"))
    assert rules_over(FIVE, keep(tapes=0), ours).oldest_reusable(ours, stamp(0)) == "D"


def test_the_oldest_reusable_volume_is_never_one_of_this_run() -> None:
    """With retention-tapes 0 stock overwrites what it wrote an hour ago."""
    run = stamp(0)
    tapelist = listed(("A", 0), ("B", 0))
    assert rules_over(tapelist, keep(tapes=0)).oldest_reusable(storage(), run) is None
    assert rules_over(tapelist, keep(tapes=1)).oldest_reusable(storage(), run) is None
    assert rules_over(tapelist, keep(tapes=0)).oldest_reusable(storage(), stamp(-1)) == "B"


def test_the_oldest_reusable_volume_is_not_kept_for_another_storage() -> None:
    """Another storage on the same pool may keep more."""
    near, off = storage("S"), storage("T", policy="L")
    config = make_config(keep(tapes=1), Policy("L", retention_tapes=3), near, off)
    retention = Retention(config, FIVE, stamp_days_ago=stamp)
    assert retention.oldest_reusable(near, stamp(0)) == "E"
    config = make_config(keep(tapes=1), Policy("L", retention_tapes=5), near, off)
    assert Retention(config, FIVE, stamp_days_ago=stamp).oldest_reusable(near, stamp(0)) is None


def command(operation: str, **changes: str) -> Command:
    where = {"src_storage": "S", "src_pool": "P"} | changes
    return Command(
        id=1,
        operation=operation,
        config="DailySet",
        source_labels=("D", "E", "gone"),
        host="h",
        disk="/",
        timestamp=stamp(9),
        level=0,
        status="TODO",
        **where,
    )


@pytest.mark.parametrize(
    ("given_command", "reason"),
    [
        (command("COPY"), "command-copy"),
        (command("RESTORE"), "command-restore"),
        (command("COPY", src_storage="T"), None),
        (command("RESTORE", src_pool="Q"), None),
    ],
)
def test_sources_of_unfinished_commands_are_kept(
    given_command: Command, reason: str | None
) -> None:
    """Until the copy or restore is done."""
    kept = retained(rules_over(FIVE, keep(tapes=0), commands=(given_command,)))
    assert kept == ({"D": reason, "E": reason} if reason else {})


def test_volumes_needed_to_recover_recent_states() -> None:
    """All dumps of the window, and what the first of them builds on."""
    dumps = (
        dump(0, "A", level=1),
        dump(1, "B", level=2),
        dump(2, "C", level=1),
        dump(4, "D", level=0),
        dump(9, "E", level=0),
    )
    assert set(retained(rules_over(FIVE, keep(tapes=0, recover=3), dumps=dumps))) == set("ABCD")
    assert retained(rules_over(FIVE, keep(tapes=0, recover=3), dumps=dumps[3:])) == {}


def test_all_volumes_of_a_needed_dump_are_kept() -> None:
    """Of an older dump over several volumes stock keeps only the first."""
    tapelist = listed(("A", 0), ("B", 4), ("C", 4), ("D", 9))
    dumps = (dump(0, "A", level=1), dump(4, "B", "C"), dump(9, "D"))
    assert set(retained(rules_over(tapelist, keep(tapes=0, recover=2), dumps=dumps))) == set("ABC")
    kept = retained(rules_over(tapelist, keep(tapes=0, full=1), dumps=dumps))
    assert kept == {"B": "retention-full", "C": "retention-full"}


def test_a_failed_or_overwritten_full_dump_hides_no_good_one() -> None:
    """What cannot be restored counts for nothing."""
    tapelist = listed(("A", 0), ("B", 4), ("D", 9))
    failed = (dump(0, "A", level=1), dump(4, "B", done=False), dump(9, "D"))
    spoiled = (dump(0, "A", level=1), dump(4, "B", "gone"), dump(9, "D"))
    for dumps in (failed, spoiled):
        for policy in (keep(tapes=0, recover=2), keep(tapes=0, full=1)):
            assert "D" in retained(rules_over(tapelist, policy, dumps=dumps))


def test_a_dump_on_a_holding_disk_makes_its_past_needed() -> None:
    """It is in the window, and builds on what is on volumes."""
    holding = {DumpCopy(stamp(0), 1): (("h", "/"),)}
    dumps = (holding, dump(4, "D"), dump(9, "E"))
    assert set(retained(rules_over(FIVE, keep(tapes=0, recover=2), dumps=dumps))) == {"D"}


def test_full_dumps_are_counted_per_disk() -> None:
    """And those that are kept anyhow do not count, as in stock."""
    dumps = (dump(0, "A"), dump(1, "B", disk="/b"), dump(4, "D"), dump(9, "E", disk="/b"))
    assert set(retained(rules_over(FIVE, keep(tapes=0, full=1), dumps=dumps))) == {"A", "B"}
    kept = retained(rules_over(FIVE, keep(tapes=1, full=1), dumps=dumps))
    assert kept == {"A": "retention-tapes", "D": "retention-full", "B": "retention-full"}


def test_volumes_whose_logs_were_not_read_are_kept() -> None:
    """Whatever they hold: nobody has looked."""
    assert retained(rules_over(FIVE, keep(tapes=0, full=1), unread=("E",))) == {
        "E": "logs not read yet"
    }


@settings(max_examples=60)
@given(
    st.integers(0, 4),
    st.integers(0, 6),
    st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=8),
)
def test_each_rule_holds_on_its_own(tapes: int, days: int, volumes: list[tuple[int, bool]]) -> None:
    """No rule is weakened by another one that keeps the same volumes."""
    tapelist = Tapelist.of(
        TapelistEntry(datestamp=stamp(age), label=f"V{i}", reuse=reuse, pool="P")
        for i, (age, reuse) in enumerate(volumes)
    )
    both = rules_over(tapelist, keep(tapes=tapes, days=days))
    alone = (
        rules_over(tapelist, keep(tapes=tapes)),
        rules_over(tapelist, keep(tapes=0, days=days)),
    )
    assert set(retained(both)) == set(retained(alone[0])) | set(retained(alone[1]))
