"""What debug log and watchers are told of a run beside what each part tells of itself."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from zope.interface import implementer

from protocols.tracelog import encode
from taper.core.interfaces import ITraceLog
from taper.core.scan.interfaces import IInteractivity

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.defer import Deferred

    from devices.interfaces import IAsyncChanger
    from protocols.conf import Config, Storage
    from taper.core.watch import Watch

_log = logging.getLogger(__name__)


@implementer(ITraceLog)
class ToldTraceLog:
    """A trace log whose records stand in the debug log too, among what led to them."""

    def __init__(self, trace_log: ITraceLog) -> None:
        self._trace_log = trace_log

    def append(self, *records: Any) -> Deferred[None]:
        for record in records:
            _log.info("trace log: %s", _Line(record))
        return self._trace_log.append(*records)


class _Line:
    """A record as its line, made when it is wanted, and where nobody is hurt if it cannot be."""

    def __init__(self, record: Any) -> None:
        self._record = record

    def __str__(self) -> str:
        return encode(self._record).decode("utf-8", "surrogateescape").rstrip("\n")


@implementer(IInteractivity)
class WatchedOperator:
    """An operator of whose questions whoever watches knows too."""

    def __init__(self, operator: IInteractivity, watch: Watch) -> None:
        self._operator = operator
        self._watch = watch
        self.open_changer: Callable[[str], Deferred[IAsyncChanger]] = operator.open_changer

    def ask(self, text: str, changer_name: str) -> Deferred[str]:
        self._watch.asks(text, changer_name)

        def over(outcome: Any) -> Any:
            self._watch.asks_no_more()
            return outcome

        return self._operator.ask(text, changer_name).addBoth(over)


def tell_settings(config: Config, storage: Storage, log_filename: str) -> None:
    """What this taper goes by."""
    _log.info("trace log %s, tapelist %s", log_filename, config.path(config.general.tapelist))
    _log.info(
        "storage %s, pool %s, changer %s, tapetype %s, taperscan %s, policy %s, tapecycle %d",
        storage.name,
        storage.tapepool,
        storage.tpchanger or storage.tapedev,
        storage.tapetype,
        storage.taperscan or "traditional",
        storage.policy or "none",
        config.general.tapecycle,
    )
    _log.info("labelstr %s, autolabel %s", storage.labelstr, storage.autolabel)
