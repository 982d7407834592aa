"""The same conversation with two tapers: replies, trace log, tapelist and volumes are the same.

The conversations are cases of the other files; masked are only what no two runs share: process
numbers, times and rates, ports, the random part of a status file's name. The last checksum of a
PARTIAL log line covers what was read ahead, so it is masked too [protocol T7].
"""

import hashlib
import re
from collections.abc import Callable

import pytest
from _pytest.mark import ParameterSet

from tests.conformance import (
    test_bad_input,
    test_file_write,
    test_logs,
    test_port_write,
    test_quit,
    test_splitting,
    test_start,
    test_vault,
    test_volumes,
    test_workers,
)
from tests.conformance.conftest import history, pair
from tests.conformance.harness import VTAPES, Options, Program, World
from tests.conformance.harness_talk import PLAIN, split_by
from tests.conformance.harness_text import crc, payload

Case = Callable[[World], None]

RELEASED = "INFO taper tape "
MASKS = [
    (r"\[sec \d+\.\d+", "[sec S"),
    (r" kps \d+\.\d+", " kps K"),
    (r"\bpid(-done)? \d+", r"pid\1 P"),
    (r'^(< PORT \S+ \S+) \d+ "127\.0\.0\.1:\d+"', r'\1 PORT "127.0.0.1:PORT"'),
    (r"taper_status_file_\w{6,8}", "taper_status_file_X"),
    (r"(unknown command).*", r"\1 NAME"),
    (r"(command not appropriate in state '\w+' : '\w+').*", r"\1 WHY"),
    (r"^(PARTIAL taper .*) [0-9a-f]{8}:\d+ \[sec", r"\1 READ-AHEAD [sec"),
    # meant differences that come with every such case: who is blamed, and what could be mended
    (
        r' INPUT-GOOD TAPE-ERROR "" "error; Dump not found"$',
        ' INPUT-ERROR TAPE-GOOD "Dump not found" ""',
    ),
    (r'"error; Dump not found"$', '"Dump not found"'),
    (r'(No acceptable volumes found): slot \d+: [^"\]]*', r"\1"),
]


def call(function: Callable[..., None], *arguments: object) -> Case:
    """Fix the arguments of a parametrised case."""
    return lambda world: function(world, *arguments)


CASES: dict[str, Case] = {
    "plain": test_file_write.test_one_dump_one_part,
    "second-dump": test_file_write.test_the_volume_stays_open_for_the_next_dump,
    "chunks": call(test_file_write.test_a_dump_in_several_holding_files, 60_000),
    "empty": test_file_write.test_an_empty_dump_is_one_empty_part,
    "header-lines": test_file_write.test_the_header_goes_to_the_volume_unchanged,
    "wrong-crc": test_file_write.test_a_wrong_server_crc_is_an_input_error,
    "partial-dump": test_file_write.test_a_partial_dump_is_written_and_called_partial_in_the_log,
    "quoting": call(test_file_write.test_names_that_need_quoting, 'a b:c"d\\e'),
    "not-utf-8": call(test_file_write.test_names_that_need_quoting, "/\udcff\udcfe"),
    "short-stamp": test_file_write.test_an_eight_digit_datestamp,
    "one-block-parts": call(test_splitting.test_how_a_holding_file_is_cut, split_by(1),
                            [32768] * 30 + [16960]),
    "exact-multiple": call(test_splitting.test_an_exact_multiple_ends_with_an_empty_part, "file"),
    "retry": test_splitting.test_a_part_that_does_not_fit_is_written_again,
    "leom": call(test_splitting.test_a_part_cut_short_by_leom_is_good, 300_000),
    "leom-no-part-size": test_splitting.test_leom_splits_even_without_a_part_size,
    "leom-last-block": test_splitting.test_leom_on_the_last_block_asks_for_another_volume,
    "no-splitting": call(test_splitting.test_a_dump_that_may_not_be_split_and_does_not_fit,
                         False, 0),
    "no-splitting-leom": call(test_splitting.test_a_dump_that_may_not_be_split_and_does_not_fit,
                              True, 360448),
    "denied-later": test_splitting.test_a_further_volume_is_denied,
    "none-left": test_splitting.test_no_further_volume_can_be_found,
    "port": test_port_write.test_a_dump_by_tcp,
    "port-failed": test_port_write.test_a_dumper_that_failed_after_all_its_data,
    "port-memory": call(test_splitting.test_a_dumpers_part_comes_again_from_the_cache,
                        split_by(262144, "memory")),
    "port-disk": call(test_splitting.test_a_dumpers_part_comes_again_from_the_cache,
                      split_by(262144, "disk", "/var/lib/amanda/cache")),
    "port-leom": test_splitting.test_a_dumpers_data_spans_with_leom_and_no_cache,
    "port-no-cache": test_splitting.test_a_dumper_without_cache_cannot_span,
    "warning": test_splitting.test_warning_when_the_cache_directory_is_missing,
    "warning-space": test_splitting.test_warning_when_the_cache_directory_is_too_small,
    "warning-fallback": test_splitting.test_warning_when_the_split_buffer_is_too_small,
    "denied": test_volumes.test_denied_at_the_first_request,
    "no-volume": test_start.test_no_acceptable_volume_leaves_a_worker_in_error,
    "no-storage": test_start.test_an_unknown_storage_is_a_setup_error,
    "refused": test_volumes.test_reasons_to_refuse_a_labelled_volume,
    "unwritable": test_volumes.test_a_label_that_cannot_be_written,
    "unreadable": test_volumes.test_a_slot_that_cannot_be_read,
    "oldest": call(test_volumes.test_the_oldest_volume_is_used_again, "oldest"),
    "lexical": call(test_volumes.test_the_oldest_volume_is_used_again, "lexical"),
    "traditional": call(test_volumes.test_the_oldest_volume_is_used_again, "traditional"),
    "rubbish": call(test_volumes.test_autolabel_refuses, *test_volumes.STATES[1]),
    "template": call(test_volumes.test_label_templates, "$c-!!", "PROTO-AA"),
    "bad-commands": call(test_bad_input.test_too_few_fields, test_bad_input.TOO_FEW),
    "too-many": test_bad_input.test_too_many_fields,
    "unknown": call(test_bad_input.test_unknown_commands, "GARBAGE foo"),
    "wrong-state": test_bad_input.test_commands_that_must_wait_for_the_end_of_a_dump,
    "closed": test_quit.test_closing_a_volume_and_dumping_on,
    "closed-none-left": test_quit.test_no_volume_is_left_after_closing,
    "counted": test_logs.test_every_volume_is_counted_in_the_log,
    "workers": test_workers.test_one_worker_writes_while_the_other_waits,
    "taken-reservation": test_workers.test_a_reservation_is_taken_over,
    "vault": test_vault.test_a_dump_is_copied,
    "vault-nowhere": test_vault.test_a_dump_that_is_nowhere,
    "vault-kept": test_vault.test_the_source_volume_stays_open,
    "vault-other-volume": test_vault.test_another_volume_is_opened_for_the_next_dump,
    "vault-header": test_vault.test_the_header_comes_along,
    "vault-partial": test_vault.test_a_partial_dump,
    "vault-no-partial": test_vault.test_a_partial_copy_is_not_found,
    "vault-denied": test_vault.test_denied,
    "vault-missing": test_vault.test_a_missing_source_volume,
    "vault-busy": test_vault.test_a_busy_source_volume,
    "vault-wrong-header": test_vault.test_a_wrong_header_at_the_start,
    "taken-volume": test_workers.test_a_started_volume_is_taken_over,
}  # fmt: skip


def masked(lines: list[str]) -> list[str]:
    """Hide what no two runs share."""
    for pattern, replacement in MASKS:
        lines = [re.sub(pattern, replacement, line) for line in lines]
    return lines


def released_in_any_order(lines: list[str]) -> list[str]:
    """Sort neighbouring lines about released volumes: at QUIT no order is promised."""
    result: list[str] = []
    for line in lines:
        at = len(result)
        if line.startswith(RELEASED):
            while at and result[at - 1].startswith(RELEASED) and result[at - 1] > line:
                at -= 1
        result.insert(at, line)
    return result


def volumes(world: World) -> dict[str, str]:
    """Digest every file of every slot; its size first, for the eye."""
    found = {}
    for path in sorted(world.path(VTAPES).glob("slot*/*")):
        if path.is_file():
            content = path.read_bytes()
            name = f"{path.parent.name}/{path.name}"
            found[name] = f"{len(content)} {hashlib.sha256(content).hexdigest()}"
    return found


def observe(program: Program, case: Case) -> dict[str, object]:
    """Hold the conversation with one taper; everything it said and left."""
    world = World(program)
    world.configure(Options())
    try:
        case(world)
        for talk in world.talks:
            if talk.process.poll() is None:
                talk.send("QUIT")
                talk.process.wait(60)
        return {
            "replies": [line for talk in world.talks for line in masked(talk.transcript)],
            "stderr": [line for talk in world.talks for line in masked(talk.stderr())],
            "exit": [talk.process.returncode for talk in world.talks],
            "log": released_in_any_order(masked(world.log())),
            "tapelist": world.tapelist(),
            "volumes": volumes(world),
        }
    except AssertionError as error:
        raise AssertionError(f"{program.name}: {error}\n{history(world)}") from error
    finally:
        world.close()


@pytest.fixture
def two(request: pytest.FixtureRequest) -> tuple[Program, Program]:
    """Give the two tapers to compare, or skip."""
    found = pair(request.config)
    if found is None:
        pytest.skip("needs two tapers: --taper twice, or ours with Amanda's installed")
    return found


def named(name: str) -> ParameterSet:
    """One case; what stock fails at times may fail here at times."""
    found = getattr(CASES[name], "pytestmark", [])
    reasons = [mark.args[0] for mark in found if mark.name == "stock_may_fail"]
    marks = [pytest.mark.xfail(reason=reason, strict=False) for reason in reasons]
    return pytest.param(name, marks=marks)


@pytest.mark.parametrize("name", [named(name) for name in CASES])
def test_the_same_with_both(two: tuple[Program, Program], name: str) -> None:
    """Everything said, logged and written is the same, byte for byte, line for line."""
    first, second = (observe(program, CASES[name]) for program in two)
    for what, seen in first.items():
        assert seen == second[what], f"{what}: {two[0].name} and {two[1].name} differ"


def test_a_volume_begun_by_one_is_continued_by_the_other(two: tuple[Program, Program]) -> None:
    """Slots, reservations and the tapelist of one are understood by the other."""
    world = World(two[0])
    world.configure(Options(tapecycle=3, slots=3))
    data = payload(100_000)
    try:
        for turn in range(4):
            world.program = two[turn % 2]
            handle = f"00-0000{turn + 1}"
            talk = world.start()
            talk.start_taper(stamp=f"2026010{turn + 1}000000")
            talk.file_write(world.holding(data), PLAIN, handle)
            talk.grant(f"PROTO0{turn % 3 + 1}", handle)
            talk.ready(handle)
            talk.part(f"PROTO0{turn % 3 + 1}", 1, 100_000, handle=handle)
            talk.done(crc(data), handle=handle)
            talk.quit()
            world.check_dump(handle, data)
        labels = [line.split()[:2] for line in world.tapelist()]
        assert labels == [[f"2026010{n}000000", f"PROTO0{(n - 1) % 3 + 1}"] for n in (4, 3, 2)]
    finally:
        world.close()
