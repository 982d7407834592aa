"""DONE, PARTIAL or FAILED: the table of [protocol 3.4], and its words."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from protocols.crc import UNKNOWN, Crc
from taper.core.outcome import DumperResult, Ledger, Verdict

A, B = Crc(0xAAAA0001, 10), Crc(0xBBBB0002, 10)


def ledger(**facts: Any) -> Ledger:
    """A dump with one good part and nothing to complain of, but for ``facts``."""
    usual: dict[str, Any] = {"parts": 1, "last_part_good": True, "size": 10}
    return Ledger(**usual | facts)


@pytest.mark.parametrize(
    ("facts", "verdict", "input_word", "tape_word"),
    [
        ({}, Verdict.DONE, "INPUT-GOOD", "TAPE-GOOD"),
        ({"dumper": DumperResult.FAILED}, Verdict.DONE, "INPUT-GOOD", "TAPE-GOOD"),
        ({"dumper": DumperResult.DONE}, Verdict.DONE, "INPUT-GOOD", "TAPE-GOOD"),
        ({"parts": 0}, Verdict.FAILED, "INPUT-GOOD", "TAPE-GOOD"),
        (
            {"parts": 0, "input_errors": ["Got empty header"]},
            Verdict.FAILED,
            "INPUT-ERROR",
            "TAPE-GOOD",
        ),
        ({"parts": 0, "device_errors": ["bad"]}, Verdict.FAILED, "INPUT-GOOD", "TAPE-ERROR"),
        ({"parts": 0, "denial": "no"}, Verdict.FAILED, "INPUT-GOOD", "TAPE-CONFIG"),
        ({"parts": 0, "denial": ""}, Verdict.FAILED, "INPUT-GOOD", "TAPE-CONFIG"),
        ({"last_part_good": False}, Verdict.PARTIAL, "INPUT-GOOD", "TAPE-GOOD"),
        ({"device_errors": ["bad"]}, Verdict.PARTIAL, "INPUT-GOOD", "TAPE-ERROR"),
        ({"denial": "no"}, Verdict.PARTIAL, "INPUT-GOOD", "TAPE-CONFIG"),
        ({"denial": ""}, Verdict.PARTIAL, "INPUT-GOOD", "TAPE-CONFIG"),
        ({"input_errors": ["lost"]}, Verdict.PARTIAL, "INPUT-ERROR", "TAPE-GOOD"),
        (
            {"input_errors": ["lost"], "device_errors": ["bad"], "denial": "no"},
            Verdict.PARTIAL,
            "INPUT-ERROR",
            "TAPE-ERROR",
        ),
    ],
)
def test_the_table(
    facts: dict[str, Any], verdict: Verdict, input_word: str, tape_word: str
) -> None:
    found = ledger(**facts)
    assert (found.verdict, found.input_word, found.tape_word) == (verdict, input_word, tape_word)


def test_done_needs_everything() -> None:
    """Over all combinations: DONE exactly if a part is there, the last is good, none complains."""
    for parts, good, inputs, devices, denial in product(
        (0, 1, 3), (False, True), ([], ["i"]), ([], ["d"]), (None, "no")
    ):
        found = Ledger(
            parts=parts,
            last_part_good=good,
            input_errors=list(inputs),
            device_errors=list(devices),
            denial=denial,
        )
        well = parts > 0 and good and not inputs and not devices and denial is None
        assert (found.verdict is Verdict.DONE) is well
        assert (found.verdict is Verdict.FAILED) is (parts == 0)


@pytest.mark.parametrize(
    ("header", "source", "dest", "errors"),
    [
        (UNKNOWN, UNKNOWN, UNKNOWN, []),
        (A, A, A, []),
        (UNKNOWN, A, A, []),
        (A, UNKNOWN, A, []),
        (A, UNKNOWN, B, []),
        (
            B,
            A,
            A,
            [
                "source server crc (aaaa0001:10) and input server crc (bbbb0002:10) differ)",
            ],
        ),
        (
            A,
            A,
            B,
            [
                "source server crc (aaaa0001:10) and dest server crc (bbbb0002:10) differ)",
            ],
        ),
        (
            B,
            A,
            B,
            [
                "source server crc (aaaa0001:10) and input server crc (bbbb0002:10) differ)",
                "source server crc (aaaa0001:10) and dest server crc (bbbb0002:10) differ)",
            ],
        ),
    ],
)
def test_checksums_that_differ_are_input_errors(
    header: Crc, source: Crc, dest: Crc, errors: list[str]
) -> None:
    """Compared only where both are known [data-plane 5.3]."""
    found = ledger(header_crc=header, source_crc=source, dest_crc=dest)
    found.compare_crcs()
    assert found.input_errors == errors
    assert found.verdict is (Verdict.PARTIAL if errors else Verdict.DONE)


@pytest.mark.parametrize(
    ("size", "source", "dumper", "wrong"),
    [
        (10, A, A, []),
        (10, A, Crc(1, 0), []),
        (10, A, B, [f"source server crc ({A}) and dumper crc ({B}) differ"]),
        (10, UNKNOWN, B, []),
        (32, UNKNOWN, B, []),
        (9, UNKNOWN, B, ["the device stored 9 bytes of 10 that the dumper has sent"]),
        (9, UNKNOWN, Crc(0xFFFFFFFF, 0), []),
    ],
)
def test_what_the_dumper_says(size: int, source: Crc, dumper: Crc, wrong: list[str]) -> None:
    """It is compared with what came here, or at least with what a mover has counted."""
    found = ledger(size=size, source_crc=source, dumper_crc=dumper)
    assert found.compare_dumper_crc() == wrong
    assert found.input_errors == wrong


def test_a_dump_that_went_wrong_is_not_compared() -> None:
    """An aborted dump differs anyway; that tells nothing."""
    found = ledger(denial="no", source_crc=A, dest_crc=B)
    found.compare_crcs()
    assert not found.input_errors


def test_texts() -> None:
    found = ledger(device_errors=["d1", "d2"], input_errors=["i1", "i2"], denial="no")
    assert (found.input_text, found.tape_text) == ("i1; i2", "d1; d2")
    assert found.messages == "d1; d2; i1; i2; no"
    assert ledger(denial="no").tape_text == "no"
    assert ledger().tape_text == ledger().input_text == ledger().messages == ""


def test_the_logged_checksum_is_the_headers_or_what_was_read() -> None:
    assert ledger(header_crc=A, source_crc=B).logged_crc == A
    assert ledger(source_crc=B).logged_crc == B
