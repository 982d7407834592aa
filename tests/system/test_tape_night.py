"""Nights on tape: one drive, whose stack gives it the next cartridge, and what Amanda reads of it.

Driver, planner, dumpers and the programs that read are Amanda's, these on the same simulated tapes
through :mod:`tests.fakes.tape.stock_door`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from protocols.header import parse_header
from tests.fakes.tape import files_on, records_on
from tests.fakes.tape.placed import HOME, PlacedDrive
from tests.fakes.tape.stock_door import made_library, why_no_door
from tests.system.amanda import CONFIG, Amanda, Options
from tests.system.amrestore import restore
from tests.system.conftest import MakeAmanda

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(why_no_door() is not None, reason=str(why_no_door())),
]

MIB = 1 << 20
DRIVE = """
mailer "{home}/mailer"
mailto "operator"
eject-volume yes
define interactivity operator {{
  plugin "email"
  property "check-file" "{home}/reply"
  property "check-file-delay" "1"
}}
define taperscan lexical {{
  plugin "lexical"
}}
define changer drive {{
  tpchanger "chg-single:tape:{node}"
  device-property "LEOM" "{leom}"
}}
interactivity "operator"
taperscan "lexical"
tpchanger "drive"
define dumptype straight {{
  auth "local"
  program "GNUTAR"
  compress none
  holdingdisk never
}}
"""


class TapeNight:
    """An installation with one tape drive.

    :ivar cartridges: in the order in which the drive takes them
    """

    def __init__(
        self,
        make_amanda: MakeAmanda,
        *,
        leom: bool,
        cartridges: int,
        facts: dict[str, Any],
        **more: Any,
    ) -> None:
        node = f"{HOME}/nst0"
        text = DRIVE.format(home=HOME, node=node, leom="yes" if leom else "no")
        options = Options(
            slots=0, tapecycle=cartridges + 1, extra=text + more.pop("extra", ""), **more
        )
        self.amanda: Amanda = make_amanda(options)
        self.drive = PlacedDrive(self.amanda)
        self.cartridges = [
            self.drive.cartridge(f"cartridge{number}", **facts) for number in range(cartridges)
        ]
        self.drive.stack(*self.cartridges)
        self.amanda.write(f"{HOME}/mailer", f"#!/bin/sh\ncat > {HOME}/mail\n")
        self.amanda.path(f"{HOME}/mailer").chmod(0o755)

    @contextmanager
    def operator(self) -> Iterator[None]:
        """Whenever an operator is asked for the next volume he says that it is there: the drive
        has taken it from its stack."""
        over = threading.Event()
        mail = self.amanda.path(f"{HOME}/mail")

        def watch() -> None:
            while not over.wait(0.1):
                if mail.exists():
                    mail.unlink()
                    self.amanda.write(f"{HOME}/reply", "\n")

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def used(self) -> list[Path]:
        """The cartridges that were labelled."""
        return [path for path in self.cartridges if (files_on(path) or [[]])[0]]

    def stored(self) -> bytes:
        """The data of the good parts on them, as the trace log tells them, padding included."""
        labelled = {parse_header(files_on(path)[0][0]).label: path for path in self.used()}
        parts = [line.split() for line in self.amanda.trace_log("PART taper")]
        return b"".join(records_on(labelled[words[4]], int(words[5])) for words in parts)

    def read_by_amanda(self, library: Path) -> tuple[list[str], dict[int, bytes]]:
        """What Amanda's amrestore finds on all of them, each in a drive of its own."""
        amanda = self.amanda
        with ExitStack() as stack:
            names = []
            for number, cartridge in enumerate(self.used()):
                drive = PlacedDrive(amanda, f"reader{number}")
                drive.insert(cartridge)
                stack.enter_context(drive.for_stock())
                names.append(f"tape:{drive.node}")

            def run(*command: str) -> str:
                done = amanda.run(*command, more={"LD_PRELOAD": str(library)})
                assert done.returncode == 0, done.stdout
                return done.stdout

            return restore(run, amanda.path, names)


@pytest.fixture(scope="module")
def library() -> Iterator[Path]:
    with made_library() as library:
        yield library


def unpacked(amanda: Amanda, archive: bytes) -> str:
    """Let tar unpack a dump; the directory."""
    place = amanda.mkdir("/tmp/amanda/unpacked")
    amanda.write("/tmp/amanda/archive", archive)
    done = amanda.run("tar", "-xpf", "/tmp/amanda/archive", "--ignore-zeros", cwd=place)
    assert done.returncode == 0, done.stdout
    return place


@pytest.mark.parametrize("leom", [True, False], ids=["warned", "unwarned"])
def test_a_dump_spans_cartridges(make_amanda: MakeAmanda, library: Path, leom: bool) -> None:
    """The next one is taken, labelled and written; Amanda reads all parts, in their order."""
    split = "part-size 3 mbytes\n  part-cache-type memory\n  part-cache-max-size 3 mbytes"
    night = TapeNight(
        make_amanda,
        leom=leom,
        cartridges=4,
        facts={"capacity": 8 * MIB, "early": 7 * MIB},
        disks=[("home", "straight" if leom else "plain")],
        runtapes=4,
        length_mb=8,
        tapetype=split,
    )
    amanda = night.amanda
    amanda.fill("home", 16)
    with night.operator():
        amanda.ask("amdump")
    assert len(amanda.trace_log("DONE taper")) == 1
    assert bool(amanda.trace_log("PARTPARTIAL taper")) is not leom
    assert amanda.held() == []
    assert len(night.used()) == 3
    assert amanda.tapelist() == ["SYS-03", "SYS-02", "SYS-01"]
    amanda.report()
    archive = night.stored()
    if leom:
        labels, parts = night.read_by_amanda(library)
        assert labels == ["SYS-01", "SYS-02", "SYS-03"]
        assert b"".join(parts.values()) == archive
    amanda.check_restored("home", unpacked(amanda, archive))
    amanda.check_ours()


def test_amandas_programs_and_ours_share_a_tape(make_amanda: MakeAmanda, library: Path) -> None:
    """Labelled by amlabel, written by our taper, read by amcheckdump and amfetchdump; and the next
    night on the next cartridge."""
    night = TapeNight(
        make_amanda,
        leom=True,
        cartridges=2,
        facts={"capacity": 30 * MIB, "early": 29 * MIB},
        disks=[("home", "plain"), ("mail", "straight")],
        length_mb=30,
        tapetype="part-size 3 mbytes",
    )
    amanda = night.amanda
    preload = {"LD_PRELOAD": str(library)}
    with night.drive.for_stock():
        for number, label in enumerate(["SYS-07", "SYS-01"]):
            if not number:
                done = amanda.run("amlabel", CONFIG, label, more=preload)
                assert done.returncode == 0, done.stdout
                assert "Writing label 'SYS-07'" in done.stdout
            for disk in ("home", "mail"):
                amanda.fill(disk, 4, seed=number)
            amanda.ask("amdump")
            assert amanda.tapelist()[0] == label
            assert len(amanda.trace_log("DONE taper")) == 2
            amanda.report()
            night.drive.insert(night.cartridges[number])
            told = amanda.run("amcheckdump", CONFIG, more=preload)
            assert "All images (2) successfully validated" in told.stdout, told.stdout
            amanda.environment.update(preload)
            for disk in ("home", "mail"):
                amanda.check_restored(disk, amanda.fetch(disk, amanda.stamp()))
            del amanda.environment["LD_PRELOAD"]
            night.drive.insert(night.cartridges[1])
    amanda.check_ours(at_least=2)
