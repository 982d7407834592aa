"""What docs/commands.md says of exit statuses and JSON is what is so."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pytest_twisted import ensureDeferred

from taper.people.commands import COMMANDS
from taper.people.exits import MEANINGS, STATES, Exit, State
from taper.people.screen import Style
from tests.docs.markdown import ROOT
from tests.people.nights import PART, Dump, Nights
from tests.people.served import served_record

PAGE = (ROOT / "docs" / "commands.md").read_text()
FIRST, SECOND = "20260107000000", "20260108210000"
SAME = {"findings[]": "taper/verify/1"}
"""Lists that are described once."""

BY_HAND = """
define changer hand {{
  tpchanger "chg-multi:file:{root}/vtapes/slot{{1,2}}"
  changerfile "{root}/hand"
}}
"""


def documented() -> dict[str, set[str]]:
    """By schema, the keys that the page has."""
    found: dict[str, set[str]] = {}
    for section in PAGE.split("\n### taper/")[1:]:
        name, _, text = section.partition("\n")
        rows = [line for line in text.splitlines() if line.startswith("| `")]
        keys = {key for row in rows for key in re.findall("`([^`]+)`", row.split(" | ")[0])}
        found[f"taper/{name.partition(' ')[0]}"] = keys
    for keys in found.values():
        for same, schema in SAME.items():
            if same in keys:
                prefix = f"{same}."
                keys.remove(same)
                keys |= {key for key in found[schema] if key.startswith(prefix)}
    return found


def paths(value: Any, path: str = "") -> Iterator[str]:
    """The keys of all that is not a list or object; of an empty list, its own."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from paths(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for inner in value:
            yield from paths(inner, f"{path}[]")
    else:
        yield path


@ensureDeferred
async def test_all_keys_are_documented_and_all_that_are_documented_are_there(
    tmp_path: Path,
) -> None:
    nights = Nights(tmp_path).make()
    nights.configure(device='device-property "MAX_VOLUME_USAGE" "400k"', runtapes=4)
    await nights.hold(FIRST, Dump("/home", 3 * PART), Dump("/srv", 100))
    await nights.hold(SECOND, Dump("/home", 10, level=1))
    nights.configure(policy="retention-tapes 1", more=BY_HAND.format(root=tmp_path))
    (tmp_path / "etc/C/disklist").write_text('localhost /srv {\n  program "GNUTAR"\n}\n')
    log = nights.log(SECOND)
    planned = "INFO amdump amdump pid 999999999\nDISK planner localhost /srv\n"
    log.write_text(planned + log.read_text())
    (second,) = (tmp_path / "vtapes/slot1").glob("00002.*")
    second.unlink()
    (tmp_path / "vtapes/slot4/00000.C01").write_bytes(b"")
    seen: dict[str, set[str]] = {}
    for words in (
        *(("volumes",), ("dumps",), ("show", "C01"), ("show", "C02"), ("verify", "--all")),
        ("check", "-o", "runtapes=1"),
        *(("simulate", "9"), ("verify", "--rebuild-catalogue", str(tmp_path / "made"))),
        *(
            ("doctor",),
            ("monitor",),
            ("restore", "localhost", "/home", "--partial", "--to", str(tmp_path / "to")),
        ),
        ("show", "C77"),
        ("label", "C09", "--slot", "3", "--force", "--dry-run"),
        ("erase", "C03", "--dry-run"),
        ("update", "-o", "storage:C:tpchanger=hand"),
        ("move", "1", "2", "--dry-run"),
        ("watch", "--once"),
    ):
        status, said = await nights.run(*words, style=Style.JSON)
        ends = tuple(State) if words == ("monitor",) else (Exit.WELL, Exit.FOUND)
        if words == ("show", "C77"):
            ends = (Exit.ABSENT,)
        assert status in ends, (words, nights.said)
        record = nights.read(said)
        seen.setdefault(record["schema"], set()).update(paths(record))
    async with served_record(nights, "--listen", "tcp:127.0.0.1:0") as record:
        seen[record["schema"]] = set(paths(record))
    told = documented()
    rarely = {
        "taper/show/1": {"files[].header", "files[].logged"},
        "taper/check/1": {"storages[].unknown_slots[]", "storages[].notes[]"},
        "taper/watch/1": {"tapers[].socket", "tapers[].snapshot"},
        "taper/simulate/1": {"storages[].unknown_slots[]"},
        "taper/verify/1": {"unlisted[]"},
        "taper/restore/1": {
            *("missing[]", "not_found[]", "steps[].paths[]", "steps[].other_copies[]"),
            *("outcomes[].damaged[]", "outcomes[].names_lost[]", "left_out[]"),
            *(f"outcomes[].headless[].{key}" for key in ("volume", "file", "part")),
            *(
                f"outcomes[].header.{key}"
                for key in ("undoing_from", "program_from", "copy", "checked")
            ),
            *("newer[].datestamp", "newer[].level", "newer[].why"),
        },
        "taper/rebuild/1": {key for key in told["taper/rebuild/1"] if key.startswith("findings")},
    }
    for schema, keys in seen.items():
        assert keys <= told[schema], schema
        assert told[schema] - keys <= rarely.get(schema, set()), schema
    assert set(seen) == set(told)


def table_behind(head: str) -> dict[int, str]:
    """Numbers and texts of the first table of a section."""
    section = PAGE.partition(f"\n## {head}")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (\d+) \| (.*) \|$", section, re.MULTILINE)
    return {int(number): text for number, text in rows}


def test_exit_statuses_are_documented() -> None:
    assert table_behind("Exit status") == {int(one): MEANINGS[one] for one in Exit}
    assert table_behind("monitor") == {int(one): STATES[one] for one in State}


def test_every_command_has_its_place() -> None:
    """In this page, or as restoring has, in one that it links to."""
    for name in COMMANDS:
        assert f"\n## {name}\n" in PAGE or name == "restore", name
