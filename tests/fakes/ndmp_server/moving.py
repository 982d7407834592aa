"""One step of a mover: one record from stream to tape, or from tape to stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from protocols.ndmp.codes import INFINITY, HaltReason, PauseReason
from tests.fakes.medium import TapeEnd
from tests.fakes.ndmp_server.drives import Refused

if TYPE_CHECKING:
    from tests.fakes.ndmp_server.mover import Mover
    from tests.fakes.ndmp_server.stream import Stream
    from tests.fakes.ndmp_server.tape_agent import TapeAgent


@frozen
class Window:
    """What may be moved until the next pause.

    :ivar block: the tape's block number where the offset is, when reading from tape.
    """

    offset: int = 0
    length: int = INFINITY
    block: int = 0

    def has(self, position: int) -> bool:
        """The byte at this position may be moved."""
        return self.offset <= position < self.offset + self.length


def read_step(mover: Mover, tape: TapeAgent, stream: Stream) -> bool:
    """Write the next record of the stream to tape. :return: go on with the next"""
    size = mover.record_size
    stream.want(size)
    if not (mover.held or stream.ready(size)):
        if stream.lost:
            mover.halt(HaltReason.CONNECT_ERROR if stream.reset else HaltReason.CONNECT_CLOSED)
        return False
    if not _window(mover).has(mover.position):
        mover.pause(mover.profile.window_end)
        return False
    record = mover.held or stream.take(size).ljust(size, b"\0")
    mover.held = b""
    try:
        end = tape.write_record(record)
    except Refused:
        mover.halt(HaltReason.MEDIA_ERROR)
        return False
    if end is TapeEnd.FULL:
        mover.halt(HaltReason.MEDIA_ERROR)
        return False
    if end is TapeEnd.EARLY:
        mover.held = record
        if mover.profile.eom_marker:
            tape.mark_end()
            mover.session.log("End of tape reached. Load next tape")
        mover.pause(PauseReason.EOM)
        return False
    mover.position += size
    mover.moved += size
    return True


def write_step(mover: Mover, tape: TapeAgent, stream: Stream) -> bool:
    """Send the next record of the tape. :return: always False: the stream asks for the next"""
    if stream.lost:
        if mover.profile.reports_dead_reader:
            mover.halt(HaltReason.CONNECT_ERROR if stream.reset else HaltReason.CONNECT_CLOSED)
        return False
    if not mover.left or stream.busy:
        return False
    if not _window(mover).has(mover.position):
        mover.pause(PauseReason.SEEK)
        return False
    try:
        inside = _align(mover, tape)
        found = tape.read_record()
    except Refused:
        mover.halt(HaltReason.MEDIA_ERROR)
        return False
    if isinstance(found, TapeEnd):
        eom = found is TapeEnd.NOTHING and mover.profile.eom_at_end
        mover.pause(PauseReason.EOM if eom else PauseReason.EOF)
        return False
    data = found[: mover.record_size][inside : inside + mover.left]
    mover.position += len(data)
    mover.aligned_at = mover.position if inside + len(data) >= len(found) else None
    mover.moved += len(data)
    mover.left -= len(data)
    stream.give(data)
    return False


def _align(mover: Mover, tape: TapeAgent) -> int:
    """Go to the record that has the position, counted from where the window was set.

    :return: the position's offset in that record
    """
    if mover.aligned_at == mover.position:
        return 0
    window = _window(mover)
    records, inside = divmod(mover.position - window.offset, mover.record_size)
    medium = tape.medium()
    steps = window.block + records - medium.blockno
    if steps >= 0:
        medium.forward_records(steps)
    else:
        medium.back_records(-steps)
    return inside


def _window(mover: Mover) -> Window:
    assert mover.window is not None, "it is set when a mover begins"
    return mover.window
