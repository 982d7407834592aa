"""A plan, for people and as a record for ``--json``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from taper.people.exits import Exit
from taper.people.telling import Answer, Column, Table, moment, printable, size

if TYPE_CHECKING:
    from taper.people.restore.plan import Need, Plan, Step


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
