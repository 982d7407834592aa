"""Faults of a drive, by what is asked of it."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence

from attrs import define, field, frozen


def oserror(number: int) -> OSError:
    """The error of this number, as a system call raises it."""
    return OSError(number, os.strerror(number))


@frozen(kw_only=True)
class Fault:
    """Calls that fail.

    :ivar call: ``open``, ``read``, ``write``, ``close``, ``GET``, ``POS``, or an operation of
        ``MTIOCTOP`` without ``MT``, e.g. ``WEOF``.
    :ivar code: the name of the error, e.g. ``EIO``; ``SHORT``: half of a record is written.
    :ivar after: so many such calls go well before.
    :ivar times: so many fail; -1: all of them.
    """

    call: str
    code: str = "EIO"
    after: int = 0
    times: int = 1

    def error(self) -> OSError:
        """What the call raises."""
        return oserror(int(getattr(errno, self.code)))


@define
class Faults:
    """The faults of one drive, and how often each call was made so far."""

    faults: Sequence[Fault] = ()
    calls: dict[str, int] = field(factory=dict)

    def check(self, call: str) -> Fault | None:
        """Count a call. :return: the fault, if it is to fail"""
        number = self.calls.get(call, 0)
        self.calls[call] = number + 1
        for fault in self.faults:
            last = fault.after + fault.times if fault.times >= 0 else number + 1
            if fault.call == call and fault.after <= number < last:
                return fault
        return None
