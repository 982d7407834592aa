"""``taperctl restore`` of dumps of which no part has a header that can be read."""

from __future__ import annotations

import bz2
import gzip
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import define, evolve, field
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from devices.programs import find_program
from devices.registry import DEVICES
from taper.gnutar import find_tar
from taper.installation import installation
from taper.people.exits import Exit
from taper.people.restore import step
from taper.plane.salvage import SalvagedSource
from tests.fakes.medium import Medium
from tests.fakes.tape import load, make_cartridge, make_drive, read_facts, write_facts
from tests.people.archives import FULL, LATER, Archive, behead, found, part, script
from tests.people.nights import Nights, works_begun
from tests.plane.dumping import crc_of

pytestmark = pytest.mark.skipif(find_tar() is None, reason="there is no tar")

WORDS = ("restore", "localhost", "/home", "--to")
JUNK = b"8 bytes."
FAULT = "no part of the dump can be read: 'C01' file 1: "


@define
class Small(Archive):
    """A dump of one part, packed in some way.

    :ivar sums: its header has the checksum of what was packed.
    """

    pack: Callable[[bytes], bytes] = bytes
    head: dict[str, Any] = field(factory=dict)
    sums: bool = True

    def data(self, stamp: str) -> bytes:
        return self.pack(super().data(stamp))

    def fields(self, stamp: str) -> dict[str, Any]:
        native = {"native_crc": crc_of(super().data(stamp))} if self.sums else {}
        return self.head | native


HOME = Small("/home", 1, more={"small": b"small"})
ZIPPED = evolve(HOME, pack=lambda data: gzip.compress(data, mtime=0), head={"comp_suffix": ".gz"})
HIDDEN = evolve(HOME, pack=lambda data: JUNK + data, head={"encrypt_suffix": "enc"})


async def headless(tmp_path: Path, dump: Small, dumptype: str = "") -> Nights:
    """Such a dump on C01.

    :param dumptype: of the disk; empty: it is not in the disklist
    """
    nights = Nights(tmp_path).make()
    if dumptype:
        nights.configure(more=f"define dumptype its {{\n{dumptype}\n}}")
        (nights.root / "etc/C/disklist").write_text("localhost /home its\n")
    await nights.hold(FULL, dump)
    behead(part(nights, 1, 1))
    return nights


async def inferred(nights: Nights, target: Path, *, status: Exit = Exit.FOUND) -> Any:
    """What becomes of it if that is allowed."""
    record = await nights.record(*WORDS, str(target), "--partial", exit=status)
    (outcome,) = record["outcomes"]
    assert record["whole"] is outcome["whole"]
    return outcome


@ensureDeferred
async def test_nothing_is_inferred_unasked(tmp_path: Path) -> None:
    """It is told what could be done."""
    nights = await headless(tmp_path, HOME)
    target = tmp_path / "back"
    said = await nights.lines(*WORDS, str(target), exit=Exit.FOUND)
    assert found(target) == {}
    (fault,) = (line for line in said if line.startswith(f"Level 0: {FAULT}"))
    assert ". With --partial, what may be behind them is restored, by what the " in fault
    assert said[-1].startswith("NOT ALL was restored")


@ensureDeferred
async def test_what_the_data_tell(tmp_path: Path) -> None:
    """Said when it is found out, and at the end; the log's checksums tell what is proved."""
    nights = await headless(tmp_path, HOME)
    target = tmp_path / "back"
    said = await nights.lines(*WORDS, str(target), "--partial", exit=Exit.FOUND)
    assert found(target) == HOME.files()
    told = (
        "Level 0: no header of it can be read. How it is undone was inferred: it is neither "
        "compressed nor encrypted, as its data look; made by GNUTAR, as its data look"
    )
    first, last = (number for number, line in enumerate(said) if line.startswith(told))
    assert said[first] == told
    assert first < said.index(next(line for line in said if line.startswith("Level 0 of ")))
    assert said[last] == f"{told}. What came out of it is what was dumped, by its checksum."
    assert any("its data were taken by what the log tells of it" in line for line in said)
    assert said[-1].startswith("All of it is restored, by the checksums, but volumes are damaged")


@pytest.mark.parametrize("sums", [True, False])
@ensureDeferred
async def test_what_is_proved(tmp_path: Path, sums: bool) -> None:
    """Bytes by their checksum; how they are undone by that of what was dumped."""
    nights = await headless(tmp_path, evolve(ZIPPED, sums=sums))
    outcome = await inferred(nights, tmp_path / "back")
    assert found(tmp_path / "back") == HOME.files()
    assert outcome["headless"] == [{"volume": "C01", "file": 1, "part": 1}]
    assert (outcome["whole"], outcome["checked"], outcome["faults"]) == (True, True, [])
    source = {"undoing_from": "data", "program_from": "data", "copy": None}
    assert outcome["header"] == source | {"checked": sums}


@ensureDeferred
async def test_no_checksum_at_all(tmp_path: Path) -> None:
    """All of it may be there, and nobody says so."""
    nights = await headless(tmp_path, evolve(HOME, sums=False))
    log = nights.log(FULL)
    crc = str(crc_of(HOME.data(FULL)))
    assert crc in log.read_text()
    log.write_text(log.read_text().replace(crc, "00000000:0"))
    said = await nights.lines(*WORDS, str(tmp_path / "back"), "--partial", exit=Exit.FOUND)
    assert found(tmp_path / "back") == HOME.files()
    assert any(line.endswith(". No checksum confirms it.") for line in said)
    assert said[-1].startswith("NOT ALL was restored")


@pytest.mark.parametrize("dump", [HOME, ZIPPED], ids=["plain", "zipped"])
@ensureDeferred
async def test_what_padding_might_explain_is_no_proof(tmp_path: Path, dump: Small) -> None:
    """A checksum of fewer bytes is not that of what was read, however few they are."""
    nights = await headless(tmp_path, dump)
    log, native = nights.log(FULL), crc_of(HOME.data(FULL))
    nobody = "00000000:0"
    told = log.read_text().replace(
        f" {native} {nobody} {crc_of(dump.data(FULL))} ",
        f" 0badbad0:{native.size - 9} {nobody} {nobody} ",
    )
    log.write_text(told)
    assert "0badbad0" in told
    outcome = await inferred(nights, tmp_path / "back")
    assert found(tmp_path / "back") == HOME.files()
    assert (outcome["whole"], outcome["checked"]) == (False, False)
    assert not outcome["header"]["checked"]


@ensureDeferred
async def test_a_last_record_that_a_mover_filled_up(tmp_path: Path) -> None:
    """As in a dump of which the client alone has counted the bytes: no more than those come out."""
    nights = await headless(tmp_path, HOME)
    log, path, crc = nights.log(FULL), part(nights, 1, 1), crc_of(HOME.data(FULL))
    told = log.read_text().replace(f"{crc} 00000000:0 {crc} ", f"{crc} {crc} 00000000:0 ")
    log.write_text(told.replace(f"bytes {crc.size} ", f"bytes {crc.size + 1000} ", 1))
    assert (
        log.read_text().count(f"{crc} {crc} ") == log.read_text().count(f"{crc.size + 1000}") == 1
    )
    path.write_bytes(path.read_bytes() + bytes(1000))
    outcome = await inferred(nights, tmp_path / "back")
    assert found(tmp_path / "back") == HOME.files()
    assert (outcome["read"], outcome["faults"]) == (crc.size, [])
    assert (outcome["whole"], outcome["header"]["checked"]) == (True, True)


@ensureDeferred
async def test_what_a_client_counted_before_the_server_packed_it(tmp_path: Path) -> None:
    """That it was packed is found out when its begin was looked at: all of it is read all the same,
    however near the count comes to what is stored."""
    nights = await headless(tmp_path, ZIPPED)
    log, crc, native = nights.log(FULL), crc_of(ZIPPED.data(FULL)), crc_of(HOME.data(FULL))
    known, nobody = f"{native} 00000000:0 {crc} ", "00000000:0 "
    assert known in log.read_text()
    counted = f"{native} 0badbad0:{crc.size - 10} {nobody}"
    log.write_text(log.read_text().replace(known, counted))
    outcome = await inferred(nights, tmp_path / "back")
    assert found(tmp_path / "back") == HOME.files()
    assert (outcome["read"], outcome["faults"], outcome["whole"]) == (crc.size, [], True)


@pytest.mark.parametrize("sums", [True, False])
@ensureDeferred
async def test_bytes_prove_no_undoing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sums: bool
) -> None:
    """The configuration of today may let data be undone in another way than they were made: only
    what was dumped proves that. An application that takes all does not."""
    applications = tmp_path / "applications"
    applications.mkdir()
    script(applications / "amthing", "cat > /dev/null")
    usual = installation().evolve(application_dir=str(applications))
    monkeypatch.setattr(step, "installation", lambda: usual)
    dump = evolve(HOME, pack=lambda data: JUNK + data, sums=sums)
    nights = await headless(tmp_path, dump)
    nights.configure(
        more='define application a {\n plugin "amthing"\n}\n'
        'define dumptype its {\nprogram "APPLICATION"\napplication "a"\ncompress none\n}'
    )
    (nights.root / "etc/C/disklist").write_text("localhost /home its\n")
    outcome = await inferred(nights, tmp_path / "back")
    assert outcome["header"]["undoing_from"] == "configuration"
    assert not outcome["header"]["checked"]
    assert not outcome["whole"]


@ensureDeferred
async def test_programs_that_data_name(tmp_path: Path) -> None:
    """They are this host's, and nobody has to trust them."""
    if find_program("bzip2") is None:
        pytest.skip("there is no bzip2")
    nights = await headless(tmp_path, evolve(HOME, pack=bz2.compress, head={"comp_suffix": "cust"}))
    outcome = await inferred(nights, tmp_path / "back")
    assert found(tmp_path / "back") == HOME.files()
    assert outcome["whole"]


@ensureDeferred
async def test_what_only_the_configuration_knows(tmp_path: Path) -> None:
    """Encrypted data look like nothing; without the disk's dumptype nothing can be done."""
    program = script(tmp_path / "decrypt", f'[ "$1" = -x ] && exec tail -c +{len(JUNK) + 1}')
    dumptype = (
        f'program "GNUTAR"\ncompress none\nencrypt server\nserver_encrypt "{program}"\n'
        'server_decrypt_option "-x"'
    )
    nights = await headless(tmp_path, HIDDEN, dumptype)
    outcome = await inferred(nights, tmp_path / "back")
    assert found(tmp_path / "back") == HOME.files()
    assert (outcome["whole"], outcome["header"]["checked"]) == (True, True)
    sources = outcome["header"]["undoing_from"], outcome["header"]["program_from"]
    assert sources == ("configuration", "configuration")
    said = await nights.lines(*WORDS, str(tmp_path / "two"), "--partial", exit=Exit.FOUND)
    assert any(f"it is encrypted by {program}, as the configuration has it now" in s for s in said)
    (nights.root / "etc/C/disklist").write_text("")
    outcome = await inferred(nights, tmp_path / "three")
    assert outcome["header"] is None
    assert "; its data look like nothing known, and the disk is not in" in outcome["faults"][0]
    assert found(tmp_path / "three") == {}


@pytest.mark.parametrize("how", ["another's header", "no file"])
@ensureDeferred
async def test_what_is_not_there(tmp_path: Path, how: str) -> None:
    """Or is something else, by a header that can be read."""
    nights = await headless(tmp_path, HOME)
    await nights.hold(LATER, evolve(HOME, disk="/other"))
    path = part(nights, 1, 1)
    if how == "no file":
        path.unlink()
    else:
        path.write_bytes(part(nights, 2, 1).read_bytes()[:32768] + path.read_bytes()[32768:])
    outcome = await inferred(nights, tmp_path / "back")
    assert (outcome["header"], outcome["headless"]) == (None, [])
    assert outcome["faults"][0].startswith("no part of the dump can be read: ")
    assert found(tmp_path / "back") == {}


@pytest.mark.parametrize("compress", ["none", "client fast"])
@ensureDeferred
async def test_its_begin_is_lost_too(tmp_path: Path, compress: str) -> None:
    """What follows is restored if the configuration has it that nothing is to be undone."""
    dump = evolve(HOME, size=8)
    nights = await headless(tmp_path, dump, f'program "GNUTAR"\ncompress {compress}')
    for number in range(2, 7):
        behead(part(nights, 1, number))
    path = part(nights, 1, 1)
    path.write_bytes(path.read_bytes()[:-512])
    outcome = await inferred(nights, tmp_path / "back")
    if compress != "none":
        assert outcome["faults"][0].startswith(FAULT)
        assert found(tmp_path / "back") == {}
        return
    assert [one["part"] for one in outcome["lost"]] == [1]
    assert [one["part"] for one in outcome["headless"]] == [2, 3, 4, 5, 6]
    assert not outcome["whole"]
    files = dump.files()
    assert found(tmp_path / "back").items() == {
        (name, data) for name, data in files.items() if name not in ("dir/f0", "dir/f1")
    }


@pytest.mark.parametrize("partial", [True, False])
@ensureDeferred
async def test_the_header_of_a_holding_file(tmp_path: Path, partial: bool) -> None:
    """It is the same; what was left there need not be whole. Nothing is inferred."""
    program = script(tmp_path / "decrypt", f"exec tail -c +{len(JUNK) + 1}")
    head = {"server_encrypt": str(program), "server_decrypt_option": "-d"}
    dump = evolve(HIDDEN, head=HIDDEN.head | head)
    nights = await headless(tmp_path, dump)
    held = nights.hold_back(FULL, dump, partial=True)
    held.write_bytes(held.read_bytes()[:40_000])
    more = ("--trust", str(program), *(("--partial",) if partial else ()))
    record = await nights.record(*WORDS, str(tmp_path / "back"), *more, exit=Exit.FOUND)
    assert found(tmp_path / "back") == HOME.files()
    (outcome,) = record["outcomes"]
    assert outcome["whole"]
    assert outcome["header"] == {
        "undoing_from": "copy",
        "program_from": "copy",
        "copy": "HOLDING",
        "checked": True,
    }


@ensureDeferred
async def test_the_header_of_a_copy_on_another_storage(tmp_path: Path) -> None:
    """Its volume is read for that, if nobody has to bring it; and no more of it."""
    nights = await headless(tmp_path, HOME)
    (nights.root / "others/slot1").mkdir(parents=True)
    nights.configure(
        more=f"""define changer others {{
  tpchanger "chg-disk:{tmp_path}/others"
}}
define storage D {{
  tpchanger "others"
  tapetype "T"
  policy "keep"
  labelstr "^D[0-9]+$"
  autolabel "D%%" empty
}}"""
    )
    await nights.hold(LATER, HOME, storage="D", dumped=FULL)
    said = await nights.lines(*WORDS, str(tmp_path / "back"), exit=Exit.FOUND)
    told = "Level 0: no header of it can be read; that of its copy on D01 of storage D is the same"
    assert told in said
    assert f"{told}. What came out of it is what was dumped, by its checksum." in said
    assert found(tmp_path / "back") == HOME.files()
    (path,) = (nights.root / "others/slot1").glob("00001.*")
    path.unlink()
    said = await nights.lines(*WORDS, str(tmp_path / "two"), exit=Exit.FOUND)
    assert any(line.startswith(f"Level 0: {FAULT}") for line in said)
    assert "Level 0: there is another copy; take it with --storage D" in said


@ensureDeferred
async def test_it_is_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the data are looked at: no thread is left behind."""
    nights = await headless(tmp_path, HOME)
    looking = threading.Event()
    begun = works_begun(monkeypatch)

    def wait(source: SalvagedSource, size: int) -> bytes:
        looking.set()
        while not source._cancelled:
            time.sleep(0.001)
        return b""

    monkeypatch.setattr(SalvagedSource, "peek", wait)
    running = Deferred.fromCoroutine(nights.run(*WORDS, str(tmp_path / "back"), "--partial"))
    while not looking.is_set():
        await deferLater(reactor, 0.01, lambda: None)  # type: ignore[arg-type]
    begun[0].leave()
    status, said = await running
    assert status == Exit.INTERRUPTED
    assert "what was restored so far is not whole" in said


@pytest.mark.parametrize("how", ["zeros", "unreadable", "another's"])
@ensureDeferred
async def test_on_a_tape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """Two dumps, of which one has one part, and the other has lost a header in its middle."""
    monkeypatch.setitem(DEVICES, "tape", "tests.fakes.tape:SimulatedTape")
    nights = Nights(tmp_path).make()
    make_drive(tmp_path / "nst0")
    cartridge = make_cartridge(tmp_path / "cartridge")
    load(tmp_path / "nst0", cartridge)
    nights.configure(
        storage='tpchanger "single"',
        more=f'define changer single {{\n tpchanger "chg-single:tape:{tmp_path}/nst0"\n}}',
    )
    large = Archive("/large", 4)
    await nights.hold(FULL, HOME, large)
    files = (1, 3)
    if how == "unreadable":
        places = tuple((file, 0) for file in files)
        write_facts(cartridge, evolve(read_facts(cartridge), unreadable=places))
    else:
        medium = Medium.in_file(cartridge)
        for file in files:
            other = medium.files()[file + 1][0]
            medium.replace(file, 0, bytes(32768) if how == "zeros" else other)
        medium.close()
    if how == "another's":
        outcome = await inferred(nights, tmp_path / "back")
        assert (outcome["header"], outcome["headless"]) == (None, [])
        assert "does not match expectations" in outcome["faults"][0]
        return
    outcome = await inferred(nights, tmp_path / "back")
    assert found(tmp_path / "back") == HOME.files()
    assert (outcome["whole"], outcome["header"]["checked"]) == (True, True)
    words = ("restore", "localhost", "/large", "--to", str(tmp_path / "large"))
    record = await nights.record(*words, exit=Exit.FOUND)
    assert [one["file"] for one in record["outcomes"][0]["headless"]] == [3]
    assert record["whole"]
    assert found(tmp_path / "large") == large.files()


def on_three(nights: Nights) -> None:
    """Let the volume be one of three devices."""
    names = [f"file:{nights.root}/r{number}" for number in range(3)]
    for number in range(3):
        (nights.root / f"r{number}/data").mkdir(parents=True)
    nights.configure(
        storage='tpchanger "single"',
        more=f'define changer single {{\n tpchanger "chg-single:rait:{{{",".join(names)}}}"\n}}',
    )


@ensureDeferred
async def test_on_several_devices(tmp_path: Path) -> None:
    """Any of them may have lost a header; what all have lost is found out by the log. It is told of
    when volumes are verified."""
    nights = Nights(tmp_path).make()
    on_three(nights)
    large = Archive("/large", 6)
    await nights.hold(FULL, large)
    for child, number in ((0, 1), (1, 2), (0, 4), (1, 4), (2, 4)):
        (path,) = (tmp_path / f"r{child}/data").glob(f"{number:05}.*")
        behead(path)
    words = ("restore", "localhost", "/large", "--to", str(tmp_path / "back"))
    record = await nights.record(*words, exit=Exit.FOUND)
    assert [one["file"] for one in record["outcomes"][0]["headless"]] == [4]
    assert record["whole"]
    assert found(tmp_path / "back") == large.files()
    record = await nights.record("verify", "--all", exit=Exit.FOUND)
    told = {one["file"]: one["text"] for one in record["findings"]}
    why = "which cannot read it: Invalid amanda header while reading file header"
    for child, number in ((0, 1), (1, 2)):
        assert told[number] == f"it is read without file:{tmp_path}/r{child}, {why}"
    assert told[4].startswith("its header cannot be read: One or more devices failed to seek_file")
    assert set(told) == {1, 2, 4}
