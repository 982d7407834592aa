"""The command file's lines, as far as retention needs them."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.commandfile import Command, parse_command_file

TEXT = b"""VERSION 1
ID 5
1 COPY CONF near near-pool NEAR-001 1 " ;NEAR-001 ;NEAR-002 ;" 0 localhost /srv/data \
20261122190855 0 off WORKING:0 TODO
2 RESTORE CONF near near-pool NEAR-003 2 1800 localhost "/a b" 20261122190855 1 WORKING:7 PARTIAL:5
3 RESTORE CONF HOLDING HOLDING /srv/holding/f 0 0 localhost / 20261122190855 0 WORKING:7 TODO
4 FLUSH CONF /srv/holding/f localhost / 20261122190855 0 near WORKING:0 DONE
"""


def test_commands_name_the_volumes_they_read() -> None:
    """Copies all volumes of the dump, restores one; a holding file is no volume."""
    parsed = parse_command_file(TEXT)
    assert parsed.bad_lines == ()
    copy, restore, held, flush = parsed.commands
    assert copy == Command(
        id=1,
        operation="COPY",
        config="CONF",
        src_storage="near",
        src_pool="near-pool",
        source_labels=("NEAR-001", "NEAR-002"),
        host="localhost",
        disk="/srv/data",
        timestamp="20261122190855",
        level=0,
        status="TODO",
    )
    assert (restore.source_labels, restore.disk) == (("NEAR-003",), "/a b")
    assert held.source_labels == flush.source_labels == ()
    assert [command.unfinished(1799.5) for command in parsed.commands] == [True, True, False, False]
    assert [command.unfinished(1800) for command in parsed.commands] == [True, False, False, False]


def test_a_bad_line_spoils_only_itself() -> None:
    """What cannot be read is told, the rest is used."""
    parsed = parse_command_file(b"VERSION 2\n9 MOVE CONF\n8 COPY CONF\nx\n" + TEXT)
    assert parsed.bad_lines == ("VERSION 2", "9 MOVE CONF", "8 COPY CONF", "x")
    assert len(parsed.commands) == 4


def test_an_empty_file_has_no_commands() -> None:
    """Stock makes one just by looking."""
    assert parse_command_file(b"").commands == ()


@settings(max_examples=100)
@given(st.binary(max_size=100))
def test_any_bytes_are_survived(data: bytes) -> None:
    """Every line is a command or told."""
    parsed = parse_command_file(b"7 COPY " + data)
    assert isinstance(parsed.commands, tuple)
