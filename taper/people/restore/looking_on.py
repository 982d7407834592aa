"""Where a restore is: for the person who sits before it, and for whoever watches."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from protocols.status import clipped
from taper.people.read_watch import NOWHERE, Place
from taper.people.telling import printable

if TYPE_CHECKING:
    from taper.people.read_watch import ReadWatch
    from taper.people.restore.bringing import Bringing
    from taper.people.restore.dialogue import Dialogue
    from taper.people.restore.plan import Plan, Step
    from taper.people.restore.step import StepAtWork


class LookingOn:
    """Follows one restore; it is an :class:`taper.recovery.loading_ahead.IOnlooker`."""

    def __init__(self, dialogue: Dialogue, watch: ReadWatch, bringing: Bringing) -> None:
        self._dialogue = dialogue
        self._watch = watch
        self._bringing = bringing
        self._plan: Plan | None = None
        self._step: StepAtWork | None = None
        self._before = 0
        self._loading: str | None = None
        self._drive = 1
        watch.done = self.done
        watch.waited_for = self._waited_for
        dialogue.heard = watch.note

    def planned(self, plan: Plan, target: str) -> None:
        """This is going to be done."""
        self._plan = plan
        self._watch.know(
            host=plan.host, disk=plan.disk, to=target, steps=len(plan.steps), total=plan.size
        )

    def step_begins(self, plan: Plan, step: Step, at_work: StepAtWork) -> None:
        """A dump is being restored from now on."""
        self._step = at_work
        self._watch.know(
            step=1 + plan.steps.index(step),
            dump={
                "host": clipped(plan.host),
                "disk": clipped(plan.disk),
                "datestamp": clipped(step.copy.datestamp),
                "level": str(step.copy.level),
            },
        )

    def step_ends(self) -> None:
        """It is over."""
        if self._step is not None:
            self._before += self._step.done()
            self._step = None

    def done(self) -> int:
        """Bytes read so far, of all dumps."""
        return self._before + (0 if self._step is None else self._step.done())

    @property
    def storage(self) -> str:
        """That of the dump at hand."""
        return "" if self._step is None else self._step.storage

    # what is done with drives

    def loading(self, drive: int, label: str, *, ahead: bool) -> None:
        self._watch.drive(drive).be("loading", label)
        if not ahead:
            self._loading, self._drive = label, drive
            self._dialogue.waiting(f"Loading volume {printable(label)}")

    def ready(self, drive: int, label: str, slot: str | None) -> None:
        self._watch.drive(drive).be("ready", label, slot)

    def reading(self, drive: int, label: str, slot: str | None) -> None:
        self._loading = None
        self._bringing.came(label)
        self._dialogue.doing(f"Reading volume {printable(label)}")
        steps = () if self._plan is None else self._plan.steps
        sizes = [need.size for step in steps for need in step.needs if need.label == label]
        total = None if None in sizes else sum(size or 0 for size in sizes)
        where = functools.partial(self._where, label, self.done())
        self._watch.drive(drive).reads(label, slot, total, where)

    def empty(self, drive: int) -> None:
        self._watch.drive(drive).be("empty")

    def brought(self) -> None:
        """Somebody has to bring what was to be loaded."""
        self._loading = None
        self.empty(self._drive)

    def _where(self, label: str, before: int) -> Place:
        """Where on a volume it is read.

        :param before: bytes that were read of others
        """
        step = self._step
        part = None if step is None else step.part
        if step is None or part is None or part.label != label:
            return NOWHERE
        return Place(
            dump=self._watch.dump,
            part=part.number,
            parts=step.parts,
            file=part.fileno,
            read=self.done() - before,
        )

    def _waited_for(self) -> tuple[str, str] | None:
        if self._loading is not None:
            return "drive", f"volume {self._loading} is loaded"
        return None if self._step is None else self._step.waited_for()
