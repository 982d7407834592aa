"""All that one storage's core works with, in one frozen bundle."""

from __future__ import annotations

import itertools
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from attrs import field, frozen

from protocols.tracelog import encode
from taper.core.errors import in_words
from taper.core.moment import at_most_a_moment
from taper.core.watch import Watch

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from devices.interfaces import IAsyncChanger
    from protocols.conf import Config, Storage
    from protocols.tracelog import (
        Error,
        Info,
        NoTapeConfig,
        NoTapeError,
        PidDone,
        TapeInfo,
        Warning_,
    )
    from taper.core.interfaces import (
        IClerk,
        IClock,
        IConsole,
        IDriver,
        IFlows,
        IHistory,
        ILook,
        IOrigins,
        IStatusFiles,
        ITapelistStore,
        ITraceLog,
        IVaults,
    )
    from taper.core.scan import IScan


def _from_one() -> Iterator[int]:
    return itertools.count(1)


@frozen(kw_only=True)
class World:
    """What is around the core of one taper process.

    :ivar debug: writes one text to the debug log.
    :ivar watch: is told what happens, for whoever watches.
    :ivar clerks: of all workers that have vaulted.
    :ivar written: labels of the volumes that this process has written.
    :ivar tapes: numbers of the volumes labelled by this process, 1, 2, ... over all workers.
    """

    config: Config
    storage: Storage
    driver: IDriver
    changer: IAsyncChanger
    trace_log: ITraceLog
    console: IConsole
    tapelists: ITapelistStore
    history: IHistory
    scan: IScan
    origins: IOrigins
    flows: IFlows
    look: ILook
    vaults: IVaults
    status_files: IStatusFiles
    clock: IClock
    debug: Callable[[str], None]
    watch: Watch = field(factory=Watch)
    clerks: list[IClerk] = field(factory=list)
    written: set[str] = field(factory=set)
    tapes: Iterator[int] = field(factory=_from_one)

    async def note(
        self, record: Error | Info | NoTapeConfig | NoTapeError | PidDone | TapeInfo | Warning_
    ) -> None:
        """Write a trace-log line for people; if it cannot be written, nothing ends for that, and
        nothing waits for it longer than a moment: it then comes after what follows it.

        The lines that the catalogue is made of (START, PART and the dump's end) are no notes.
        """
        self.watch.note(encode(record).decode("utf-8", "surrogateescape").rstrip("\n"))
        try:
            await at_most_a_moment(self.clock, self.trace_log.append(record))
        except OSError as fault:
            self.debug(f"not in the trace log: {record!r}: {fault}")
            self.console.write_line(f"taper: cannot write the trace log: {fault}")

    def debug_failure(self, text: str) -> None:
        """Keep a failure that nobody else is told of, with where it came from."""
        self.debug(f"{text}\n{traceback.format_exc()}" if sys.exc_info()[0] else text)

    def log_failure(self, failure: Failure) -> None:
        """The last errback of a chain of our own: such a failure is a bug."""
        self.debug(failure.getTraceback())
        text = failure.getErrorMessage() if failure.value is None else in_words(failure.value)
        self.console.write_line(f"taper: internal error: {text}")
