"""``taperctl monitor`` run by Nagios and by Icinga, by the definitions that the documents show."""

from __future__ import annotations

import json
import re
from typing import Any

from attrs import frozen

from tests.deb.machine import Machine
from tests.deb.rooms import Failed, expect
from tests.docs.markdown import ROOT

HOST = "backup.example.com"
_FENCED = re.compile(r"^```text\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NAGIOS_HOST = """
define host {
  use                 generic-host
  host_name           %s
  address             127.0.0.1
  max_check_attempts  3
}
"""
_ICINGA_HOST = """
object Host "%s" {
  check_command = "dummy"
}

object ApiUser "asks" {
  password = "a-password"
  permissions = [ "console" ]
}
"""
_CHECK = """
now=$(date +%%s)
echo "[$now] SCHEDULE_FORCED_SVC_CHECK;%s;backups;$now" >/var/lib/nagios4/rw/nagios.cmd
"""
_STATUS = (
    "sed -n '/^servicestatus/,/}/p' /var/lib/nagios4/status.dat | grep -A50 description=backups"
)
_ASKED = f'get_service("{HOST}", "backups")'
_FIGURES = f"{_ASKED}.last_check_result.performance_data.map(x => parse_performance_data(x))"


@frozen
class State:
    """What the monitoring systems are to be told.

    :ivar change: a script that brings it about
    :ivar words: what is to be in the text
    """

    name: str
    change: str
    words: str


STATES = (
    State("OK", "", "[OK] localhost:/data/straight: the last dump is "),
    State(
        "WARNING",
        "sed -i 's/^runtapes .*/runtapes 9/' /etc/amanda/T/amanda.conf",
        "[WARNING] storage T: ",
    ),
    State(
        "CRITICAL",
        "echo localhost /data/new held >>/etc/amanda/T/disklist",
        "[CRITICAL] localhost:/data/new has no dump ",
    ),
    State("UNKNOWN", "echo nonsense >>/etc/amanda/T/amanda.conf", "nonsense"),
)
"""By the exit status of a plugin that tells it. Each is brought about on top of those before."""


def shown(text: str) -> str:
    """The block of the documents that has this text, as it is for the package and for T."""
    block: str
    (block,) = [
        block for block in _FENCED.findall((ROOT / "docs/commands.md").read_text()) if text in block
    ]
    return block.replace("/opt/taper/bin", "/usr/lib/twisted-taper/bin").replace("DailySet1", "T")


def try_monitor(place: Machine) -> None:
    """Nagios and Icinga are told each state, its text and its performance data"""
    sudoers = place.path / "etc/sudoers.d/taper"
    sudoers.write_text(shown("NOPASSWD"))
    sudoers.chmod(0o440)
    place.run("visudo", "--check")
    # sudo complains of a host that does not know itself, and Icinga takes that for the text
    place.shell('echo "127.0.1.1 $(hostname)" >>/etc/hosts')
    _start_nagios(place)
    _start_icinga(place)
    for number, state in enumerate(STATES):
        place.shell(state.change)
        _told_nagios(place, number, state)
        _told_icinga(place, number, state)
    place.run("systemctl", "stop", "nagios4.service", "icinga2.service")


def _start_nagios(place: Machine) -> None:
    (place.path / "etc/nagios4/conf.d/backups.cfg").write_text(
        _NAGIOS_HOST % HOST + shown("define command")
    )
    expect("Total Errors:   0", place.run("nagios4", "-v", "/etc/nagios4/nagios.cfg"))
    place.run("systemctl", "start", "nagios4.service")
    place.until("test -p /var/lib/nagios4/rw/nagios.cmd")


def _told_nagios(place: Machine, number: int, state: State) -> None:
    """Have it looked at, and see what Nagios keeps of it."""
    place.shell(_CHECK % HOST)
    told = place.until(_STATUS, f"plugin_output=TAPER {state.name}: ")
    expect(f"current_state={number}", told)
    expect(state.words, told)
    figures = "performance_data='localhost:/data/held age'="
    _expect_figures(told, has=figures in told and "'T volumes'=" in told, wanted=number < 3)


def _start_icinga(place: Machine) -> None:
    (place.path / "etc/icinga2/conf.d/backups.conf").write_text(
        _ICINGA_HOST % HOST + shown("object CheckCommand")
    )
    place.run("icinga2", "api", "setup")
    expect("Finished validating", place.run("icinga2", "daemon", "--validate"))
    place.run("systemctl", "restart", "icinga2.service")


def _console(script: str) -> str:
    """What asks the running Icinga."""
    where = "https://asks:a-password@localhost:5665/"
    return f"icinga2 console --connect '{where}' --eval '{script}'"


def _told_icinga(place: Machine, number: int, state: State) -> None:
    """The same of Icinga, whose figures are those that it has understood."""
    place.until(_console(f"{_ASKED}.next_check = get_time()"))
    told = place.until(_console(f"{_ASKED}.last_check_result"), f"TAPER {state.name}: ")
    result: dict[str, Any] = json.loads(told)
    expect(f"TAPER {state.name}: ", result["output"][:20])
    expect(state.words, result["output"])
    if (result["exit_status"], result["state"]) != (number, number):
        raise Failed(f"Icinga takes it for something else:\n{told}")
    figures = {
        figure["label"]: (figure["unit"], figure["warn"], figure["crit"])
        for figure in json.loads(place.shell(_console(_FIGURES)))
    }
    wanted = {
        "localhost:/data/held age": ("seconds", 129600, 216000),
        "localhost:/data/held size": ("bytes", None, None),
        "T volumes": ("", None, None),
        "failed": ("", 0, None),
    }
    has = wanted.items() <= figures.items()
    _expect_figures(f"{told}\n{figures}", has=has, wanted=number < 3)


def _expect_figures(told: str, *, has: bool, wanted: bool) -> None:
    """Of what is not known there are none."""
    if has != wanted:
        raise Failed(f"the figures are {'missing' if wanted else 'those of the unknown'}:\n{told}")
