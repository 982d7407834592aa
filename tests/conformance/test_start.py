"""Starting: arguments, set-up failures, the first scan of a worker."""

import re
import subprocess

import pytest

from tests.conformance.harness import CONFIG, ETC, LOG, TAPELIST, VTAPES, Options, World
from tests.conformance.harness_talk import HANDLE, STAMP, WORKER


def test_a_started_worker_has_a_volume_and_touches_nothing(world: World) -> None:
    """START-TAPER scans, answers TAPER-OK, labels nothing [protocol T1]."""
    talk = world.start()
    talk.start_taper()
    talk.quit()
    world.check_log("INFO taper Slot 1 without label can be labeled")
    assert world.slot(1) == []
    assert world.tapelist() == []


def test_the_log_tells_when_the_process_came_and_went(world: World) -> None:
    """First line 'pid', last line 'pid-done', with the number of the process."""
    talk = world.start()
    talk.start_taper()
    talk.quit()
    first, last = world.log()[0], world.log()[-1]
    found = re.fullmatch(r"INFO taper taper pid (\d+)", first)
    assert found, first
    assert int(found[1]) == talk.process.pid
    assert last == f"INFO taper pid-done {found[1]}"


def test_the_version_is_amandas(world: World) -> None:
    """--version prints taper-3.5.1, for whoever parses it, and ends; ours goes on with its own."""
    done = subprocess.run(
        [world.program.path, "--version"], capture_output=True, text=True, timeout=600
    )
    first, *more = done.stdout.splitlines()
    assert (done.returncode, first) == (0, "taper-3.5.1")
    assert not more or more[0].startswith("twisted-taper ")


@pytest.mark.parametrize("words", [[], ["PROTO", "PROTO"]], ids=["none", "two"])
def test_exactly_one_configuration_must_be_named(world: World, words: list[str]) -> None:
    """No configuration, or two, is a usage error: exit 1, nothing on stdout."""
    command = ["setpriv", "--reuid=backup", "--regid=backup", "--init-groups", world.program.path]
    done = subprocess.run(
        [*command, *words], capture_output=True, text=True, timeout=600, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 1


def test_options_may_be_abbreviated_separate_and_first(world: World) -> None:
    """Options before the configuration, -o apart, --storage-name, an abbreviation."""
    words = ["-o", "runtapes=3", "--storage-name", CONFIG, "--log-file", LOG]
    talk = world.start(config="-otapecycle=9", arguments=[*words, CONFIG])
    talk.start_taper()
    talk.quit()


def test_no_storage_option_means_the_implied_storage(world: World) -> None:
    """Without --storage the storage named like the configuration is used."""
    talk = world.start(arguments=["--log-filename", LOG])
    talk.start_taper()
    talk.quit()


def test_an_override_wins_over_the_file(world: World) -> None:
    """-oautolabel= empties the template: no volume may be labelled."""
    talk = world.start("-oautolabel=")
    talk.send(f"START-TAPER taper0 {WORKER} PROTO {STAMP}")
    talk.expect(f'TAPE-ERROR {WORKER} "No acceptable volumes found"')
    talk.quit()


def test_no_acceptable_volume_leaves_a_worker_in_error(world: World) -> None:
    """Every slot empty and no autolabel: TAPE-ERROR, then BAD-COMMAND for a write [protocol T8]."""
    world.configure(Options(labels='labelstr "^PROTO[0-9][0-9]$"'))
    talk = world.start()
    talk.send(f"START-TAPER taper0 {WORKER} PROTO {STAMP}")
    talk.expect(f'TAPE-ERROR {WORKER} "No acceptable volumes found"')
    talk.file_write(world.holding(b"x"))
    talk.expect("BAD-COMMAND \"command not appropriate in state 'error' : 'idle'<*>\"")
    talk.quit()
    empty = [f"INFO taper Slot {slot} is empty, autolabel not set" for slot in (1, 2, 3, 4)]
    failed = "ERROR taper no-tape error [No acceptable volumes found]"
    world.check_log(*empty, "INFO taper all slots have been loaded", failed)


def test_a_taper_in_error_ends_at_the_end_of_input(world: World) -> None:
    """EOF in state error is QUIT."""
    world.configure(Options(labels='labelstr "^PROTO[0-9][0-9]$"'))
    talk = world.start()
    talk.send(f"START-TAPER taper0 {WORKER} PROTO {STAMP}")
    talk.expect(f'TAPE-ERROR {WORKER} "No acceptable volumes found"')
    talk.socket.shutdown(1)
    talk.expect_end(0)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            Options(changer=""),
            "You must specify the 'tapedev' or 'tpchanger' in the 'PROTO' storage section",
        ),
        (
            Options(changer='tpchanger "chg-disk:/nonexist"'),
            "directory '/nonexist' does not exist",
        ),
    ],
    ids=["no-changer", "no-directory"],
)
def test_a_changer_that_cannot_be_opened_is_a_setup_error(
    world: World, options: Options, text: str
) -> None:
    """TAPE-ERROR SETUP unasked, logged, exit 0 without QUIT [protocol T11]."""
    world.configure(options)
    talk = world.start()
    talk.expect(f'TAPE-ERROR SETUP "{text}"')
    talk.expect_end(0)
    world.check_log(f"ERROR taper no-tape error [{text}]")
    assert world.log()[-1].startswith("INFO taper pid-done ")


def test_an_unknown_storage_is_a_setup_error(world: World) -> None:
    """--storage names a storage that is not there [protocol T11]."""
    talk = world.start(arguments=["--storage", "nosuch", "--log-filename", LOG])
    talk.expect("TAPE-ERROR SETUP \"Storage 'nosuch' not found\"")
    talk.expect_end(0)


def test_an_unknown_changer_kind_is_a_setup_error(world: World) -> None:
    """A changer scheme nobody knows: the driver is told, the process ends by itself."""
    world.configure(Options(changer='tpchanger "chg-nosuch:/x"'))
    talk = world.start()
    talk.expect('TAPE-ERROR SETUP "<*>nosuch<*>"')
    talk.expect_end(0)
    world.check_logged("ERROR taper no-tape error [<*>nosuch<*>]")


def test_a_broken_configuration_ends_before_the_log(world: World) -> None:
    """A syntax error names file and line on stderr; exit 1, nothing in the trace log."""
    world.write(f"{ETC}/amanda.conf", 'org "x"\nnonsense here\n')
    talk = world.start()
    talk.expect_end(1)
    assert any(f"{ETC}/amanda.conf" in line and "line 2" in line for line in talk.stderr())
    assert world.log() == []


def test_a_corrupt_tapelist_ends_the_start(world: World) -> None:
    """A line that cannot be read: FATAL in the log with file and line, exit 1, list untouched."""
    bad = "20260101000000 PROTO01 reuse\n\nxyzzy PROTO02 reuse\n"
    world.write(TAPELIST, bad)
    talk = world.start()
    talk.expect_end(1)
    world.check_logged("FATAL taper <*>tapelist<*>")
    assert world.path(TAPELIST).read_text() == bad


def started_by_root(world: World) -> None:
    """Start the taper as somebody else than the dump user."""
    command = [world.program.path, CONFIG, "--storage", CONFIG, "--log-filename", LOG]
    done = subprocess.run(
        ["nsenter", "-t", str(world.keeper.pid), "-m", *command],
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=600,
    )
    assert done.returncode == 1


def test_another_user_is_refused(world: World) -> None:
    """The taper runs as the dump user only: FATAL in the log of the run, exit 1."""
    world.write(LOG, "")
    started_by_root(world)
    world.check_logged(
        'FATAL taper must be executed as the "backup" user instead of the "root" user<*>'
    )


@pytest.mark.known_stock_failure("the log is then root's, and the next taper cannot start")
def test_another_user_makes_no_log(world: World) -> None:
    """So the dump user's taper can start afterwards."""
    started_by_root(world)
    world.start().start_taper()


def test_a_second_taper_leaves_the_first_ones_slot_alone(world: World) -> None:
    """A reserved slot is skipped by another process."""
    first, second = world.start(), world.start()
    first.start_taper()
    second.start_taper()
    dump = world.holding(b"a" * 1000)
    second.file_write(dump)
    second.grant("PROTO01")
    second.ready()
    second.part("PROTO01", 1, 1000)
    assert world.slot(1) == []
    assert world.volume("PROTO01") == world.slot(2)
    first.quit()
    world.check_logged("INFO taper Slot 2 without label can be labeled")


def test_a_killed_tapers_slot_is_free_again(world: World) -> None:
    """The reservation of a taper that was killed does not survive it."""
    first = world.start()
    first.start_taper()
    first.end()
    again = world.start()
    again.start_taper()
    again.file_write(world.holding(b"b" * 1000))
    again.grant("PROTO01")
    again.ready()
    assert [file.number for file in world.slot(1)][:1] == [0]
    assert not world.slot(2)


def test_a_bare_device_name_is_a_changer_of_one(world: World) -> None:
    """tapedev "file:..." works without a changer; files lie in data/."""
    world.configure(Options(changer=f'tapedev "file:{VTAPES}/one"', slots=0))
    world.mkdir(f"{VTAPES}/one/data")
    talk = world.start()
    talk.start_taper()
    talk.file_write(world.holding(b"c" * 1000))
    talk.grant("PROTO01")
    talk.ready()
    talk.part("PROTO01", 1, 1000)
    assert world.path(f"{VTAPES}/one/data/00000.PROTO01").exists()


def test_chg_single_takes_the_device_it_is_given(world: World) -> None:
    """tpchanger "chg-single:file:..." is the same in the long form."""
    world.configure(Options(changer=f'tpchanger "chg-single:file:{VTAPES}/one"', slots=0))
    world.mkdir(f"{VTAPES}/one")
    talk = world.start()
    talk.start_taper()
    talk.file_write(world.holding(b"d" * 1000))
    talk.grant("PROTO01")
    talk.ready()
    talk.part("PROTO01", 1, 1000)
    assert world.path(f"{VTAPES}/one/00001.localhost._home.0").exists()


def test_a_vault_of_zeros_the_null_device_swallows_a_dump(world: World) -> None:
    """The null device takes a dump and keeps nothing."""
    changer = 'tpchanger "chg-single:null:"'
    world.configure(Options(changer=changer, slots=0, usage_kib=None, leom=None))
    talk = world.start()
    talk.start_taper()
    talk.file_write(world.holding(b"e" * 40000))
    talk.grant("PROTO01", HANDLE)
    talk.ready()
    talk.part("PROTO01", 1, 40000)
