"""What a taper orders, and how an application answers it.

SEND and HALT are orders. Each is answered once, in their order: SEND by SENDING or CANNOT, HALT by
HALTED or CANNOT. A taper need not wait for an answer before the next order; what the application
has then not begun yet it cannot do any more, and says so. The run of a SEND is greater than any
before. Both halves keep to the same rules, so a mistake is found where it is made.
"""

from __future__ import annotations

from collections import deque

from protocols.rendezvous.frames import (
    Broken,
    Cannot,
    Delivered,
    Frame,
    Halt,
    Halted,
    Send,
    Sending,
)

MAX_UNANSWERED = 16
"""Orders without an answer."""


class Orders:
    """Those of one connection.

    A connection that was made anew knows nothing of the runs of the last one, so the run of its
    first frame is taken as it is.
    """

    def __init__(self) -> None:
        self._run = 0
        self._unanswered: deque[Send | Halt] = deque()

    def wrong(self, frame: Frame) -> str | None:
        """What is wrong with a frame here and now; None: it may be said, and now was."""
        if isinstance(frame, Send | Halt):
            return self._order(frame)
        if isinstance(frame, Sending | Halted | Cannot):
            return self._answer(frame)
        if isinstance(frame, Broken | Delivered) and self._run and frame.run > self._run:
            return f"{frame.kind.name}: run {frame.run} has not begun"
        return None

    def _order(self, order: Send | Halt) -> str | None:
        name = order.kind.name
        if len(self._unanswered) >= MAX_UNANSWERED:
            return f"{name}: {MAX_UNANSWERED} orders are unanswered"
        if isinstance(order, Send) and order.run <= self._run:
            return f"{name}: run {order.run} does not follow run {self._run}"
        if isinstance(order, Halt) and self._run and order.run != self._run:
            return f"{name}: run {order.run} is not the last one, {self._run}"
        self._run = order.run
        self._unanswered.append(order)
        return None

    def _answer(self, answer: Sending | Halted | Cannot) -> str | None:
        name = answer.kind.name
        if not self._unanswered:
            return f"{name}: nothing is to be answered"
        order = self._unanswered[0]
        if answer.run != order.run:
            return f"{name}: run {answer.run}, but run {order.run} is to be answered"
        if isinstance(answer, Sending) and not isinstance(order, Send):
            return f"{name}: HALT is to be answered"
        if isinstance(answer, Halted) and not isinstance(order, Halt):
            return f"{name}: SEND is to be answered"
        if not isinstance(answer, Cannot) and answer.offset != order.offset:
            return f"{name}: offset {answer.offset}, but {order.offset} was ordered"
        self._unanswered.popleft()
        return None
