"""Generated conversations about a drive with a mover: the real ``ndmjob``, and one tape in it."""

from dataclasses import dataclass, field, replace

from tests.conformance.generated import Player
from tests.conformance.generated_plan import CACHE, Step
from tests.conformance.harness_text import crc, split_line
from tests.fakes.medium import Medium
from tests.fakes.ndmjob import NdmJob
from tests.fakes.ndmp_runs import Client, padded

TAPE = "tape1"


@dataclass
class DirectPlayer(Player):
    """The driver model with such a drive.

    :ivar server: runs, with an empty tape
    """

    server: NdmJob = field(kw_only=True)

    def prepare(self) -> None:
        """Write the configuration."""
        drive = self.plan.drive
        assert drive is not None, "a plan without a drive"
        self.world.mkdir(CACHE)
        self.world.configure(
            replace(
                self.plan.options,
                changer=f'tpchanger "chg-single:{self.server.url(TAPE)}"',
                properties=f'device-property "INDIRECT" "{str(drive.indirect).lower()}"',
            )
        )

    def deliver(self, step: Step, data: bytes, port: int, where: str) -> None:
        """Play dumper and client: who sends the data may have to ask where to."""
        if step.fault != "other-header" and not where.startswith("/"):
            Client(where, data)
            super().deliver(replace(step, kind="sent"), data, port, where)
        else:
            super().deliver(step, data, port, where)

    def send_data(self, step: Step, data: bytes, where: str) -> None:
        """A ring is filled; what goes to an address is under way."""
        if step.kind != "sent":
            super().send_data(step, data, where)

    def records(self) -> list[list[bytes]]:
        """The files of the tape, each a list of its records."""
        medium = Medium.in_file(self.server.directory / TAPE)
        try:
            return medium.files()
        finally:
            medium.close()

    def stored(self, label: str) -> dict[int, tuple[list[str], bytes]]:
        """See :meth:`Player.stored`."""
        found = {}
        for number, (header, *records) in enumerate(self.records()):
            line = header.split(b"\n")[0].decode("utf-8", "surrogateescape")
            found[number] = ([word for word in split_line(line) if word], b"".join(records))
        assert found[0][0][-1] == label, f"the tape is {found[0][0]}, not {label}"
        return found

    def volumes(self) -> object:
        """See :meth:`Player.volumes`."""
        return self.records()

    def on_medium(self, data: bytes) -> bytes:
        """The mover pads the last record."""
        return padded(data)

    def sums(self, data: bytes, size: int) -> set[str]:
        """Nobody here has seen the bytes, unless we sent them to the mover."""
        return {"00000000:0", crc(data[:size])}
