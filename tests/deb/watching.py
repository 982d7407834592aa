"""``taperctl monitor`` run by Nagios, by the definitions that the documents show."""

from __future__ import annotations

import re

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
  address = "127.0.0.1"
  check_command = "hostalive"
}
"""
_CHECK = """
now=$(date +%%s)
echo "[$now] SCHEDULE_FORCED_SVC_CHECK;%s;backups;$now" >/var/lib/nagios4/rw/nagios.cmd
"""
_STATUS = (
    "sed -n '/^servicestatus/,/}/p' /var/lib/nagios4/status.dat | grep -A50 description=backups"
)


def shown(text: str) -> str:
    """The block of the documents that has this text, as it is for the package and for T."""
    block: str
    (block,) = [
        block for block in _FENCED.findall((ROOT / "docs/commands.md").read_text()) if text in block
    ]
    return block.replace("/opt/taper/bin", "/usr/lib/twisted-taper/bin").replace("DailySet1", "T")


def try_monitor(place: Machine) -> None:
    """Nagios is told state, text and performance data, when all is well and when it is not"""
    sudoers = place.path / "etc/sudoers.d/taper"
    sudoers.write_text(shown("NOPASSWD"))
    sudoers.chmod(0o440)
    place.run("visudo", "--check")
    (place.path / "etc/icinga2/conf.d/backups.conf").write_text(
        _ICINGA_HOST % HOST + shown("object CheckCommand")
    )
    expect("Finished validating", place.run("icinga2", "daemon", "--validate"))
    (place.path / "etc/nagios4/conf.d/backups.cfg").write_text(
        _NAGIOS_HOST % HOST + shown("define command")
    )
    expect("Total Errors:   0", place.run("nagios4", "-v", "/etc/nagios4/nagios.cfg"))
    place.run("systemctl", "start", "nagios4.service")
    place.until("test -p /var/lib/nagios4/rw/nagios.cmd")
    well = _checked(place, "has_been_checked=1")
    for wanted in (
        "current_state=0",
        "plugin_output=TAPER OK: 2 disks, ",
        "[OK] localhost:/data/straight: the last dump is ",
        "performance_data='localhost:/data/held age'=",
        "'T volumes'=",
    ):
        expect(wanted, well)
    place.shell("echo nonsense >>/etc/amanda/T/amanda.conf")
    ill = _checked(place, "plugin_output=TAPER UNKNOWN: ")
    expect("current_state=3", ill)
    if "performance_data='" in ill:
        raise Failed(f"there are figures of what is not known:\n{ill}")
    place.run("systemctl", "stop", "nagios4.service")


def _checked(place: Machine, text: str) -> str:
    """Have it looked at. :return: what Nagios keeps of it, once it has this text"""
    place.shell(_CHECK % HOST)
    return place.until(_STATUS, text)
