"""The units of the package by a real systemd, in a machine that has Debian and Amanda alone."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from tests.deb.machine import Machine, machine
from tests.deb.rooms import Failed, expect, say, stock
from tests.deb.watching import try_monitor

PACKAGES = (
    *("amanda-server", "amanda-client", "libencode-locale-perl", "mtx"),
    *("dbus", "iproute2", "procps", "python3", "sudo", "systemd", "systemd-sysv", "tar"),
    *("icinga2-bin", "nagios4-core"),
)
UNITS = ("taper.service", "taper.socket", "taper-ndmp-tape.service", "taper-ndmp-tape.socket")
EXPOSURE = 2.5
"""As systemd-analyze counts it: from 0, safe, to 10."""
PYTHON = "/usr/lib/twisted-taper/bin/python3"
ENDED = "exit status 0\n"

_CONF = """
org "{name}"
dumpuser "backup"
send-amreport-on never
infofile "/var/lib/amanda/{name}/curinfo"
indexdir "/var/lib/amanda/{name}/index"
logdir "/var/log/amanda/{name}"
tapelist "/etc/amanda/{name}/tapelist"
dumpcycle 0
tapecycle 3
runtapes 2
etimeout 60
dtimeout 60
define tapetype VTAPE {{
  length 50 mbytes
  part-size 1 mbytes
}}
tapetype VTAPE
{changer}
labelstr "^{name}-[0-9][0-9]$"
autolabel "{name}-%%" empty volume-error
holdingdisk held {{
  directory "/dumps/holding"
  use 500 mbytes
}}
define dumptype held {{
  program "GNUTAR"
  auth "local"
  compress none
  index yes
}}
define dumptype straight {{
  held
  holdingdisk never
}}
"""
_DISKS = "localhost /data/held held\nlocalhost /data/straight straight\n"
_FAR = """
define changer far {
  tpchanger "chg-ndmp:127.0.0.1:10000@robot"
  changerfile "/etc/amanda/N/state"
  property "tape-device" "0=ndmp:127.0.0.1:10000@drive0" "1=ndmp:127.0.0.1:10000@drive1"
  property "ndmp-username" "amanda"
  property "ndmp-password" "a-password"
}
tpchanger "far"
"""
_SERVER = """
[server]
listen = 127.0.0.1:1
accounts = /etc/amanda/ndmp-accounts
clients = 127.0.0.1/32

[library robot]
disk = /srv/far
drives = drive0 drive1
limit = 50m
"""
_LAY_OUT = """
mkdir -p /dumps/holding /data/held /data/straight /home/vtapes/slot1 /var/lib/amanda/gnutar-lists
for slot in 1 2 3 4; do mkdir -p /srv/vtapes/slot$slot /srv/far/slot$slot; done
head -c 3000000 /dev/urandom >/data/held/one
head -c 5000000 /dev/urandom >/data/straight/two
touch /var/lib/amanda/amandates
echo amanda:a-password >/etc/amanda/ndmp-accounts
chmod 600 /etc/amanda/ndmp-accounts
chown -R backup:backup /etc/amanda /dumps /data /srv /home/vtapes /var/lib/amanda
"""
_DRIVERS = """
sed '/^$/,$d' /proc/devices >/run/devices
printf '  9 st\\n 21 sg\\n\\nBlock devices:\\n 11 sr\\n' >>/run/devices
mount --bind /run/devices /proc/devices
mknod -m 660 /dev/nst0 c 9 128
mknod -m 660 /dev/sg3 c 21 3
mknod -m 666 /dev/other c 10 229
chown root:tape /dev/nst0 /dev/sg3
"""


def try_units(rooms: Path, package: Path) -> None:
    """Try all that the units do, and what monitoring systems make of ``taperctl monitor``.

    :raise Failed: something is not as it should be
    """
    with machine(stock(rooms / "machine.tar", PACKAGES)) as place:
        shutil.copy2(package, place.path / "ours.deb")
        shutil.copy2(Path(__file__).with_name("talk.py"), place.path / "talk.py")
        for step in (
            *(_install, _night, _stop, _wait, _reload, _hang, _drop_in, _devices),
            *(_tape_server, try_monitor, _remove),
        ):
            say(f"{step.__name__.strip('_').replace('_', ' ')}: {step.__doc__}")
            step(place)


def _talk(place: Machine, config: str, stamp: str, what: str = "greet") -> str:
    return place.run(PYTHON, "-I", "/talk.py", config, stamp, what)


def _expect_daemon(place: Machine, state: str, unit: str = "taper.service") -> None:
    found = place.property(unit, "ActiveState"), place.property(unit, "Result")
    if found != (state, "success"):
        raise Failed(f"{unit} is {found}, expected {state}")


def _install(place: Machine) -> None:
    """four units, of which systemd finds nothing to complain about, and none is started"""
    place.run("dpkg", "-i", "/ours.deb")
    place.run("ip", "address", "add", "192.0.2.1/32", "dev", "lo")
    place.shell(_LAY_OUT)
    said = place.run("systemctl", "list-unit-files", "--no-legend", "taper*")
    if sorted(said.split()[::3]) != sorted(UNITS) or set(said.split()[1::3]) != {"disabled"}:
        raise Failed(f"these units are there:\n{said}")
    if place.run("systemctl", "list-units", "--no-legend", "--all", "taper*"):
        raise Failed("a unit was started")
    complaints = place.run("systemd-analyze", "verify", *UNITS)
    if complaints:
        raise Failed(f"systemd complains:\n{complaints}")
    told = place.run("systemd-analyze", "security", "--no-pager", UNITS[0], UNITS[2])
    figures = re.findall(r"Overall exposure level for (\S+): ([0-9.]+)", told)
    say(f"  exposure: {', '.join(' '.join(figure) for figure in figures)}")
    if len(figures) != 2 or any(float(figure) > EXPOSURE for _, figure in figures):
        raise Failed(f"too much is exposed:\n{told}")


def _configure(place: Machine, name: str, changer: str) -> None:
    config = place.path / "etc/amanda" / name
    config.mkdir(parents=True)
    (config / "amanda.conf").write_text(_CONF.format(name=name, changer=changer))
    (config / "disklist").write_text(_DISKS)
    (config / "tapelist").touch()
    place.shell(
        f"mkdir -p /var/log/amanda/{name} && "
        f"chown -R backup:backup /etc/amanda/{name} /var/log/amanda/{name}"
    )


def _dump(place: Machine, name: str) -> None:
    """A night of Amanda's own, the taper's work done by the daemon."""
    place.run("amdump", name, user="backup")
    log = place.shell(f"cat /var/log/amanda/{name}/log")
    if log.count("\nDONE taper") != 2 or "\nFAIL" in log or "\nPARTIAL" in log:
        raise Failed(f"not two dumps are done:\n{log}")
    said = place.shell(f"cat /var/log/amanda/{name}/amdump.1")
    if "so we go on without" in said:
        raise Failed(f"the daemon did not serve:\n{said}")
    expect("2 dumps: as it was written", place.run("taperctl", "verify", name, "--all"))
    place.run("taperctl", "restore", name, "localhost", "/data/straight", "--to", f"/back-{name}")
    place.run("cmp", "/data/straight/two", f"/back-{name}/two")


def _night(place: Machine) -> None:
    """a night of Amanda's, served by the daemon that taper.socket starts"""
    _configure(place, "T", 'tpchanger "chg-disk:/srv/vtapes"')
    place.run("taperctl", "install", "--daemon", "unix:/run/taper.sock")
    place.run("systemctl", "start", "taper.socket")
    expect("600 backup backup", place.run("stat", "-c", "%a %U %G", "/run/taper.sock"))
    _expect_daemon(place, "inactive")
    _dump(place, "T")
    _expect_daemon(place, "active")
    expect("waiting for drivers", place.property("taper.service", "StatusText"))


def _stop(place: Machine) -> None:
    """stopped in the middle of a dump it says PARTIAL, and what it had told is on the volume"""
    said = _talk(place, "T", "20270101000000", "stop")
    expect("PARTIAL worker0 handle INPUT-ERROR TAPE-GOOD", said)
    expect(ENDED, said)
    log = place.shell("cat /var/log/amanda/T/log.20270101000000.0")
    if log.count("\nPART taper") != said.count("PARTDONE") or "\nPARTIAL taper" not in log:
        raise Failed(f"{said}\nis not what was logged:\n{log}")
    expect("what was read is good", place.run("taperctl", "verify", "T", "--all"))
    _expect_daemon(place, "inactive")
    # the socket stays, and the next one who calls starts the service again
    _expect_daemon(place, "active", "taper.socket")
    said = _talk(place, "T", "20270102000000")
    expect("TAPER-OK", said)
    expect(ENDED, said)
    _expect_daemon(place, "active")


def _serve_config(place: Machine, more: str = "") -> None:
    program = "/usr/lib/twisted-taper/bin/twistd --nodaemon --pidfile= taper --driver systemd"
    words = f"[Service]\nExecStart=\nExecStart={program} --config T --waiting 2\n{more}"
    place.drop_in("taper.service", "config", words)
    place.run("systemctl", "restart", "taper.service")


def _wait(place: Machine) -> None:
    """three drivers are served in turn"""
    _serve_config(place)
    place.shell(
        "for number in 1 2 3; do "
        f"setsid {PYTHON} -I /talk.py T 2027010300000$number hold >/run/said$number 2>&1 & done"
    )
    place.until("systemctl show --property=StatusText taper.service", "; 2 more wait")
    if place.shell("cat /run/said?").count("TAPER-OK") > 1:
        raise Failed("two drivers are served at the same time")
    place.run("systemctl", "reload", "taper.service")  # which waits until all are done
    place.run("touch", "/run/go")
    for number in (1, 2, 3):
        expect("TAPER-OK", place.until(f"cat /run/said{number}", ENDED))


def _reload(place: Machine) -> None:
    """a configuration that cannot be used changes nothing, and is told of"""
    conf = "/etc/amanda/T/amanda.conf"
    status = "systemctl show --property=StatusText taper.service"
    place.shell(f"cp {conf} /run/good; echo 'nonsense' >>{conf}; systemctl reload taper.service")
    place.until(status, "the configuration from before is used")
    place.shell(f"cat /run/good >{conf}; systemctl reload taper.service")
    place.until(status, "StatusText=waiting for drivers\n")


def _hang(place: Machine) -> None:
    """one that does not move any more is started anew"""
    _serve_config(place, "WatchdogSec=10\n")
    before = place.property("taper.service", "MainPID")
    place.run("kill", "-STOP", before)
    place.until("systemctl show --property=NRestarts taper.service | grep -v =0")
    place.until("systemctl is-active taper.service")
    expect("Watchdog timeout", place.run("journalctl", "--no-pager", "--unit=taper.service"))
    place.shell("rm -r /etc/systemd/system/taper.service.d; systemctl daemon-reload")
    place.run("systemctl", "restart", "taper.service")
    expect(ENDED, _talk(place, "T", "20270105000000"))


def _drop_in(place: Machine) -> None:
    """vtapes below /home are reached with the drop-in that the unit names, and not without"""
    _configure(place, "H", 'tpchanger "chg-disk:/home/vtapes"')
    expect("TAPE-ERROR", _talk(place, "H", "20270101000000"))
    place.drop_in("taper.service", "home", "[Service]\nProtectHome=no\n")
    place.run("systemctl", "restart", "taper.service")
    expect("TAPER-OK", _talk(place, "H", "20270102000000"))


def _devices(place: Machine) -> None:
    """tapes and robots may be opened, as soon as their drivers are there, and nothing else"""
    _configure(place, "D", 'tpchanger "chg-single:tape:/dev/nst0"')
    robot = 'tpchanger "chg-robot:/dev/sg3"\nproperty "tape-device" "0=tape:/dev/nst0"'
    _configure(place, "R", f'define changer robot {{\n{robot}\n}}\ntpchanger "robot"')
    _configure(place, "O", 'tpchanger "chg-single:tape:/dev/other"')
    place.shell(_DRIVERS)
    place.run("systemctl", "restart", "taper.service")
    # this kernel has no such drivers: what is allowed meets none
    for config, said in (
        ("D", "No such device or address"),
        ("R", "No such device or address"),
        ("O", "Operation not permitted"),
    ):
        expect(said, _talk(place, config, "20270101000000"))
    wanted = place.property("taper.service", "Wants")
    for module in ("st", "sg", "sr_mod"):
        expect(f"modprobe@{module}.service", wanted)
    place.run("umount", "/proc/devices")


def _tape_server(place: Machine) -> None:
    """the tape server on its socket: ndmjob's questions, a night, and a stop"""
    (place.path / "etc/amanda/ndmp-tape.conf").write_text(_SERVER)
    place.run("systemctl", "start", "taper-ndmp-tape.socket")
    asked = "/usr/lib/amanda/ndmjob -v -q -T 127.0.0.1:10000/4m,amanda,a-password"
    expect("drive1", place.shell(asked, user="backup"))
    _expect_daemon(place, "active", UNITS[2])
    _configure(place, "N", _FAR)
    _dump(place, "N")
    before = place.property(UNITS[2], "MainPID")
    place.drop_in(UNITS[2], "watchdog", "[Service]\nWatchdogSec=10\n")
    place.run("systemctl", "restart", UNITS[2])
    place.run("kill", "-STOP", place.property(UNITS[2], "MainPID"))
    place.until(f"systemctl show --property=NRestarts {UNITS[2]} | grep -v =0")
    place.until(f"systemctl is-active {UNITS[2]}")
    if place.property(UNITS[2], "MainPID") == before:
        raise Failed("it was not started anew")
    expect("2 dumps: as it was written", place.run("taperctl", "verify", "N", "--all"))
    place.run("systemctl", "stop", UNITS[2])
    _expect_daemon(place, "inactive", UNITS[2])
    _expect_daemon(place, "active", UNITS[3])
    expect("drive1", place.shell(asked, user="backup"))


def _remove(place: Machine) -> None:
    """units that serve are stopped before the package is removed, and nothing of them is left"""
    place.run("dpkg", "-P", "twisted-taper")
    for unit in UNITS:
        expect("LoadState=not-found", place.run("systemctl", "show", "--property=LoadState", unit))
    if place.shell("pgrep -f 'twisted[-]taper' || true"):
        raise Failed("something of ours still runs")
