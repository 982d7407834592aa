"""How a dump ended: the one place where DONE, PARTIAL and FAILED are decided.

Pure. Facts: [protocol 3.3, 3.4]; [data-plane 5.3, 5.4].
"""

from __future__ import annotations

import enum

from attrs import field, mutable

from protocols.crc import UNKNOWN, Crc


class Verdict(enum.Enum):
    """What the driver is told."""

    DONE = "DONE"
    PARTIAL = "PARTIAL"
    FAILED = "FAILED"


class DumperResult(enum.Enum):
    """What the driver told us of the dumper."""

    UNKNOWN = "unknown"
    DONE = "done"
    FAILED = "failed"


@mutable(kw_only=True)
class Ledger:
    """All that is known of a dump while it runs, and from which its end is judged.

    :ivar parts: number of the last part reported, failed ones included; 0 if none was.
    :ivar last_part_good: the last reported part is good.
    :ivar size: bytes in good parts.
    :ivar input_errors: what went wrong on the source side.
    :ivar device_errors: what went wrong with devices, changers, scans.
    :ivar denial: the driver's reason for refusing a volume, or None.
    :ivar header_crc: the server CRC that the dump's header names.
    :ivar source_crc: over all that was read.
    :ivar dest_crc: over all that good parts hold.
    :ivar dumper_crc: the server CRC of the dumper's DONE, of what it sent; unknown where the
        driver knows none, as of dumps that the server compresses or encrypts.
    """

    parts: int = 0
    last_part_good: bool = False
    size: int = 0
    input_errors: list[str] = field(factory=list)
    device_errors: list[str] = field(factory=list)
    denial: str | None = None
    dumper: DumperResult = DumperResult.UNKNOWN
    header_crc: Crc = UNKNOWN
    source_crc: Crc = UNKNOWN
    dest_crc: Crc = UNKNOWN
    dumper_crc: Crc = UNKNOWN

    @property
    def verdict(self) -> Verdict:
        """DONE only if every part is good and nobody complained; FAILED if nothing is stored."""
        if self.parts == 0:
            return Verdict.FAILED
        if (
            self.input_errors
            or self.device_errors
            or self.denial is not None
            or not self.last_part_good
        ):
            return Verdict.PARTIAL
        return Verdict.DONE

    def compare_crcs(self) -> list[str]:
        """Make a difference of checksums an input error, if all seemed well so far.

        :return: these errors
        """
        if self.verdict is not Verdict.DONE:
            return []
        before = len(self.input_errors)
        found = f"source server crc ({self.source_crc}) and"
        if self.header_crc.known and self.source_crc.known and self.header_crc != self.source_crc:
            self.input_errors.append(f"{found} input server crc ({self.header_crc}) differ)")
        if self.source_crc.known and self.dest_crc.known and self.source_crc != self.dest_crc:
            self.input_errors.append(f"{found} dest server crc ({self.dest_crc}) differ)")
        return self.input_errors[before:]

    def compare_dumper_crc(self) -> list[str]:
        """The same, with what the dumper says once it is done [data-plane Q16].

        Of what a client has sent to a mover nobody here has a checksum, but the mover counts; it
        may count padding, too.
        """
        source, dumper = self.source_crc, self.dumper_crc
        if self.verdict is not Verdict.DONE or not dumper.known:
            return []
        if dumper == source or (not source.known and self.size >= dumper.size):
            return []
        text = f"source server crc ({source}) and dumper crc ({dumper}) differ"
        if not source.known:
            text = f"the device stored {self.size} bytes of {dumper.size} that the dumper has sent"
        self.input_errors.append(text)
        return [text]

    def count_without_padding(self) -> None:
        """A mover pads its last record; what we gave it ourselves we have counted."""
        if self.dest_crc.known:
            self.size = self.dest_crc.size

    @property
    def input_word(self) -> str:
        return "INPUT-ERROR" if self.input_errors else "INPUT-GOOD"

    @property
    def tape_word(self) -> str:
        if self.device_errors:
            return "TAPE-ERROR"
        return "TAPE-GOOD" if self.denial is None else "TAPE-CONFIG"

    @property
    def input_text(self) -> str:
        return "; ".join(self.input_errors)

    @property
    def tape_text(self) -> str:
        return "; ".join(self.device_errors) if self.device_errors else self.denial or ""

    @property
    def messages(self) -> str:
        """All complaints, for the trace log."""
        denial = [] if self.denial is None else [self.denial]
        return "; ".join([*self.device_errors, *self.input_errors, *denial])

    @property
    def logged_crc(self) -> Crc:
        """The server CRC of the trace log: the header's, or else what was read."""
        return self.header_crc if self.header_crc.known else self.source_crc
