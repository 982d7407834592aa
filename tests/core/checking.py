"""What must hold of every conversation, whatever was said and whatever went wrong."""

from __future__ import annotations

from collections import Counter

from protocols import tracelog
from protocols.driver import commands, replies
from tests.core.conversing import Conversation

ENDS_LOGGED = (tracelog.Done, tracelog.Partial, tracelog.Fail)
ENDS = (replies.Done, replies.Partial, replies.Failed)
CLOSE = (commands.CloseVolume, commands.CloseSourceVolume)


def check_dump(
    talk: Conversation, handle: str, data: bytes, disk: str, *, whole_log: bool = True
) -> str:
    """Check all that was said, logged and stored of one dump; the name of its last reply.

    :param data: what its source has.
    :param whole_log: every trace-log line could be written.
    """
    said = [reply for reply in talk.driver.replies if getattr(reply, "handle", "") == handle]
    ends = [reply for reply in said if isinstance(reply, ENDS)]
    assert len(ends) == 1, talk.driver.lines
    assert said[-1] is ends[0] or isinstance(said[-1], replies.NoNewTape)
    end = ends[0]
    parts = [reply for reply in said if isinstance(reply, replies.PartDone)]
    told = b"".join(_stored(talk, part.label, part.fileno) for part in parts)
    assert data.startswith(told), "a part that was told of is not what the source had"
    if isinstance(end, replies.Done):
        assert told == data
        assert (end.input, end.tape) == ("INPUT-GOOD", "TAPE-GOOD")
    elif isinstance(end, replies.Partial):
        assert (end.input, end.tape) != ("INPUT-GOOD", "TAPE-GOOD")
        assert end.inputerr or end.tapererr
    else:
        assert not parts
        assert end.inputerr or end.tapererr
    if not isinstance(end, replies.Failed) and whole_log:
        assert f" bytes {len(told)} " in end.stats
    if whole_log:
        _check_log(talk, disk, end.name, told)
    return end.name


def check_closed(talk: Conversation) -> None:
    """Whoever did not ask is told of the end of a volume only after its beginning: the driver
    looks for the label, of which it must know."""
    asked = Counter((it.name, it.worker) for it in talk.commands if isinstance(it, CLOSE))
    known: Counter[tuple[str, str]] = Counter()
    for reply in talk.driver.replies:
        if isinstance(reply, replies.OpenedSourceVolume):
            known["CLOSE-SOURCE-VOLUME", reply.worker] += 1
        elif isinstance(reply, (replies.ClosedSourceVolume, replies.ClosedVolume)):
            which = (reply.name.replace("CLOSED", "CLOSE"), reply.worker)
            known[which] -= 1
            assert known[which] + asked[which] >= 0, talk.driver.lines


def _stored(talk: Conversation, label: str, fileno: int) -> bytes:
    tape = next(tape for tape in talk.tapes.values() if tape.medium.label == label)
    assert tape.medium.files[fileno].complete
    return tape.stored(fileno)


def _check_log(talk: Conversation, disk: str, word: str, told: bytes) -> None:
    """The trace log says the same as the replies, and every label before its parts."""
    started: set[str] = set()
    logged = b""
    ends: list[str] = []
    for record in talk.log.records:
        if isinstance(record, tracelog.Start):
            started.add(record.label)
        elif isinstance(record, tracelog.Part):
            assert record.label in started
            if record.disk == disk:
                logged += _stored(talk, record.label, record.fileno)
        elif isinstance(record, ENDS_LOGGED) and record.disk == disk:
            ends.append(type(record).__name__)
    assert logged == told
    allowed = {"DONE": ("Done", "Partial"), "PARTIAL": ("Partial",), "FAILED": ("Fail",)}
    assert len(ends) == 1
    assert ends[0] in allowed[word]


def check_permissions(talk: Conversation) -> None:
    """Each NEW-TAPE gets exactly one NEW-TAPE, NO-NEW-TAPE or BAD-COMMAND; READY comes once."""
    asked: Counter[str] = Counter()
    ready: Counter[str] = Counter()
    for reply in talk.driver.replies:
        if isinstance(reply, replies.NewTape | replies.NoNewTape):
            asked[reply.handle] += 1
        elif isinstance(reply, replies.Ready):
            ready[reply.handle] += 1
    given: Counter[str] = Counter()
    taken: Counter[str] = Counter()
    for command in talk.commands:
        if command.name == "NEW-TAPE":
            given[command.handle] += 1  # type: ignore[attr-defined]
        elif command.name == "TAKE-SCRIBE-FROM":
            taken[command.handle] += 1  # type: ignore[attr-defined]
    refused = sum("NEW-TAPE" in line for line in talk.driver.lines if line.startswith("BAD-"))
    if not refused and not talk.quits:
        assert asked == given
    assert all(asked[handle] <= given[handle] for handle in asked)
    assert all(count <= 1 + taken[handle] for handle, count in ready.items())
