"""What Prometheus is told: its format, what the page says of it, and the examples."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from pytest_twisted import ensureDeferred

from tests.docs.markdown import ROOT
from tests.people.nights import Nights
from tests.people.served import serving
from tests.people.written import hostile_logs, three_nights

PAGE = (ROOT / "docs" / "commands.md").read_text()
ALERTS = ROOT / "docs" / "examples" / "prometheus-alerts.yml"
DASHBOARD = ROOT / "docs" / "examples" / "grafana-dashboard.json"
PROMTOOL = shutil.which("promtool")
with_promtool = pytest.mark.skipif(
    PROMTOOL is None, reason="there is no promtool, which Debian's prometheus brings"
)

_SAMPLE = re.compile(r"([a-z_]+)(?:\{(.*)\})? ([-+.e0-9]+)")
_LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')
_NAME = re.compile(r"\btaper_[a-z_]+")


def documented() -> dict[str, set[str]]:
    """The metrics of the page, with their labels."""
    section = PAGE.partition("### Metrics")[2].partition("\n## ")[0]
    rows = [line.split(" | ") for line in section.splitlines() if line.startswith("| `taper_")]
    return {row[0].strip("| `"): set(re.findall("`([a-z]+)`", row[1])) for row in rows}


def read_metrics(text: str) -> dict[str, dict[tuple[str, ...], float]]:
    """Values by metric, and by the values of its labels in the order of their names; each metric
    has a help and a type before its samples."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    known = set()
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            assert line.endswith(" gauge")
            known.add(line.split(" ")[2])
        elif not line.startswith("# HELP "):
            sample = _SAMPLE.fullmatch(line)
            assert sample is not None, line
            assert sample[1] in known
            labels = tuple(word for _, word in sorted(_LABEL.findall(sample[2] or "")))
            assert labels not in found.setdefault(sample[1], {})
            found[sample[1]][labels] = float(sample[3])
    return found


def promtool(*words: str, text: str = "") -> str:
    assert PROMTOOL is not None
    done = subprocess.run(
        [PROMTOOL, *words],
        input=text,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


async def metrics_of(nights: Nights) -> str:
    async with serving(nights) as served:
        reply = await served.get("/metrics")
        assert reply.headers["content-type"].startswith("text/plain; version=")
        return reply.text


@ensureDeferred
async def test_what_is_told_is_what_the_page_says(tmp_path: Path) -> None:
    text = await metrics_of(await three_nights(tmp_path))
    labels: dict[str, set[str]] = {}
    for line in text.splitlines():
        sample = _SAMPLE.fullmatch(line)
        if sample is not None:
            labels.setdefault(sample[1], set()).update(
                name for name, _ in _LABEL.findall(sample[2] or "")
            )
    assert labels == documented()
    found = read_metrics(text)
    assert found["taper_catalogue_up"] == {(): 1}
    assert found["taper_disk_restorable"] == {("/home", "localhost"): 1, ("/lost", "localhost"): 0}
    assert found["taper_disk_last_dump_size_bytes"] == {("/home", "localhost"): 7}
    assert found["taper_disk_last_dump_level"] == {("/home", "localhost"): 1}
    assert found["taper_volumes"] == {
        ("free", "C"): 0,
        ("kept", "C"): 2,
        ("locked", "C"): 0,
        ("new", "C"): 0,
    }
    assert found["taper_last_run_finished"] == {(): 0}
    assert found["taper_last_run_failures"] == {("failed",): 1, ("missing",): 1, ("partial",): 0}
    assert found["taper_held_dumps"] == {(): 1}
    assert found["taper_held_bytes"] == {(): 7}


@ensureDeferred
async def test_names_that_mean_harm(tmp_path: Path) -> None:
    nights = Nights(tmp_path).make()
    hostile_logs(nights)
    disklist = 'a"b\\\\c {0} {{\n program "GNUTAR"\n}}\n'
    (tmp_path / "etc/C/disklist").write_text(
        "".join(disklist.format(name) for name in ('"/x}\\"y{"', '"/ \\n"', "/" + "z" * 900))
    )
    text = await metrics_of(nights)
    found = read_metrics(text)
    assert len(found["taper_disk_restorable"]) == 3
    assert max(map(len, text.splitlines())) < 600
    if PROMTOOL is not None:
        promtool("check", "metrics", text=text)


@with_promtool
@ensureDeferred
async def test_promtool_has_nothing_to_say_of_the_metrics(tmp_path: Path) -> None:
    assert promtool("check", "metrics", text=await metrics_of(Nights(tmp_path).make())) == ""


@with_promtool
def test_the_alerts(tmp_path: Path) -> None:
    """They are well formed, and ring when they should."""
    assert "SUCCESS" in promtool("check", "rules", str(ALERTS))
    cases = tmp_path / "cases.yml"
    cases.write_text(CASES.format(alerts=ALERTS))
    assert "SUCCESS" in promtool("test", "rules", str(cases))


CASES = """
rule_files:
  - {alerts}
evaluation_interval: 5m
tests:
  - interval: 5m
    input_series:
      - series: 'taper_disk_last_dump_timestamp_seconds{{host="a",disk="/new"}}'
        values: '172800x600'
      - series: 'taper_disk_last_dump_timestamp_seconds{{host="a",disk="/old"}}'
        values: '0x600'
      - series: 'taper_disk_restorable{{host="a",disk="/none"}}'
        values: '0x600'
      - series: 'taper_last_run_failures{{kind="failed"}}'
        values: '0x600'
      - series: 'taper_last_run_failures{{kind="missing"}}'
        values: '2x600'
      - series: 'taper_volumes{{storage="S",state="free"}}'
        values: '0x600'
      - series: 'taper_volumes{{storage="S",state="new"}}'
        values: '0x600'
      - series: 'taper_volumes{{storage="S",state="kept"}}'
        values: '5x600'
    alert_rule_test:
      - eval_time: 40h
        alertname: TaperDumpOld
        exp_alerts:
          - exp_labels: {{severity: warning, host: a, disk: /old}}
            exp_annotations:
              summary: The last dump of a:/old is 1d 16h 0m 0s old.
              description: See why among the errors of taperctl web.
      - eval_time: 40h
        alertname: TaperDumpVeryOld
        exp_alerts: []
      - eval_time: 2h
        alertname: TaperNothingRestorable
        exp_alerts:
          - exp_labels: {{severity: critical, host: a, disk: /none}}
            exp_annotations:
              summary: There is no dump of a:/none that can be restored.
              description: It was never dumped, its dumps failed, or they were written over.
      - eval_time: 10m
        alertname: TaperRunFailed
        exp_alerts:
          - exp_labels: {{severity: warning}}
            exp_annotations:
              summary: The last run did not store 2 disks as a whole.
              description: taperctl web shows each with a remedy, on the page of errors.
      - eval_time: 2h
        alertname: TaperNoVolumeLeft
        exp_alerts:
          - exp_labels: {{severity: warning, storage: S}}
            exp_annotations:
              summary: Storage S has no volume that may be written over.
              description: >-
                Unless the next run may label new ones, it stores nothing there; taperctl check
                tells which volumes it would take.
"""


def expressions(value: Any) -> list[str]:
    """All queries of a dashboard."""
    if isinstance(value, list):
        return [found for one in value for found in expressions(one)]
    if not isinstance(value, dict):
        return []
    own = [value["expr"]] if "expr" in value else []
    return own + [found for one in value.values() for found in expressions(one)]


def test_the_examples_ask_for_what_there_is() -> None:
    known = set(documented())
    assert set(_NAME.findall(ALERTS.read_text())) <= known
    dashboard = json.loads(DASHBOARD.read_text())
    assert set(_NAME.findall(DASHBOARD.read_text())) <= known
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken = set()
    for panel in panels:
        place = panel["gridPos"]
        assert 0 <= place["x"] < place["x"] + place["w"] <= 24
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, panel["title"]
                taken.add((x, y))
        assert panel["targets"]
        assert panel["title"]


@with_promtool
def test_the_queries_of_the_dashboard(tmp_path: Path) -> None:
    """Prometheus understands them."""
    found = expressions(json.loads(DASHBOARD.read_text()))
    assert len(found) >= 12
    rules = "".join(
        f"      - record: x{number}\n        expr: {json.dumps(query.replace('$instance', '.*'))}\n"
        for number, query in enumerate(found)
    )
    file = tmp_path / "queries.yml"
    file.write_text(f"groups:\n  - name: q\n    rules:\n{rules}")
    promtool("check", "rules", str(file))
