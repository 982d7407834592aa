"""Why volumes are kept, and until when, in words. The judgement is that of
:mod:`taper.core.retention`."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from protocols.stored import full_stamp
from taper.people.telling import count, moment

if TYPE_CHECKING:
    from collections.abc import Iterable

    from protocols.conf import Storage
    from protocols.tapelist import TapelistEntry
    from taper.core.retention import Kept, Retention

_STAMP = "%Y%m%d%H%M%S"
_REST = {
    "retention-recover": "while newer dumps build on what is on it",
    "retention-full": "while it has one of the full dumps that are to be kept",
    "command-copy": "until it is copied",
    "command-restore": "until it is restored from",
}


def until(kept: Kept, written: str) -> str | None:
    """The moment at which a rule lets go of a volume, 14 digits; None: no moment decides.

    :param written: the volume's datestamp
    """
    if kept.days is None:
        return None
    try:
        begun = datetime.strptime(full_stamp(written), _STAMP)
        return (begun + timedelta(days=kept.days)).strftime(_STAMP)
    except (ValueError, OverflowError):
        return None


def told(kept: Kept, written: str) -> str:
    """A rule and its end, in words."""
    if kept.volumes is not None:
        others = count(kept.volumes, "other volume")
        ending = f"until {others} of storage {kept.storage} {_is(kept.volumes)} written"
    else:
        end = until(kept, written)
        ending = f"until {moment(end)}" if end is not None else _REST.get(kept.rule, "")
    return f"{kept.rule} {ending}".rstrip()


def _is(number: int) -> str:
    return "is" if number == 1 else "are"


def why_not(retention: Retention, entry: TapelistEntry, storage: Storage) -> str | None:
    """Why a storage may not write over a volume, in words; None: it may."""
    reason = retention.why_not_reusable(
        entry.label, storage, new_label_ok=True, write_timestamp=None
    )
    if reason is None:
        return None
    return with_rules(reason, retention.kept_by(entry.label), entry.datestamp)


def with_rules(reason: str, rules: Iterable[Kept], written: str) -> str:
    """A reason of :meth:`taper.core.retention.Retention.why_not_reusable`, with all rules and until
    when they hold where it is rules that keep a volume."""
    if not reason.startswith(RETAINED):
        return reason
    words = dict.fromkeys(told(kept, written) for kept in rules)
    return f"{RETAINED}{', and by '.join(words)}" if words else reason


RETAINED = "it is retained by "


def recorded(kept: Kept, written: str) -> dict[str, Any]:
    """A rule for ``--json``."""
    return {
        "rule": kept.rule,
        "storage": kept.storage,
        "until": until(kept, written),
        "volumes": kept.volumes,
    }
