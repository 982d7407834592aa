"""Which volume is taken, how it is labelled, what the tapelist says."""

import fcntl
import time

import pytest

from tests.conformance.harness import STAMP, TAPELIST, Options, World
from tests.conformance.harness_files import Dump, dump_header, volume_label
from tests.conformance.harness_talk import HANDLE, WORKER, Conversation, split_by
from tests.conformance.harness_text import crc, matches, payload, stats
from tests.conformance.kinds import AT_ONCE

DATA = payload(100_000)
H2 = "00-00002"
TAIL = "BLOCKSIZE:32 POOL:PROTO STORAGE:PROTO CONFIG:PROTO"
NONE_LEFT = "No acceptable volumes found"
ORDER = ["traditional", "lexical", "oldest"]


def taperscan(plugin: str) -> str:
    """Choose a scan algorithm."""
    return f'define taperscan scan {{\n  plugin "{plugin}"\n}}\ntaperscan "scan"'


def dumped(
    world: World, label: str, handle: str = HANDLE, talk: Conversation | None = None
) -> None:
    """Write a dump; it must land on the volume with this label, whole."""
    if talk is None:
        talk = world.start()
        talk.start_taper()
    talk.file_write(world.holding(DATA), handle=handle)
    talk.grant(label, handle)
    talk.ready(handle)
    talk.part(label, 1, 100_000, handle=handle)
    talk.done(crc(DATA), handle=handle)
    world.check_dump(handle, DATA)


def refused(world: World, *lines: str) -> None:
    """No volume is acceptable; the log says why, slot by slot; ours tells the driver of errors."""
    broken = not world.program.stock and any(" in error: " in line for line in lines)
    text = f"{NONE_LEFT}: slot 1: <*>" if broken else NONE_LEFT
    talk = world.start()
    talk.send(f"START-TAPER taper0 {WORKER} PROTO {STAMP}")
    talk.expect(f'TAPE-ERROR {WORKER} "{text}"')
    talk.quit()
    last = f"ERROR taper no-tape error [{text}]"
    world.check_log(*(f"INFO taper {line}" for line in lines), last)


def test_a_new_volume_is_labelled_and_listed(world: World) -> None:
    """Label header, tapelist entry newest first, before NEW-TAPE is said."""
    world.tapelist_add(f"20250101000000 PROTO07 reuse {TAIL} #kept")
    talk = world.start()
    talk.start_taper()
    talk.file_write(world.holding(DATA))
    talk.grant("PROTO01")
    assert world.listed() == [
        f"{STAMP} PROTO01 reuse {TAIL}",
        f"20250101000000 PROTO07 reuse {TAIL} #kept",
    ]
    assert volume_label(world.slot(1)) == ("PROTO01", STAMP)
    world.check_logged("START taper <*> label PROTO01 tape 1")


def test_the_first_free_number_is_taken(world: World) -> None:
    """Labels in the tapelist, whoever owns them, are never made again."""
    world.tapelist_add("20250103000000 PROTO01 reuse POOL:other")
    world.tapelist_add(f"1 PROTO02 no-reuse {TAIL}")
    world.tapelist_add("0 PROTO03 reuse")
    dumped(world, "PROTO04")


@pytest.mark.only_on("file", "multi", "robot", "tape", "mixed", why="slots have plain numbers")
@pytest.mark.parametrize(
    ("template", "label"), [("$c-!!", "PROTO-AA"), ("$c-$s-%", "PROTO-1-1"), ("V$3s", "V001")]
)
def test_label_templates(world: World, template: str, label: str) -> None:
    """Letters, the slot, the configuration's name; labelstr MATCH-AUTOLABEL fits them."""
    world.configure(Options(labels=f'labelstr MATCH-AUTOLABEL\nautolabel "{template}" empty'))
    dumped(world, label)


@pytest.mark.parametrize("scan", ORDER)
def test_the_oldest_volume_is_used_again(world: World, scan: str) -> None:
    """Every volume labelled: the oldest that retention lets go; its old files are gone."""
    world.configure(Options(slots=3, tapecycle=2, extra=taperscan(scan)))
    world.labelled(1, "PROTO01", "20250103000000")
    world.labelled(2, "PROTO02", "20250101000000")
    world.labelled(3, "PROTO03", "20250102000000")
    old = dump_header(Dump("/old"), "SPLIT_FILE", part=" part 1/-1 ")
    for name in ("00001.localhost._old.0", "00002.localhost._old.0"):
        world.write(world.slot_path(2, name), old + b"old")
    dumped(world, "PROTO02")
    assert [file.name for file in world.slot(2)] == ["00000.PROTO02", "00001.localhost._home.0"]
    assert world.listed()[0] == f"{STAMP} PROTO02 reuse {TAIL}"
    assert len(world.tapelist()) == 3


@pytest.mark.only_on("file", "aggregate", "rait", why="others know no label before they load")
@pytest.mark.parametrize(
    ("scan", "label"), [("traditional", "PROTO01"), ("lexical", "PROTO03"), ("oldest", "PROTO01")]
)
def test_the_algorithms_differ(world: World, scan: str, label: str) -> None:
    """lexical takes the next label after the last one used, the others the oldest."""
    world.configure(Options(tapecycle=2, extra=taperscan(scan)))
    world.labelled(2, "PROTO02", "20250104000000")
    world.labelled(4, "PROTO04", "20250103000000")
    world.labelled(3, "PROTO03", "20250102000000")
    world.labelled(1, "PROTO01", "20250101000000")
    talk = world.start()
    talk.start_taper()
    talk.send("QUIT")
    talk.expect_end(0)
    if scan == "traditional":
        world.check_log()
    else:
        world.check_log(f"INFO taper Slot {label[-1]} with label {label} is usable")


@pytest.mark.parametrize("scan", ["lexical", "oldest"])
def test_blank_slots_with_an_inventory(world: World, scan: str) -> None:
    """lexical and oldest label blank slots too, and say so."""
    world.configure(Options(slots=2, extra=taperscan(scan)))
    world.labelled(1, "PROTO01", "20250101000000")
    dumped(world, "PROTO02")
    world.check_logged("INFO taper Slot 2 without label can be labeled")


def test_active_volumes_are_left_alone(world: World) -> None:
    """Retention keeps every volume: TAPE-ERROR, one line per slot [protocol T8]."""
    world.configure(Options(slots=2, tapecycle=9, labels='labelstr "^PROTO[0-9][0-9]$"'))
    world.labelled(2, "PROTO02", "20250102000000")
    world.labelled(1, "PROTO01", "20250101000000")
    refused(
        world,
        "Slot 1 with label PROTO01 is not reusable",
        "Slot 2 with label PROTO02 is not reusable",
        "all slots have been loaded",
    )


@pytest.mark.only_on("file", "aggregate", "rait", why="others know no label before they load")
@pytest.mark.parametrize("scan", ["lexical", "oldest"])
def test_active_volumes_with_an_inventory(world: World, scan: str) -> None:
    """The same for lexical and oldest, which say nothing about each slot."""
    world.configure(Options(slots=1, tapecycle=9, extra=taperscan(scan)))
    world.labelled(1, "PROTO01", "20250101000000")
    refused(world)


def test_reasons_to_refuse_a_labelled_volume(world: World) -> None:
    """no-reuse, other pool, other configuration, unknown label, labelstr: each its own text."""
    world.configure(Options(slots=5, tapecycle=2))
    world.labelled(1, "PROTO01", "20250105000000", "no-reuse")
    world.labelled(2, "PROTO02", "20250104000000", None)
    world.labelled(3, "PROTO03", "20250103000000", None)
    world.labelled(4, "PROTO04", "20250102000000", None)
    world.labelled(5, "FOREIGN", "20250101000000", None)
    world.tapelist_add("20250104000000 PROTO02 reuse POOL:other STORAGE:PROTO CONFIG:PROTO")
    world.tapelist_add("20250103000000 PROTO03 reuse POOL:PROTO STORAGE:PROTO CONFIG:else")
    world.configure(Options(slots=5, tapecycle=2, labels='labelstr "^PROTO[0-9][0-9]$"'))
    refused(
        world,
        "Slot 1 with label PROTO01 is not reusable",
        "Slot 2 with label PROTO02 is in pool other",
        "Slot 3 with label PROTO03 is use by config else",
        "Slot 4 with label PROTO04 is not in the tapelist",
        "Slot 5 with label FOREIGN do not match labelstr",
        "all slots have been loaded",
    )


def test_a_labelstr_that_matches_nothing(world: World) -> None:
    """Our own volume without POOL does not fit labelstr any more: refused."""
    world.configure(Options(slots=1, tapecycle=1, labels='labelstr "^NOTHING$"'))
    world.labelled(1, "PROTO01", "20250101000000", None)
    world.tapelist_add("20250101000000 PROTO01 reuse")
    refused(world, "Slot 1 with label PROTO01 do not match labelstr", "all slots have been loaded")


RUBBISH = b"This is no backup\n".ljust(32768, b"\0")
FOREIGN = b"AMANDA: TAPESTART DATE 20250101000000 TAPE FOREIGN\n\f\n".ljust(32768, b"\0")
# what the slot holds, and the condition word that lets it be labelled; a vtape never counts as
# non-amanda: what cannot be read is an error [volumes 4.4]
STATES = [
    (None, "empty", "Slot 1 is empty, autolabel disabled"),
    (RUBBISH, "volume-error", "Slot 1 is a volume in error: <*>, autolabel disabled"),
    (b"", "volume-error", "Slot 1 is a volume in error: <*>, autolabel disabled"),
    (FOREIGN, "other-config", "Slot 1 with label FOREIGN do not match labelstr"),
]
STATE_NAMES = ["blank", "rubbish", "empty-file", "foreign"]
WORDS = ["empty", "non-amanda", "volume-error", "other-config"]


def slot_with(world: World, content: bytes | None, words: str) -> None:
    """Make one slot with this label file, and an autolabel with these condition words."""
    labels = f'labelstr "^PROTO[0-9][0-9]$"\nautolabel "PROTO%%" {words}'
    world.configure(Options(slots=1, labels=labels))
    if content is not None:
        world.write(world.slot_path(1, "00000.FOREIGN"), content)


@pytest.mark.parametrize(("content", "word", "text"), STATES, ids=STATE_NAMES)
@pytest.mark.parametrize("words", ["word", "any"])
def test_autolabel_accepts(
    world: World, content: bytes | None, word: str, text: str, words: str
) -> None:
    """The condition word, or any, lets the volume be labelled; the old label file is gone."""
    slot_with(world, content, "any" if words == "any" else word)
    dumped(world, "PROTO01")
    world.check_logged("INFO taper Slot 1 without label can be labeled")
    assert [file.number for file in world.slot(1)] == [0, 1]


@pytest.mark.only_on(*AT_ONCE, why="of a blank tape there is more to tell")
@pytest.mark.parametrize(("content", "word", "text"), STATES, ids=STATE_NAMES)
def test_autolabel_refuses(world: World, content: bytes | None, word: str, text: str) -> None:
    """All the other condition words together do not let the volume be labelled."""
    slot_with(world, content, " ".join(other for other in WORDS if other != word))
    refused(world, text, "all slots have been loaded")
    if content is not None:
        assert world.path(world.slot_path(1, "00000.FOREIGN")).read_bytes() == content


def test_a_slot_that_cannot_be_read(world: World) -> None:
    """An unreadable directory is passed over with a reason, the next slot is used."""
    world.path(world.slot_path(1)).chmod(0)
    world.inside("chown", "root", world.slot_path(1))
    dumped(world, "PROTO01")
    assert world.log("INFO taper Slot 2 without label can be labeled")
    assert len(world.story()) > 4, "a line about slot 1"


def test_a_label_that_cannot_be_written(world: World) -> None:
    """Labelling fails: NO-NEW-TAPE, a new request, the next volume; the list is clean
    [protocol T10]."""
    world.inside("chown", "root", world.slot_path(1))
    talk = world.start()
    talk.start_taper()
    talk.file_write(world.holding(DATA))
    talk.expect(f"REQUEST-NEW-TAPE {WORKER} {HANDLE}")
    talk.send(f"START-SCAN {WORKER} {HANDLE}", f"NEW-TAPE {WORKER} {HANDLE}")
    talk.expect(f"NO-NEW-TAPE {WORKER} {HANDLE}")
    talk.grant("PROTO01")
    talk.ready()
    talk.part("PROTO01", 1, 100_000)
    talk.done(crc(DATA))
    error = "<*>//00000.PROTO01: Permission denied"
    world.check_logged(
        "INFO taper Slot 1 without label can be labeled",
        f"INFO taper while labeling new volume: {error}",
        "INFO taper Slot 2 without label can be labeled",
        f"START taper datestamp {STAMP} <*> label PROTO01 tape 1",
    )
    assert world.listed() == [f"{STAMP} PROTO01 reuse {TAIL}"]


def test_denied_at_the_first_request(world: World) -> None:
    """NO-NEW-TAPE: FAILED TAPE-CONFIG with the reason; nothing is labelled [protocol T6]."""
    talk = world.start()
    talk.start_taper()
    talk.file_write(world.holding(DATA), orig="1024")
    talk.deny("taperflush criteria not met")
    tail = 'INPUT-GOOD TAPE-CONFIG "" "taperflush criteria not met"'
    talk.expect(f"FAILED {WORKER} {HANDLE} {tail}")
    world.check_log(
        "INFO taper Slot 1 without label can be labeled",
        "ERROR taper no-tape config [taperflush criteria not met]",
        'FAIL taper "ST:PROTO" "POOL:PROTO" localhost /home 20260101000000 0 config '
        '"taperflush criteria not met"',
    )
    assert world.slot(1) == []
    assert world.tapelist() == []
    talk.quit()


def test_a_reason_of_one_word_stands_bare(world: World) -> None:
    """Quoting of the reason follows the rule for every field [protocol T26]."""
    talk = world.start()
    talk.start_taper()
    talk.file_write(world.holding(DATA))
    talk.deny("sorry")
    talk.expect(f'FAILED {WORKER} {HANDLE} INPUT-GOOD TAPE-CONFIG "" sorry')
    world.check_logged("ERROR taper no-tape config [sorry]", "FAIL taper <*> 0 config sorry")


def test_a_file_system_that_is_really_full(world: World) -> None:
    """ENOSPC and no LEOM: what is reported is right, whether the dump ends there or goes on."""
    line, data = filled(world, leom=False)
    good = data if line.startswith("DONE") else data[: 1 << 18]
    if good != data:
        assert "INPUT-GOOD TAPE-ERROR" in line
        assert "No space left on device" in line
    world.check_dump(HANDLE, good)
    assert f'"{crc(good)}"' in line


def test_a_file_system_that_is_really_full_with_leom(world: World) -> None:
    """A full file system seen in time: the dump goes on on the next volume, whole."""
    line, data = filled(world, leom=True)
    tail = f'INPUT-GOOD TAPE-GOOD "{crc(data)}" "{stats(700_000, 64)}" "" ""'
    assert matches(f"DONE {WORKER} {HANDLE} {tail}", line), line
    talk = world.talks[0]
    talk.parts[HANDLE] = [part for part in talk.parts[HANDLE] if part[1]]
    world.check_dump(HANDLE, data)
    assert {label for label, _ in talk.parts[HANDLE]} == {"PROTO01", "PROTO02"}


def filled(world: World, leom: bool) -> tuple[str, bytes]:
    """Write more than a small file system takes; the last reply and the dump's bytes."""
    world.configure(Options(usage_kib=None, leom=leom))
    world.mount_small(world.slot_path(1), 600)
    data = payload(700_000)
    talk = world.start()
    talk.start_taper()
    talk.file_write(world.holding(data), split_by(1 << 18))
    talk.grant("PROTO01")
    talk.ready()
    line = talk.expect(f"<w> {WORKER} <*>")
    while not line.startswith(("DONE", "PARTIAL")):
        if line.startswith("REQUEST"):
            talk.send(f"START-SCAN {WORKER} {HANDLE}", f"NEW-TAPE {WORKER} {HANDLE}")
            talk.expect(f"NEW-TAPE {WORKER} {HANDLE} PROTO02")
        line = talk.expect(f"<w> {WORKER} <*>")
    return line, data


def test_the_tapelist_of_another_process_is_respected(world: World) -> None:
    """While somebody holds the lock nothing is labelled; what they wrote is kept."""
    talk = world.start()
    talk.start_taper()
    lock = world.write(f"{TAPELIST}.lock", "")
    with world.path(lock).open("r+b") as stream:
        fcntl.lockf(stream, fcntl.LOCK_EX)
        talk.file_write(world.holding(DATA))
        talk.expect(f"REQUEST-NEW-TAPE {WORKER} {HANDLE}")
        talk.send(f"START-SCAN {WORKER} {HANDLE}", f"NEW-TAPE {WORKER} {HANDLE}")
        talk.expect_silence(0.5)
        world.tapelist_add("20250101000000 PROTO01 reuse")
    talk.expect(f"NEW-TAPE {WORKER} {HANDLE} PROTO02")
    assert [line.split()[1] for line in world.tapelist()] == ["PROTO02", "PROTO01"]


def test_the_list_is_replaced_by_rename(world: World) -> None:
    """No temporary file is left, and last_write names the writer."""
    dumped(world, "PROTO01")
    names = sorted(path.name for path in world.path(TAPELIST).parent.glob("tapelist*"))
    assert names == ["tapelist", "tapelist.last_write", "tapelist.lock"]
    link = world.path(f"{TAPELIST}.last_write").readlink()
    assert str(link) == str(world.talks[0].process.pid)
    assert time.time() - world.path(TAPELIST).stat().st_mtime < 60


@pytest.mark.only_on("file", "multi", "aggregate", why="amtape knows the volumes, and where it is")
def test_what_other_programs_say_of_the_volume(world: World) -> None:
    """Amanda's own amtape sees the labelled volume in its slot."""
    dumped(world, "PROTO01")
    world.talks[0].quit()
    shown = world.as_user("sh", "-c", "amtape PROTO inventory 2>&1")
    assert shown.startswith(world.kind.named("slot 1: label PROTO01 (current)")), shown
