"""Failing conversations made small: what can go without the failure going away, goes."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from tests.conformance.generated_plan import WRITES, Plan, Step
from tests.conformance.generated_sources import Shelf, Source
from tests.conformance.harness_talk import PLAIN

TRIES = 60
"""How many conversations may be held for one failure."""


def smallest(plan: Plan, fails: Callable[[Plan], bool], tries: int = TRIES) -> Plan:
    """Find a plan that still fails and of which nothing can go; or the best in so many tries."""
    again = True
    while again:
        again = False
        for smaller in smaller_plans(plan):
            if not tries:
                return plan
            tries -= 1
            if fails(smaller):
                plan, again = smaller, True
                break
    return plan


def smaller_plans(plan: Plan) -> Iterator[Plan]:
    """Plans with one thing less, those first that lose most."""
    steps = plan.steps
    for at in range(len(steps) - 1, -1, -1):
        yield replace(plan, steps=steps[:at] + steps[at + 1 :])
    for at in range(len(plan.slots)):
        yield replace(plan, slots=plan.slots[:at] + plan.slots[at + 1 :])
    for at, step in enumerate(steps):
        for smaller in smaller_steps(step):
            yield replace(plan, steps=(*steps[:at], smaller, *steps[at + 1 :]))
    if plan.shelf is not None:
        for shelf in smaller_shelves(plan.shelf):
            yield replace(plan, shelf=shelf)


def smaller_steps(step: Step) -> Iterator[Step]:
    """The same step with one thing less."""
    for at in range(len(step.inner)):
        yield replace(step, inner=step.inner[:at] + step.inner[at + 1 :])
    plain = ("grant",) * len(step.answers)
    if step.answers != plain:
        yield replace(step, answers=plain)
        for at, answer in enumerate(step.answers):
            if answer != "grant":
                answers = (*step.answers[:at], "grant", *step.answers[at + 1 :])
                yield replace(step, answers=answers)
    if step.kind not in WRITES:
        return
    if step.fault:
        yield replace(step, fault="")
    if step.split != PLAIN:
        yield replace(step, split=PLAIN)
    if step.chunk:
        yield replace(step, chunk=0)
    if step.size > 1:
        yield replace(step, size=step.size // 2, kept=min(step.kept, step.size // 2))
    for at, inner in enumerate(step.inner):
        for smaller in smaller_steps(inner):
            yield replace(step, inner=(*step.inner[:at], smaller, *step.inner[at + 1 :]))


def smaller_shelves(shelf: Shelf) -> Iterator[Shelf]:
    """The same storage with less wrong, or less in its dumps; their number must stay, as steps
    pick them by it."""
    for at, source in enumerate(shelf.sources):
        for smaller in smaller_sources(source):
            sources = (*shelf.sources[:at], smaller, *shelf.sources[at + 1 :])
            yield replace(shelf, sources=sources)


def smaller_sources(source: Source) -> Iterator[Source]:
    """The same dump with one part less, or without its fault."""
    if len(source.pieces) > 1 and source.at < len(source.pieces) - 1:
        yield replace(source, pieces=source.pieces[:-1])
    if source.fault:
        yield replace(source, fault="")
