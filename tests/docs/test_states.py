"""The states in the documents are those of the machines."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs import states


def test_the_tables_are_as_the_machines_are() -> None:
    """``python -m tests.docs.states --write`` makes it so."""
    assert states.main([]) == 0


def test_all_transitions_are_seen() -> None:
    """As many as the table of tests/core/test_rules.py has."""
    from tests.core.test_rules import TABLE

    assert len(states.WORKER.transitions()) == sum(len(inputs) for inputs in TABLE.values())
    assert ("idle", "write", "making_xfer") in states.WORKER.transitions()
    assert ("listen", "accept", "active") in states.MOVER.transitions()
    assert ("proven", "send", "proven") in states.APPLICATION.transitions()
    assert ("finished", "end", "finished") in states.TAPER.transitions()


def test_another_table_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And mended, with all around it kept."""
    for document in states.DOCUMENTS:
        places = "".join(
            f"{machine.begin}old\n{machine.end}"
            for machine in states.MACHINES
            if machine.document == document
        )
        (tmp_path / document).write_text(f"before\n{places}after\n")
    monkeypatch.setattr(states, "DOCS", tmp_path)
    assert states.main([]) == 1
    assert "states --write" in capsys.readouterr().out
    assert states.main(["--write"]) == 0
    assert states.main([]) == 0
    for document in states.DOCUMENTS:
        text = (tmp_path / document).read_text()
        assert text.startswith("before\n")
        assert text.endswith("after\n")
        assert "old" not in text
    (tmp_path / states.DOCUMENTS[-1]).write_text("nothing of it")
    with pytest.raises(ValueError, match="has no place for"):
        states.main([])
