"""All that one dump says: replies to the driver, trace-log lines, stderr lines, in one place.

A trace line always precedes the reply that it belongs to ([protocol 8], "must match").
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from protocols import tracelog
from protocols.crc import UNKNOWN, Crc
from protocols.driver import commands, replies
from protocols.driver.messages import Message
from protocols.quoting import quote
from protocols.stats import format_stats
from taper.core.errors import DeviceFault, in_words
from taper.core.outcome import DumperResult, Verdict

if TYPE_CHECKING:
    from devices.interfaces import PartResult
    from protocols.header import Header
    from taper.core.host import Host
    from taper.core.interfaces import Offer
    from taper.core.interruption import Interruption
    from taper.core.outcome import Ledger

FULL = "No space left on device"


class Report:
    """The voice of one dump.

    :param ledger: what is known of the dump; read when its end is told
    :param interruption: of the dump; once it is to end, the log is waited for a moment only
    """

    def __init__(
        self,
        worker: Host,
        command: commands.WriteCommand,
        ledger: Ledger,
        interruption: Interruption,
    ) -> None:
        self._worker = worker
        self._world = worker.world
        self._command = command
        self._ledger = ledger
        self._interruption = interruption
        self._orig_kb: str | None = getattr(command, "orig_kb", None)
        self._native = UNKNOWN
        self._client = UNKNOWN
        self._began: float | None = None
        self._seconds = 0.0
        self._last_part: tuple[tracelog.Part, replies.PartDone] | None = None

    @property
    def _who(self) -> tuple[str, str]:
        return self._worker.name, self._command.handle

    def _send(self, reply: Message) -> None:
        self._world.driver.send(reply)

    async def _log(self, *records: Any) -> None:
        """Write records that a reply follows.

        :raise DeviceFault: not all are in the trace log; should one still be written, it is true
        """
        try:
            await self._interruption.see_through(self._world.trace_log.append(*records))
        except OSError as fault:
            raise DeviceFault(
                f"cannot write the trace log: {in_words(fault)}", code=8006
            ) from fault

    # Facts

    def header_accepted(self, header: Header) -> None:
        """The dump begins: from here on its time is counted."""
        self._began = self._world.clock.seconds()
        self._ledger.header_crc = header.server_crc
        # a DONE may have come before the header; what it said counts more
        self._native = self._native if self._native != UNKNOWN else header.native_crc
        self._client = self._client if self._client != UNKNOWN else header.client_crc

    def dumper_done(self, command: commands.Done) -> None:
        """Keep what the dumper's DONE says."""
        self._orig_kb = command.orig_kb
        self._native = command.native_crc
        self._client = command.client_crc

    def transfer_ended(self) -> None:
        """The data is over: stop counting time, in whole seconds [protocol 3.3]."""
        if self._began is not None:
            self._seconds = int(self._world.clock.seconds()) - int(self._began)

    def _stats(self) -> str:
        return format_stats(self._seconds, self._ledger.size, self._orig_kb)

    # While it runs

    def offer(self, offer: Offer) -> None:
        """Tell the driver where its dumper may connect."""
        if offer.shm_name is not None:
            self._send(replies.ShmName(*self._who, offer.header_port, offer.shm_name))
            return
        self._send(replies.Port(*self._who, offer.header_port, offer.addresses))

    def request_new_tape(self) -> None:
        self._send(replies.RequestNewTape(*self._who))

    def new_tape(self, label: str) -> None:
        self._send(replies.NewTape(*self._who, label))

    def no_new_tape(self) -> None:
        self._send(replies.NoNewTape(*self._who))

    def ready(self) -> None:
        self._send(replies.Ready(*self._who))

    def dumper_status(self) -> None:
        self._send(replies.DumperStatus(*self._who))

    async def warning(self, text: str) -> None:
        command = self._command
        await self._world.note(tracelog.Warning_(command.hostname, command.diskname, text))

    def status_file(self, path: str) -> None:
        """Tell amstatus, by way of the amdump log, where progress can be read."""
        worker, command = self._worker, self._command
        self._world.console.write_line(
            f"taper: status file {worker.taper_name} {worker.name} "
            f"{quote(command.hostname)} {quote(command.diskname)}:{path}"
        )

    async def volume_denied(self, reason: str) -> None:
        await self._world.note(tracelog.NoTapeConfig(reason))

    async def will_retry(self) -> None:
        await self._world.note(tracelog.Info("Will request retry of failed split part."))

    async def part(
        self,
        label: str,
        partnum: int,
        result: PartResult,
        interruption: str | None,
        *,
        last: bool = False,
    ) -> None:
        """Log one part; tell the driver of a good one.

        :param last: a good one, and the end of the dump is logged next: both are, together then
        """
        stats = format_stats(result.duration, result.size, self._orig_kb)
        command, storage = self._command, self._world.storage
        facts: dict[str, Any] = {
            "storage": storage.name,
            "pool": storage.tapepool,
            "label": label,
            "fileno": result.fileno,
            "host": command.hostname,
            "disk": command.diskname,
            "datestamp": command.datestamp,
            "partnum": partnum,
            "level": command.level,
            "stats": stats,
        }
        if result.successful:
            record = tracelog.Part(**facts)
            kb = result.size // 1024
            reply = replies.PartDone(*self._who, label, result.fileno, kb, stats)
            if last:
                self._last_part = record, reply
                return
            await self._log(record)
            self._send(reply)
            return
        reason = interruption or result.error or FULL
        if reason.startswith(FULL):
            reason = FULL
        await self._log(tracelog.PartPartial(**facts, text=reason))

    # Its end

    async def log_result(self) -> None:
        """The trace-log line of the dump's end, and all of a last part that waits for it: so the
        disk is waited for once."""
        end = self._end_record()
        if self._last_part is None:
            await self._log(end)
            return
        record, reply = self._last_part
        await self._log(record, end)
        self._send(reply)

    def _end_record(self) -> tracelog.Fail | tracelog.Done | tracelog.Partial:
        ledger = self._ledger
        command, storage = self._command, self._world.storage
        names: dict[str, Any] = {
            "storage": storage.name,
            "pool": storage.tapepool,
            "host": command.hostname,
            "disk": command.diskname,
            "datestamp": command.datestamp,
            "level": command.level,
        }
        if ledger.verdict is Verdict.FAILED:
            denied = ledger.denial is not None
            vault = isinstance(command, commands.VaultWrite)
            return tracelog.Fail(**names, config=denied, text=ledger.messages, vault=vault)
        facts: dict[str, Any] = {
            **names,
            "parts": ledger.parts,
            "native_crc": self._native,
            "client_crc": self._client,
            "server_crc": ledger.logged_crc,
            "stats": self._stats(),
        }
        if ledger.verdict is Verdict.DONE and ledger.dumper is not DumperResult.FAILED:
            return tracelog.Done(**facts)
        return tracelog.Partial(**facts, text=ledger.messages or None)

    def result(self) -> None:
        """The reply that ends the dump."""
        ledger = self._ledger
        words = (ledger.input_word, ledger.tape_word)
        texts = (ledger.input_text, ledger.tape_text)
        if ledger.verdict is Verdict.FAILED:
            self._send(replies.Failed(*self._who, *words, *texts))
            return
        done = ledger.verdict is Verdict.DONE
        kind: type[replies.Done] | type[replies.Partial] = replies.Done if done else replies.Partial
        crc: Crc = ledger.dest_crc
        self._send(kind(*self._who, *words, crc, self._stats(), *texts))
