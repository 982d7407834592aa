"""What all sessions of a server share: drives, slots, and who has what open."""

from __future__ import annotations

from attrs import define, field

from protocols.ndmp.codes import ErrorCode
from tests.fakes.medium import Medium


class Refused(Exception):
    """A request is answered by this error, in the body of the reply.

    :ivar in_header: in the header instead, without a body.
    """

    def __init__(self, error: ErrorCode, *, in_header: bool = False) -> None:
        super().__init__(error.name)
        self.error = error
        self.in_header = in_header


@define(eq=False)
class Drive:
    """A tape drive.

    :ivar medium: the tape in it; None: none.
    :ivar user: the session that has it open; None: none.
    :ivar block_size: bytes of its fixed blocks; 0: variable.
    """

    medium: Medium | None = None
    block_size: int = 0
    user: object | None = field(default=None, init=False)

    def loaded(self) -> Medium:
        """The tape in it.

        :raise Refused: there is none
        """
        if self.medium is None:
            raise Refused(ErrorCode.NO_TAPE_LOADED)
        return self.medium


@define(eq=False)
class Robot:
    """A changer: its drives and slots, in order.

    :ivar slots: the tapes in storage.
    :ivar came_from: of a drive's tape, by the drive's number: its slot.
    :ivar user: the session that has it open; None: none.
    """

    drives: list[Drive]
    slots: list[Medium | None]
    came_from: dict[int, int] = field(factory=dict)
    user: object | None = field(default=None, init=False)
