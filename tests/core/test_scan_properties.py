"""Whatever is in the slots: no active volume is given, nothing leaks, every scan ends."""

from __future__ import annotations

from functools import cache

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from devices.errors import ChangerError, ChangerReason, Status
from devices.interfaces import IAsyncChanger, IAsyncDevice, IAsyncReservation
from protocols.conf import Config
from protocols.tapelist import Tapelist, TapelistEntry
from taper.core.interfaces import ITapelistStore
from taper.core.scan import ScanResult
from tests.fakes.async_changer import FakeAsyncChanger, FakeVolume, bad, blank, foreign
from tests.fakes.scanning import (
    RUN,
    Outcome,
    Stage,
    days_before_run,
    make_config,
    set_stage,
    written,
)

LABELS = [f"Scan-{number:02d}" for number in range(1, 7)] + ["Foo", "Old-01"]


@st.composite
def volumes(draw: st.DrawFn) -> FakeVolume | None:
    make = draw(st.sampled_from(["label", "label", "label", "blank", "foreign", "bad", "none"]))
    if make == "none":
        return None
    kinds = {"blank": blank, "foreign": foreign, "bad": bad}
    if make == "label":
        volume = FakeVolume(draw(st.sampled_from(LABELS)))
    else:
        volume = kinds[make]()
    if make == "bad":
        volume.status = draw(st.sampled_from([Status(1), Status(2), Status(16), Status(25)]))
    volume.known = draw(st.booleans())
    volume.in_use = draw(st.sampled_from([False, False, False, True]))
    if draw(st.integers(0, 7)) == 0:
        volume.listed_label = draw(st.sampled_from(LABELS))
    error = ChangerError(
        "an\nerror", draw(st.sampled_from([None, *ChangerReason])), draw(st.sampled_from("123"))
    )
    for where in ("load_error", "meta_error", "release_error"):
        if draw(st.integers(0, 9)) == 0:
            setattr(volume, where, error)
    return volume


@st.composite
def entries(draw: st.DrawFn) -> list[TapelistEntry]:
    found = []
    for label in draw(st.lists(st.sampled_from(LABELS), unique=True)):
        stamp = draw(st.sampled_from(["0", RUN, "1", "20260301010101", "20260501010101"]))
        entry = written(
            label,
            1,
            reuse=draw(st.sampled_from([True, True, False])),
            pool=draw(st.sampled_from(["pool", "pool", None, "deep"])),
            config=draw(st.sampled_from([None, "Conf", "Else"])),
            storage=draw(st.sampled_from([None, "main", "else"])),
        )
        found.append(evolve(entry, datestamp=stamp))
    return found


@cache
def config_of(autolabel: str, tapecycle: int, policy: bool) -> Config:
    rule = "retention-days 60" if policy else ""
    return make_config(autolabel=autolabel, tapecycle=tapecycle, policy=rule)


@st.composite
def stages(draw: st.DrawFn) -> Stage:
    slots = {str(n): volume for n, volume in enumerate(draw(st.lists(volumes(), max_size=6)), 1)}
    words = draw(st.sampled_from(["empty", "any", "non-amanda volume-error", "other-config"]))
    autolabel = draw(st.sampled_from([f'"Scan-%%" {words}', f'"Scan-%%" {words}', '""']))
    changer = FakeAsyncChanger(
        slots, fast_search=draw(st.booleans()), has_inventory=draw(st.sampled_from([True, False]))
    )
    changer.current = draw(st.sampled_from([*slots, "9", None]))
    return set_stage(
        draw(st.sampled_from(["traditional", "lexical", "oldest"])),
        changer,
        draw(entries()),
        config=config_of(autolabel, draw(st.integers(1, 3)), draw(st.booleans())),
    )


def is_active(config: Config, tapelist: Tapelist, label: str) -> bool:
    """An independent, plainer judgement: somebody may still need what is on the volume."""
    entry = tapelist.lookup(label)
    if entry is None or entry.datestamp == "0":
        return entry is not None and not entry.reuse
    if not entry.reuse or entry.config not in (None, "Conf") or entry.pool not in (None, "pool"):
        return True
    if entry.datestamp == RUN:
        return True
    mine = [
        one
        for one in tapelist.entries
        if one.reuse
        and one.datestamp != "0"
        and one.config in (None, "Conf")
        and one.storage in (None, "main")
        and (one.pool == "pool" or (one.pool is None and one.label.startswith("Scan-")))
    ]
    kept = {one.label for one in mine[: config.general.tapecycle - 1]}
    policy = config.policy("keep")
    if policy is not None and policy.retention_days:
        since = days_before_run(policy.retention_days)
        kept |= {one.label for one in mine if one.datestamp > since}
    return label in kept


def check(stage: Stage, result: ScanResult) -> None:
    """A result is a volume nobody needs, with a label nobody else has."""
    tapelist, held = stage.store.tapelist, result.reservation
    bears = held.reading.label if held.reading.status == Status.SUCCESS else None
    if bears is not None:
        assert not is_active(stage.config, tapelist, bears)
    if result.is_new:
        assert tapelist.lookup(result.label) is None
    else:
        assert result.label == bears
        assert tapelist.lookup(result.label) is not None


@settings(max_examples=300)
@given(stages())
def test_scans_give_only_volumes_nobody_needs_and_leak_nothing(stage: Stage) -> None:
    """Scan after scan, until none is left: every slot is given at most once."""
    given_slots: list[str] = []
    for _ in range(len(stage.changer.slots) + 1):
        outcome = stage.run()
        assert outcome.fired
        if outcome.failure is not None:
            assert outcome.refusal is not None
            assert "\n" not in outcome.refusal
            break
        check(stage, outcome.result)
        given_slots.append(outcome.result.reservation.slot)
    else:
        raise AssertionError("there were more results than slots")
    assert len(set(given_slots)) == len(given_slots)
    assert sorted(held.slot for held in stage.changer.reserved) == sorted(given_slots)
    assert not any("\n" in note for note in stage.notes)


@settings(max_examples=300)
@given(stages(), st.integers(0, 25), st.integers(0, 3), st.booleans())
def test_a_scan_stopped_at_any_moment_leaves_nothing_reserved(
    stage: Stage, steps: int, more: int, twice: bool
) -> None:
    """Cancelled at any step, even again while it cleans up, with another scan waiting behind."""
    gate = stage.changer.gate
    gate.open = False
    deferred = stage.scan.scan(RUN)
    outcome, waiting = Outcome.of(deferred), stage.run()
    for _ in range(steps):
        gate.step()
    before = outcome.fired
    deferred.cancel()
    for _ in range(more):
        gate.step()
    if twice:
        deferred.cancel()
    while gate.step():
        pass
    assert outcome.fired
    assert waiting.fired
    assert before or outcome.cancelled or outcome.refusal is not None
    results = [one.result for one in (outcome, waiting) if one.result is not None]
    assert {id(held) for held in stage.changer.reserved} == {id(r.reservation) for r in results}


def test_the_fakes_are_what_they_stand_for() -> None:
    """The changer, its reservations and devices, and the tapelist keep their interfaces."""
    stage = set_stage("traditional", {"1": blank()})
    verifyObject(IAsyncChanger, stage.changer)
    verifyObject(ITapelistStore, stage.store)
    held = stage.find().reservation
    verifyObject(IAsyncReservation, held)
    verifyObject(IAsyncDevice, held.device)
