"""What a state file should say and cannot, for want of room.

A full disk of vtapes must not stop the run that would free it. So the state is kept in memory, as
what was changed against the file, and is put onto whatever others have written there meanwhile.
"""

from __future__ import annotations

from typing import Any

from protocols.records import Record

_ABSENT = object()


class Unsaved(Record):
    """A state that is not in its file.

    :ivar base: what the file said when the state was made of it
    :ivar state: what it should say
    """

    base: dict[str, Any]
    state: dict[str, Any]

    def onto(self, stored: dict[str, Any]) -> dict[str, Any]:
        """Our changes, on what the file says now. What others have changed there stays."""
        return _merged(self.base, self.state, stored)


def _merged(base: dict[str, Any], ours: dict[str, Any], stored: dict[str, Any]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for key in dict.fromkeys([*stored, *ours]):
        was, own = base.get(key, _ABSENT), ours.get(key, _ABSENT)
        now = stored.get(key, _ABSENT)
        if now == was:
            chosen = own
        elif own != was and _is_container(own) and _is_container(now):
            chosen = _merged(was if isinstance(was, dict) else {}, own, now)
        else:
            chosen = now
        if chosen is not _ABSENT:
            merged[key] = chosen
    return merged


def _is_container(value: Any) -> bool:
    """A hash of hashes. Any other hash is one entry, which is never put together of two."""
    return isinstance(value, dict) and all(isinstance(inner, dict) for inner in value.values())
