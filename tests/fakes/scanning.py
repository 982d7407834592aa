"""A storage with a scan, on fakes: what the tests of the scans begin with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from protocols.conf import Config, load
from protocols.tapelist import Tapelist, TapelistEntry
from taper.core.retention import Retention
from taper.core.scan import IScan, ScanFailed, ScanResult, make_scan
from tests.fakes.async_changer import FakeAsyncChanger, FakeVolume
from tests.fakes.tapelist_store import FakeTapelistStore

RUN = "20260601010101"
"""The run's timestamp."""

STAMP = "%Y%m%d%H%M%S"
LABELSTR = '"^Scan-[0-9][0-9]$"'

_CONF = """
org "Org"
tapecycle {tapecycle}
tapetype T
define tapetype T {{
  length 10 mbytes
}}
define policy keep {{
  {policy}
}}
define storage main {{
  tpchanger "chg-disk:/nowhere"
  tapepool "pool"
  policy "keep"
  labelstr {labelstr}
  autolabel {autolabel}
}}
storage "main"
{scans}
"""


def make_config(
    *,
    autolabel: str = '"Scan-%%" empty',
    labelstr: str = LABELSTR,
    tapecycle: int = 2,
    policy: str = "",
    scans: str = "",
) -> Config:
    """The configuration ``Conf`` with the storage ``main`` of the pool ``pool``."""
    text = _CONF.format(
        autolabel=autolabel,
        labelstr=labelstr,
        tapecycle=tapecycle,
        policy=policy,
        scans=scans,
    )
    files = {"/etc/amanda/Conf/amanda.conf": text.encode()}
    loaded = load("Conf", files.get, amanda_version=lambda: (3, 5, 1))
    errors = [message.text for message in loaded.messages]
    assert not errors, errors
    return loaded.config


def written(label: str, day: int, **facts: Any) -> TapelistEntry:
    """The entry of a volume written on a day of May 2026."""
    facts = {"pool": "pool", **facts}
    return TapelistEntry(datestamp=f"202605{day:02d}010101", label=label, **facts)


@define
class Outcome:
    """Where a Deferred stands: its result, its failure, or neither."""

    result: Any = None
    failure: Failure | None = None
    fired: bool = False

    @classmethod
    def of(cls, deferred: Deferred[Any]) -> Outcome:
        outcome = cls()

        def keep(result: Any) -> None:
            outcome.fired = True
            if isinstance(result, Failure):
                outcome.failure = result
            else:
                outcome.result = result

        deferred.addBoth(keep)
        return outcome

    @property
    def cancelled(self) -> bool:
        return self.failure is not None and self.failure.check(CancelledError) is not None

    @property
    def refusal(self) -> str | None:
        """The text of a failed scan."""
        if self.failure is None:
            return None
        self.failure.trap(ScanFailed)
        assert isinstance(self.failure.value, ScanFailed)
        return self.failure.value.text


@define
class Stage:
    """A scan and all it works with."""

    config: Config
    changer: FakeAsyncChanger
    store: FakeTapelistStore
    scan: IScan
    notes: list[str] = field(factory=list)

    def run(self, timestamp: str = RUN) -> Outcome:
        """Scan; with an open gate it is over at once."""
        return Outcome.of(self.scan.scan(timestamp))

    def find(self) -> ScanResult:
        """Scan and expect a volume."""
        outcome = self.run()
        assert outcome.failure is None, outcome.failure
        assert isinstance(outcome.result, ScanResult)
        return outcome.result

    def refuse(self) -> str:
        """Scan and expect none, with nothing left reserved that was not before."""
        before = list(self.changer.reserved)
        text = self.run().refusal
        assert text is not None
        assert self.changer.reserved == before
        return text


def set_stage(
    algorithm: str,
    slots: Mapping[str, FakeVolume | None] | FakeAsyncChanger,
    entries: Iterable[TapelistEntry] = (),
    *,
    config: Config | None = None,
    **more: Any,
) -> Stage:
    """A scan of the storage ``main``; ``more`` goes to ``make_scan``."""
    config = config or make_config()
    changer = slots if isinstance(slots, FakeAsyncChanger) else FakeAsyncChanger(slots)
    store = FakeTapelistStore(entries)
    notes: list[str] = []
    storage = config.storage("main")
    assert storage is not None
    scan = make_scan(
        algorithm,
        storage=storage,
        config=config,
        changer=changer,
        tapelists=store,
        retention=lambda tapelist: retention_over(config, tapelist),
        **{"note": notes.append, **more},
    )
    return Stage(config, changer, store, scan, notes)


def retention_over(config: Config, tapelist: Tapelist, reading: Iterable[str] = ()) -> Retention:
    """The rules on the day of the run."""
    return Retention(config, tapelist, stamp_days_ago=days_before_run, reading=reading)


def days_before_run(days: int) -> str:
    """So many days before the run, as 14 digits."""
    return f"{datetime.strptime(RUN, STAMP) - timedelta(days=days):{STAMP}}"
