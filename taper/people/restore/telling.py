"""A plan and its outcome, for people and as records for ``--json``."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING, Any

from attrs import frozen

from taper.people.exits import Exit
from taper.people.telling import Answer, Column, Table, count, moment, printable, size

if TYPE_CHECKING:
    from protocols.stored import StoredPart
    from protocols.tararchive import Hole
    from taper.people.restore.plan import Need, Plan, Step
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
    holes: tuple[Hole, ...] = ()
    names_lost: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    checked: bool = False
    seen: frozenset[str] = frozenset()
    contents: Contents | None = None

    @property
    def whole(self) -> bool:
        """All is there, as far as anybody can tell; where headers are damaged only a checksum
        can."""
        wrong = self.damaged or self.losses or self.holes or self.faults
        return not wrong and (self.checked or not self.headless)


# the plan


def tell_plan(plan: Plan, target: str, far: str | None = None) -> Answer:
    """What is going to be done.

    :param far: the other host, where the target is a directory of one
    """
    return Answer(
        record=plan_record(plan, target),
        shown=tuple(_plan_lines(plan, target, far)),
        exit=Exit.ABSENT if plan.missing else Exit.WELL,
    )


def _plan_lines(plan: Plan, target: str, far: str | None) -> Iterator[Table | str]:
    where = "standard output" if target == "-" else target
    yield f"{printable(plan.host)} {printable(plan.disk)} is restored to {printable(where)}:"
    if far is not None:
        yield (
            f"It is read and decrypted here, and unpacked on {printable(far)}, by ssh; that host "
            "is not asked before the restore begins."
        )
    yield Table(
        (
            Column("level"),
            Column("dump of"),
            Column("size", right=True),
            Column("parts", right=True),
            Column("from"),
        ),
        [_step_row(step) for step in plan.steps],
    )
    needs = [need for step in plan.steps for need in step.needs]
    if needs:
        yield "Volumes, in the order of reading:"
        columns = (
            Column("volume"),
            Column("storage"),
            Column("parts", right=True),
            Column("where"),
        )
        yield Table(columns, [_need_row(need) for need in needs])
    for step in plan.steps:
        if step.paths:
            yield f"Of level {step.copy.level}: {', '.join(map(printable, step.paths))}"
    for copy in plan.passed_over:
        yield f"Level {copy.level} of {moment(copy.datestamp)} has none of it, by its index."
    for step in plan.steps:
        if step.copy.lacks is not None:
            yield (
                f"Level {step.copy.level} of {moment(step.copy.datestamp)} is not whole: "
                f"{printable(step.copy.lacks)}. What there is of it is restored."
            )
    if plan.steps and any(step.copy.lacks is not None for step in plan.steps[:-1]):
        yield "Later ones build on it: what did not change since then may be missing."
    if plan.base_missing:
        yield _base(plan)
    for stamp, level in plan.lost:
        yield (
            f"Level {level} of {moment(stamp)} cannot be restored, and the next one may build on "
            "it: what changed in between may be missing, or be as it was before."
        )
    for one in plan.newer:
        yield (
            f"Level {one.level} of {moment(one.datestamp)} is newer, and cannot be restored: "
            f"{printable(one.why)}"
        )
    if plan.newer:
        stamps = [*(step.copy.datestamp for step in plan.steps)]
        stamps += [copy.datestamp for copy in plan.passed_over]
        yield (
            "So the disk is restored as it was before; the date behind its name says that this is "
            f'wanted: "{moment(max(stamps))}"'
        )
    if plan.to_come is not None:
        yield (
            f"{moment(plan.to_come)} is still to come: the clock was wrong. Dumps that were made "
            "later may have earlier dates, and are restored if theirs is named."
        )
    if plan.gap and not plan.lost:
        yield (
            "A level between these is nowhere any more: what changed in between may be missing, or "
            "be as it was before."
        )


def _base(plan: Plan) -> str:
    """What is told where the first dump builds on one that is not there as a whole."""
    first = f"level {plan.steps[0].copy.level if plan.steps else '?'}"
    base = plan.base
    if base is None:
        return (
            f"No full dump is left: {first} builds on one that no log tells of any more. Only what "
            "changed since then can be restored."
        )
    remedy = " With --partial, what there is of that one is restored first." if base.left else ""
    return (
        f"No whole full dump is among these: {first} builds on level {base.level} of "
        f"{moment(base.datestamp)}, which cannot be restored as a whole: {printable(base.why)}. "
        f"Only what changed since then can be restored.{remedy}"
    )


def _step_row(step: Step) -> tuple[str, ...]:
    copy = step.copy
    parts = "" if copy.dump is None else str(len(copy.parts))
    labels = "the holding disk" if copy.dump is None else ", ".join(copy.labels)
    told = "?" if copy.size is None else size(copy.size)
    return str(copy.level), moment(copy.datestamp), told, parts, printable(labels)


def _need_row(need: Need) -> tuple[str, ...]:
    return printable(need.label), printable(need.storage), str(need.parts), _place(need)


def _place(need: Need) -> str:
    if need.slot is not None:
        return f"slot {printable(need.slot)}"
    return "perhaps in a slot of unknown content" if need.hidden else "NOT IN THE CHANGER"


def plan_record(plan: Plan, target: str) -> dict[str, Any]:
    """The plan for ``--json``."""
    return {
        "host": plan.host,
        "disk": plan.disk,
        "to": target,
        "size": plan.size,
        "base_missing": plan.base_missing,
        "base_lacks": None if plan.base is None or not plan.base_missing else plan.base.why,
        "lost": len(plan.lost),
        "gap": plan.gap,
        "newer": [
            {"datestamp": one.datestamp, "level": one.level, "why": one.why} for one in plan.newer
        ],
        "missing": list(plan.missing),
        "steps": [_step_record(step) for step in plan.steps],
    }


def _step_record(step: Step) -> dict[str, Any]:
    copy = step.copy
    return {
        "level": copy.level,
        "datestamp": copy.datestamp,
        "size": copy.size,
        "storage": copy.storage,
        "holding_file": copy.holding,
        "parts": None if copy.dump is None else len(copy.parts),
        "lacks": copy.lacks,
        "paths": list(step.paths),
        "other_copies": list(step.others),
        "volumes": [
            {
                "label": need.label,
                "storage": need.storage,
                "parts": need.parts,
                "size": need.size,
                "slot": need.slot,
                "missing": need.missing,
            }
            for need in step.needs
        ],
    }


def tell_missing(plan: Plan, target: str) -> Answer:
    """What somebody has to bring, and what can be done without."""
    labels = ", ".join(map(printable, plan.missing))
    lines = (
        f"Not in the changer: {labels}. Nothing was restored.",
        "Load them and start again, on a terminal to be asked for each; or say --partial to "
        "restore what the other volumes have.",
    )
    return Answer(record=plan_record(plan, target), shown=lines, exit=Exit.ABSENT)


# the outcome


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
    sound = whole and not any(outcome.headless for outcome in outcomes)
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
        "holes": [
            {"byte": hole.start, "size": hole.size, "after": hole.before, "before": hole.after}
            for hole in outcome.holes
        ],
    }
