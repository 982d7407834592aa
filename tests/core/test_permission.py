"""The last look before a volume is overwritten."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

import pytest
from attrs import define, evolve, field
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.errors import Status
from devices.interfaces import VolumeReading
from protocols.catalog import DumpCopy, DumpsTold, by_disk
from protocols.conf import AutoLabel, Config, LabelStr, Policy, Storage
from protocols.header import HeaderType
from protocols.tapelist import Tapelist, TapelistEntry, parse_tapelist
from taper.core.permission import VolumeStillActive, refuse_overwrite
from taper.core.retention import Retention
from tests.fakes.config import make_config

RUN = "20261123120000"
OLD = "20260101000000"
ANY_LABEL = AutoLabel(template="V%%", empty=True, volume_error=True, other_config=True)
STORAGE = Storage("S", tapepool="P", policy="K", labelstr=LabelStr("^V"), autolabel=ANY_LABEL)
BLANK = VolumeReading(Status.VOLUME_UNLABELED, HeaderType.EMPTY, error="nothing there")
BROKEN = VolumeReading(Status.VOLUME_ERROR, error="cannot read it")


def carries(label: str, timestamp: str = OLD) -> VolumeReading:
    return VolumeReading(Status.SUCCESS, HeaderType.TAPESTART, label, timestamp)


def refusal(
    tapelist: Tapelist | str,
    reading: VolumeReading,
    storage: Storage = STORAGE,
    barcode: str | None = None,
    scanned: Tapelist | None = None,
    given_up: Collection[str] = (),
) -> str | None:
    """The text, or None where the volume may be written."""
    if isinstance(tapelist, str):
        tapelist = parse_tapelist(tapelist.encode())
    config = make_config(storage, Policy("K", retention_tapes=1))
    retention = Retention(config, tapelist, stamp_days_ago=lambda days: RUN)
    try:
        refuse_overwrite(
            *(tapelist, retention, storage, reading, RUN),
            barcode=barcode,
            scanned=scanned,
            given_up=given_up,
        )
    except VolumeStillActive as error:
        return error.text
    return None


def test_a_volume_nobody_needs_may_be_written() -> None:
    """An old one, one labelled and never written, a blank one, a broken one."""
    tapelist = "20261122 V2 POOL:P\n20260101 V1 POOL:P\n0 V0 POOL:P\n"
    for reading in (carries("V1"), carries("V0", "X"), BLANK, BROKEN):
        assert refusal(tapelist, reading) is None


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("20261122 V1 POOL:P", "it is retained by retention-tapes"),
        ("20260101 V1 no-reuse POOL:P", "it is marked no-reuse"),
        ("1 V1 no-reuse POOL:P", "it is marked no-reuse"),
        ("20260101 V1 POOL:Q", "it is in pool Q, not in P"),
        ("20260101 V1 POOL:P CONFIG:Other", "it belongs to config Other"),
        (f"{RUN} V1 POOL:P", f"it was written in this run ({RUN})"),
        ("", "its label is one of this storage's, but not in the tapelist"),
    ],
)
def test_an_active_or_foreign_volume_is_refused(line: str, reason: str) -> None:
    """The text says which volume and why."""
    assert refusal(line, carries("V1")) == f"Volume 'V1' must not be overwritten: {reason}"


def test_a_volume_that_somebody_has_given_up_may_be_written() -> None:
    """That one alone; and not if it was written since, or in this run."""
    active = "20261122 V1 POOL:P\n"
    assert refusal(active, carries("V1"), given_up=["V1"]) is None
    assert refusal("", carries("V1"), given_up=["V1"]) is None
    assert "'V1'" in str(refusal(active, carries("V1"), given_up=["V2"]))
    assert "this run" in str(refusal(active, carries("V1", RUN), given_up=["V1"]))
    before = parse_tapelist(b"20261121 V1 POOL:P\n")
    assert "changed" in str(refusal(active, carries("V1"), scanned=before, given_up=["V1"]))


def test_two_volumes_of_one_barcode_are_given_up_each() -> None:
    """Nobody knows which of them it is."""
    both = "20261122 V1 BARCODE:B POOL:P\n20261121 V2 no-reuse BARCODE:B POOL:P\n"
    assert "'V2'" in str(refusal(both, BROKEN, barcode="B", given_up=["V1"]))
    assert refusal(both, BROKEN, barcode="B", given_up=["V1", "V2"]) is None


def test_the_header_of_this_run_is_believed_whatever_the_tapelist_says() -> None:
    """Somebody may have edited the list while we ran."""
    told = refusal("20261122 V2 POOL:P\n0 V1 POOL:P\n", carries("V1", RUN))
    assert (
        told
        == f"Volume 'V1' must not be overwritten: its header says that this run ({RUN}) wrote it"
    )


def test_a_volume_whose_entry_changed_since_the_scan_is_refused() -> None:
    """Somebody else works with it; the next scan will see what became of it."""
    scanned = parse_tapelist(b"20261122 V2 POOL:P\n20260101 V1 POOL:P\n")
    entry = scanned.lookup("V1")
    assert entry is not None
    assert refusal(scanned, carries("V1"), scanned=scanned) is None
    for now in (
        scanned.replacing(evolve(entry, datestamp="20260102")),
        scanned.replacing(evolve(entry, comment="mine")),
        scanned.removing("V1"),
    ):
        told = refusal(now, carries("V1"), scanned=scanned)
        assert told is not None
        assert "changed since the scan looked" in told


def test_a_label_of_another_config_needs_other_config() -> None:
    """Only autolabel other-config lets us take it."""
    assert refusal("", carries("Weekly-1")) is None
    strict = Storage(
        "S", tapepool="P", labelstr=LabelStr("^V"), autolabel=ANY_LABEL.evolve(other_config=False)
    )
    told = refusal("", carries("Weekly-1"), strict)
    assert told is not None
    assert "may belong to another config" in told


def test_an_unreadable_volume_is_known_by_its_barcode() -> None:
    """A drive that cannot read an active volume must not relabel it."""
    active = "20261122 V1 BARCODE:B1 POOL:P\n20260101 V2 BARCODE:B2 POOL:P\n"
    for reading in (BROKEN, BLANK):
        told = refusal(active, reading, barcode="B1")
        assert told is not None
        assert "V1" in told
        assert "barcode 'B1'" in told
        assert refusal(active, reading, barcode="B2") is None
        assert refusal(active, reading, barcode="B3") is None
    # a rait of changers without barcodes stores "{,,}" for every volume
    assert refusal("20261122 V1 BARCODE:{,,} POOL:P\n", BLANK, barcode="{,,}") is None


def test_a_claim_is_dead_when_its_volume_is_blank() -> None:
    """A taper that died before it wrote the label it had claimed; nothing less is proof."""
    lines = "1 V1 no-reuse BARCODE:B1 POOL:P CONFIG:DailySet\n1 V2 no-reuse POOL:P\n"
    assert refusal(lines, BLANK, barcode="B1") is None
    told = refusal(lines, BROKEN, barcode="B1")
    assert told is not None
    assert "no-reuse" in told
    for line in (
        "1 V1 no-reuse BARCODE:B1 POOL:P CONFIG:other\n",
        "20260101 V1 no-reuse BARCODE:B1 POOL:P CONFIG:DailySet\n",
    ):
        assert refusal(line, BLANK, barcode="B1") is not None


def test_the_retention_must_be_of_this_very_list() -> None:
    """Judging by an older list is a mistake of the caller."""
    tapelist = parse_tapelist(b"20260101 V1 POOL:P\n")
    retention = Retention(make_config(STORAGE), Tapelist(), stamp_days_ago=lambda days: RUN)
    with pytest.raises(ValueError, match="another tapelist"):
        refuse_overwrite(tapelist, retention, STORAGE, carries("V1"), RUN)


# The invariant, against a simple model

START = datetime(2026, 1, 1)
LABELS = [f"V{i}" for i in range(6)]


def at(hour: int) -> str:
    return (START + timedelta(hours=hour)).strftime("%Y%m%d%H%M%S")


@define
class Model:
    """What really lies on the volumes.

    :ivar written: label to hour of the last writing.
    :ivar dumps: every dump whose volumes all still hold it: (hour, disk, level, labels).
    :ivar history: the same for the taper: all that was ever logged.
    """

    tapes: int
    days: int
    recover: int
    full: int
    tapelist: Tapelist = field(factory=Tapelist)
    written: dict[str, int] = field(factory=dict)
    dumps: list[tuple[int, str, int, frozenset[str]]] = field(factory=list)
    history: list[DumpsTold] = field(factory=list)

    def config(self) -> Config:
        rules = {f"retention_{rule}": getattr(self, rule) for rule in RULES}
        return make_config(STORAGE, Policy("K", **rules))

    def active(self, label: str, hour: int, run: int) -> bool:
        """By count, age or mark: stated without looking at how retention does it."""
        entry = self.tapelist.lookup(label)
        if entry is None or not entry.reuse or self.written.get(label, -1) == run:
            return True
        if label not in self.written:
            return False
        # of one run, the list's order tells which came last
        order = [other.label for other in self.tapelist.entries if other.reuse]
        newer = sum(
            (self.written[other], -place) > (self.written[label], -order.index(label))
            for place, other in enumerate(order)
            if other in self.written
        )
        return newer < self.tapes or hour - self.written[label] < 24 * self.days

    def needed(self, label: str, hour: int) -> bool:
        """To restore what the policy promises: a chain of dumps, or one of the last fulls."""
        for disk in {dump[1] for dump in self.dumps}:
            mine = sorted((dump for dump in self.dumps if dump[1] == disk), reverse=True)
            fulls = [dump for dump in mine if dump[2] == 0]
            if any(label in dump[3] for dump in fulls[: self.full]):
                return True
            for index, dump in enumerate(mine):
                if self.recover and hour - dump[0] < 24 * self.recover:
                    chain = [dump]
                    for older in mine[index + 1 :]:
                        if older[2] < chain[-1][2]:
                            chain.append(older)
                    if any(label in link[3] for link in chain):
                        return True
        return False

    def overwrite(self, label: str, run: int) -> None:
        """All that was on the volume is gone."""
        self.dumps = [dump for dump in self.dumps if label not in dump[3]]
        entry = TapelistEntry(datestamp=at(run), label=label, pool="P", storage="S")
        self.tapelist = self.tapelist.replacing(entry)
        self.written[label] = run

    def dump(self, labels: list[str], run: int, disk: str, level: int) -> None:
        """A dump over these volumes is done, and logged."""
        volumes = frozenset((label, at(run)) for label in labels)
        self.history.append({DumpCopy(at(run), level, volumes): (("h", disk),)})
        self.dumps.append((run, disk, level, frozenset(labels)))


RULES = ("tapes", "days", "recover", "full")


@settings(max_examples=300)
@given(st.data())
def test_an_active_volume_is_never_allowed(data: st.DataObject) -> None:
    """Random runs that try random volumes: what a rule keeps, by a plain count, is refused.

    Where only the plain rules apply, what none of them keeps is allowed.
    """
    rules = [
        data.draw(st.integers(0, most), label=name)
        for name, most in zip(RULES, (4, 4, 4, 2), strict=True)
    ]
    model = Model(*rules)
    for label in LABELS:
        model.tapelist = model.tapelist.adding(TapelistEntry(datestamp="0", label=label, pool="P"))
    run = 0
    for _ in range(data.draw(st.integers(1, 8), label="runs")):
        run += data.draw(st.integers(1, 60), label="hours to the next run")
        _try_run(model, run, data)
        _meddle(model, data)


def _try_run(model: Model, run: int, data: st.DataObject) -> None:
    """One run: volumes tried in any order, each dump on those it gets."""
    granted: list[str] = []
    for label in data.draw(st.lists(st.sampled_from(LABELS), max_size=5), label="tried"):
        retention = Retention(
            model.config(),
            model.tapelist,
            stamp_days_ago=lambda days: at(run - 24 * days),
            dumps=by_disk(model.history),
        )
        reading = carries(label, at(model.written[label]) if label in model.written else "X")
        try:
            refuse_overwrite(model.tapelist, retention, STORAGE, reading, at(run))
        except VolumeStillActive:
            plain = model.recover == model.full == 0
            assert model.active(label, run, run) or label in granted or not plain
            continue
        assert label not in granted
        assert not model.active(label, run, run)
        assert not model.needed(label, run)
        model.overwrite(label, run)
        granted.append(label)
    while granted:
        volumes = granted[: data.draw(st.integers(1, len(granted)), label="volumes of the dump")]
        disk = data.draw(st.sampled_from(["/", "/home"]), label="disk")
        model.dump(volumes, run, disk, data.draw(st.integers(0, 2), label="level"))
        granted = granted[len(volumes) :]


def _meddle(model: Model, data: st.DataObject) -> None:
    """An operator marks a volume, or forgets one (amadmin no-reuse, reuse; amrmtape)."""
    label = data.draw(st.sampled_from(LABELS), label="meddled with")
    entry = model.tapelist.lookup(label)
    what = data.draw(st.sampled_from(["nothing", "no-reuse", "reuse", "remove"]), label="how")
    if entry is None or what == "nothing":
        return
    if what == "remove":
        model.tapelist = model.tapelist.removing(label)
        model.dumps = [dump for dump in model.dumps if label not in dump[3]]
    else:
        model.tapelist = model.tapelist.replacing(evolve(entry, reuse=what == "reuse"))
