"""What became of a restore, for people and as a record for ``--json``."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING, Any

from attrs import frozen

from taper.people.exits import Exit
from taper.people.restore.telling import plan_record
from taper.people.telling import Answer, count, moment, printable, size

if TYPE_CHECKING:
    from protocols.stored import StoredPart
    from protocols.tararchive import Hole
    from taper.people.restore.inferring import StandIn
    from taper.people.restore.plan import Plan, Step
    from taper.people.restore.watched import Contents
    from taper.plane.salvage import Loss

_SHOWN = 20
"""Names of damaged files, and faults, that are shown to people."""


@frozen(kw_only=True)
class Outcome:
    """What became of one step.

    :ivar read: bytes, as they are stored.
    :ivar files: how many were unpacked; None: nobody counted.
    :ivar damaged: names of files of which bytes are missing.
    :ivar losses: parts, and rests of parts, that could not be read.
    :ivar headless: parts whose headers are damaged, and whose data were taken all the same.
    :ivar stand_in: what was taken for its header, of which no part had one; None: it had one.
    :ivar undone_checked: a checksum of what was dumped was known, and is that of what came out.
    :ivar holes: where more files may have been.
    :ivar names_lost: of files that were there, as the index tells.
    :ivar faults: what else was wrong.
    :ivar checked: a checksum was known, and is that of what was read.
    :ivar seen: of the paths that are wanted, those that were found.
    :ivar contents: what the archive had; None: it is none.
    """

    step: Step
    read: int = 0
    files: int | None = None
    damaged: tuple[str, ...] = ()
    losses: tuple[Loss, ...] = ()
    headless: tuple[StoredPart, ...] = ()
    stand_in: StandIn | None = None
    undone_checked: bool = False
    holes: tuple[Hole, ...] = ()
    names_lost: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    checked: bool = False
    seen: frozenset[str] = frozenset()
    contents: Contents | None = None

    @property
    def whole(self) -> bool:
        """All is there, as far as anybody can tell; where headers are damaged only a checksum
        can, and that of what was dumped alone where nothing of the dump tells how it is undone."""
        if self.damaged or self.losses or self.holes or self.faults:
            return False
        if self.stand_in is not None and self.stand_in.guessed:
            return self.undone_checked
        return self.checked or not (self.headless or self.stand_in)


def tell_outcome(
    plan: Plan,
    outcomes: list[Outcome],
    target: str,
    not_found: tuple[str, ...],
    left_out: tuple[str, ...] = (),
) -> Answer:
    """What was done.

    :param not_found: paths that no dump has
    :param left_out: names that were there by the last dump, and that none of the dumps has
    """
    whole = all(outcome.whole for outcome in outcomes) and plan.complete
    whole = whole and not (plan.newer or not_found or left_out)
    record = plan_record(plan, target)
    record["outcomes"] = [_outcome_record(outcome) for outcome in outcomes]
    record["not_found"] = list(not_found)
    record["left_out"] = list(left_out)
    record["whole"] = whole
    lines = [line for outcome in outcomes for line in _faults(outcome)]
    lines += [f"In none of these dumps: {printable(path)}" for path in not_found]
    if not_found and plan.passed_over:
        lines.append("Some were not read, by their indexes; with --no-index all of them are.")
    lines += _some([f"Not restored: {printable(name)}" for name in left_out])
    if left_out:
        lines.append(
            "These did not change before the last dump, and those before it have them under no "
            "such name. Where a directory was renamed, restore it by its old name, too, or the "
            "whole disk."
        )
    checked = all(outcome.checked for outcome in outcomes)
    sound = whole and not any(outcome.headless or outcome.stand_in for outcome in outcomes)
    if whole and not sound:
        lines.append(
            "All of it is restored, by the checksums, but volumes are damaged: copy what is on "
            "them while that can be done."
        )
    elif whole and checked:
        lines.append("Restored. All checksums are as they were when it was dumped.")
    elif whole:
        lines.append("Restored. Not every dump has a checksum to compare with.")
    else:
        lines.append("NOT ALL was restored; what is wrong stands above.")
    return Answer(record=record, shown=lines, exit=Exit.WELL if sound else Exit.FOUND)


def tell_step(outcome: Outcome, rate: str) -> str:
    """One line when a step is over."""
    copy = outcome.step.copy
    files = "" if outcome.files is None else f"{count(outcome.files, 'file')}, "
    if outcome.damaged:
        files += f"{len(outcome.damaged)} of them damaged, "
    how = "good" if outcome.whole else "NOT WHOLE"
    sums = ", checksum as it was dumped" if outcome.checked else ""
    return f"Level {copy.level} of {moment(copy.datestamp)}: {files}{rate}{sums}: {how}"


def _faults(outcome: Outcome) -> Iterator[str]:
    level = f"Level {outcome.step.copy.level}"
    for fault in _some(outcome.faults):
        yield f"{level}: {printable(fault)}"
    for text in _some(list(_losses(outcome.losses))):
        yield f"{level}: {text}"
    for text in _some([_headless(part) for part in outcome.headless]):
        yield f"{level}: {text}"
    if outcome.headless and not outcome.checked:
        yield f"{level}: no checksum confirms that they are the right ones"
    if outcome.stand_in is not None:
        yield f"{level}: {outcome.stand_in.told}. {_proof(outcome)}"
    for name in _some(outcome.damaged):
        yield f"{level}, damaged file: {printable(name)}"
    for name in _some(outcome.names_lost):
        yield f"{level}, lost file: {printable(name)}"
    for text in _some([_hole(hole) for hole in outcome.holes]):
        yield f"{level}: {text}"
    if outcome.step.others and not outcome.whole:
        others = ", ".join(map(printable, outcome.step.others))
        yield f"{level}: there is another copy; take it with --storage {others}"


def _some(texts: tuple[str, ...] | list[str]) -> Iterator[str]:
    yield from texts[:_SHOWN]
    if len(texts) > _SHOWN:
        yield f"... and {len(texts) - _SHOWN} more (--json has all)"


def _losses(losses: tuple[Loss, ...]) -> Iterator[str]:
    """One sentence for the parts of a volume that are lost one after another."""
    for _, group in groupby(losses, key=lambda loss: loss.part.label or loss.part.number):
        those = list(group)
        first, last = those[0], those[-1]
        sizes = [loss.size for loss in those]
        much = "an unknown size" if None in sizes else size(sum(one or 0 for one in sizes))
        which = f" of part {first.part.number}"
        if last is not first:
            which = f" of {count(len(those), 'part')}, {first.part.number} to {last.part.number}"
        elif not first.part.label:  # it may stand for several; the text tells of which
            which = ""
        yield f"lost {much}{which}: {printable(first.text)}"


def _headless(part: StoredPart) -> str:
    return (
        f"part {part.number} on {printable(part.place)}: its header is damaged; its data were "
        "taken by what the log tells of it"
    )


def _proof(outcome: Outcome) -> str:
    """What checksums say of a dump that was read without its header."""
    if outcome.undone_checked:
        return "What came out of it is what was dumped, by its checksum."
    if outcome.checked:
        return (
            "Its checksum tells that these are its bytes, and not whether they were undone right."
        )
    return "No checksum confirms it."


def _hole(hole: Hole) -> str:
    before = f"behind {printable(hole.before)}" if hole.before else "at the archive's begin"
    after = f"before {printable(hole.after)}" if hole.after else "to its end"
    return f"files may be missing {before}, {after} ({size(hole.size)})"


def _outcome_record(outcome: Outcome) -> dict[str, Any]:
    return {
        "level": outcome.step.copy.level,
        "datestamp": outcome.step.copy.datestamp,
        "whole": outcome.whole,
        "checked": outcome.checked,
        "read": outcome.read,
        "files": outcome.files,
        "damaged": list(outcome.damaged),
        "names_lost": list(outcome.names_lost),
        "faults": list(outcome.faults),
        "lost": [
            {
                "volume": loss.part.label,
                "file": loss.part.fileno,
                "part": loss.part.number,
                "size": loss.size,
                "why": loss.text,
            }
            for loss in outcome.losses
        ],
        "headless": [
            {"volume": part.label, "file": part.fileno, "part": part.number}
            for part in outcome.headless
        ],
        "header": _header_record(outcome),
        "holes": [
            {"byte": hole.start, "size": hole.size, "after": hole.before, "before": hole.after}
            for hole in outcome.holes
        ],
    }


def _header_record(outcome: Outcome) -> dict[str, Any] | None:
    found = outcome.stand_in
    if found is None:
        return None
    return {
        "undoing_from": found.undoing,
        "program_from": found.program,
        "copy": found.copy or None,
        "checked": outcome.undone_checked,
    }
