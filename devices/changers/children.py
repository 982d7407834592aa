"""Changers that other changers are made of: what is common to them [changers 3.6, 3.7].

A child is opened by name like any other changer. What is asked of all of them is asked of all at
the same time, and what goes wrong is told as one error.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.internet.defer import Deferred, DeferredList
from twisted.python.failure import Failure

from devices.errors import ChangerError, ChangerReason
from protocols.braces import BraceError, expand_braces

if TYPE_CHECKING:
    from devices.changers.setup import ChangerSetup
    from devices.interfaces import IAsyncChanger
    from protocols.conf.sections import Storage

T = TypeVar("T")

MISSING = "ERROR"
"""In the place of a child's name: there is none."""

_log = logging.getLogger(__name__)


class Children:
    """The children of one changer, by their number from 0.

    :param storage: what the children are opened for
    :param allow_missing: a child that cannot be opened is left out, if another can
    :ivar names: of all children, also of those that are missing
    :raise ChangerError: the name is no list of at least two, or a child cannot be opened
    """

    def __init__(
        self, setup: ChangerSetup, storage: Storage | None, *, allow_missing: bool = False
    ) -> None:
        self.names = _child_names(setup)
        self._opened: dict[int, IAsyncChanger] = {}
        faults: list[tuple[str, ChangerError]] = []
        for number, name in enumerate(self.names):
            if name == MISSING:
                continue
            try:
                self._opened[number] = setup.open_child(name, storage)
            except ChangerError as fault:
                faults.append((name, fault))
        some = self._opened or MISSING in self.names
        if faults and not (allow_missing and some):
            self._abandon()
            all_of_them = combined(faults, fatal=len(faults) > 1)
            raise ChangerError(setup.placed(all_of_them.message), all_of_them.reason)
        for name, missing in faults:
            _log.warning("%s: going on without '%s': %s", setup.name, name, missing)

    def _abandon(self) -> None:
        """Close those that were opened for nothing."""

        def complain(failure: Failure) -> None:
            _log.warning("closing a changer that is not used: %s", failure.value)

        for changer in self._opened.values():
            changer.close().addErrback(complain)

    @property
    def opened(self) -> Mapping[int, IAsyncChanger]:
        """Those that are there."""
        return self._opened

    async def ask(
        self,
        operation: Callable[[int, IAsyncChanger], Deferred[T]],
        of: Iterable[int] | None = None,
    ) -> dict[int, T]:
        """Ask all children, or some of them, and wait for all of them.

        :raise ChangerError: what went wrong, of each that it went wrong with
        """
        answers = await self.ask_each(operation, of)
        good = {number: one for number, one in answers.items() if not isinstance(one, ChangerError)}
        if len(good) < len(answers):
            raise self.error(
                {number: one for number, one in answers.items() if isinstance(one, ChangerError)}
            )
        return good

    async def ask_each(
        self,
        operation: Callable[[int, IAsyncChanger], Deferred[T]],
        of: Iterable[int] | None = None,
        *,
        dispose: Callable[[T], Deferred[None]] | None = None,
    ) -> dict[int, T | ChangerError]:
        """The same, with what goes wrong as an answer.

        Whatever else than a ChangerError goes wrong is raised when all have answered; and whoever
        is cancelled cancels all.

        :param dispose: is then given what the others have answered
        """
        numbers = list(self._opened if of is None else of)
        asked: list[Deferred[T]] = []
        for number in numbers:
            asked.append(operation(number, self._opened[number]))
        outcomes: Sequence[tuple[bool, Any]] = await DeferredList(asked, consumeErrors=True)
        answers: dict[int, T | ChangerError] = {}
        broken: Failure | None = None
        for number, (_, outcome) in zip(numbers, outcomes, strict=True):
            if not isinstance(outcome, Failure):
                answers[number] = outcome
            elif isinstance(outcome.value, ChangerError):
                answers[number] = outcome.value
            else:
                broken = broken or outcome
        if broken is not None:
            for answer in answers.values():
                if dispose is not None and not isinstance(answer, ChangerError):
                    await dispose(answer)
            broken.raiseException()
        return answers

    def error(self, faults: Mapping[int, ChangerError]) -> ChangerError:
        """The errors of some children as one."""
        return combined([(self.names[number], fault) for number, fault in faults.items()])

    async def close(self) -> None:
        """Close them all; the first error is raised when all have been."""
        closing = [changer.close() for changer in self._opened.values()]
        outcomes: Sequence[tuple[bool, Any]] = await DeferredList(closing, consumeErrors=True)
        for _, outcome in outcomes:
            if isinstance(outcome, Failure):
                outcome.raiseException()


def combined(faults: Sequence[tuple[str, ChangerError]], *, fatal: bool = False) -> ChangerError:
    """One error of several, each with the name of the child [changers 2.5].

    :param fatal: it is, whatever they are
    """
    text = "; ".join(f"{name}: {fault.message}" for name, fault in faults)
    if len(faults) == 1:
        return ChangerError(text, faults[0][1].reason)
    reasons = {fault.reason for _, fault in faults}
    if fatal or None in reasons:
        return ChangerError(text)
    return ChangerError(text, reasons.pop() if len(reasons) == 1 else ChangerReason.UNKNOWN)


def _child_names(setup: ChangerSetup) -> tuple[str, ...]:
    kind = f"chg-{setup.kind}"
    text = f"{kind} needs at least two child changers, not '{setup.argument}'"
    expected = f"a list of changers, such as {kind}:{{chg-disk:/a,chg-disk:/b}},"
    try:
        names = expand_braces(setup.argument)
    except BraceError as error:
        raise setup.mistake(f"{text}: {error}", expected) from error
    if len(names) < 2 or not all(names):
        raise setup.mistake(text, expected)
    return names
