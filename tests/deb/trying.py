"""The package where it is to be: installed, run, upgraded, removed and purged, beside Amanda's."""

from __future__ import annotations

import shutil
from pathlib import Path

from taper import __version__
from tests.deb.rooms import Failed, Room, expect, room, say, stock

AMANDA = ("amanda-server", "amanda-client", "libencode-locale-perl")
TOOLS = (*AMANDA, "bash-completion", "binutils", "man-db", "procps", "python3", "tar")
KEEP_AMANDA = "mkdir /packages && cd /packages && apt-get download amanda-server"
TAPER = "/usr/lib/amanda/taper"
ASIDE = f"{TAPER}.amanda"
PYTHON = "/usr/lib/twisted-taper/bin/python3"
OURS = f"{TAPER} is our taper: {PYTHON} -I -S"
NEWER = f"{__version__}+newer"

_SHAPE = """
find /usr/lib/amanda /etc/amanda /etc/dpkg -printf '%p %y %m %u %g %s %l\\n' | sort
find /usr/lib/amanda -type f -exec sha256sum '{}' + | sort
dpkg-divert --list | grep -i amanda || true
dpkg --verify
"""
_CONF = """
dumpuser "backup"
logdir "/var/log/amanda/T"
tapelist "/var/lib/amanda/tapelist"
tapetype T
define tapetype T {
  length 10 mbytes
}
tpchanger "chg-disk:/var/lib/amanda/vtapes"
labelstr "^D[0-9]+$"
autolabel "D%%" empty volume-error
"""
_NIGHT = f"""
mkdir -p /var/log/amanda/T /var/lib/amanda/vtapes/slot1
touch /tmp/said
{{
    echo START-TAPER taper0 worker0 T 20260101000000
    until grep -q worker0 /tmp/said; do sleep 0.1; done
    echo QUIT
}} | {TAPER} T --log-filename /var/log/amanda/T/log.20260101000000.0 >/tmp/said
cat /tmp/said
"""
_RUNNING = f"""
log=/var/log/amanda/T/log.20260102000000.0
sleep 1000 | runuser -u backup -- {TAPER} T --log-filename $log >/run/said &
until pgrep -f taper.cli >/dev/null; do sleep 0.1; done
"""
_COMPLETE = """
. /usr/share/bash-completion/bash_completion
_completion_loader taperctl || true
COMP_LINE='taperctl vol' COMP_POINT=12
_taperctl taperctl vol taperctl
echo "${COMPREPLY[@]}"
"""


def try_package(rooms: Path, package: Path) -> None:
    """Try all that is done with a package.

    :raise Failed: something is not as it should be
    """
    tar = stock(rooms / "try.tar", TOOLS, KEEP_AMANDA)
    with room(tar) as place:
        shutil.copy2(package, place.path / "packages/ours.deb")
        _make_newer(place)
        before = place.shell(_SHAPE)
        for step in (_install, _run, _upgrade_amanda, _upgrade, _give_back, _remove):
            say(f"{step.__name__[1:].replace('_', ' ')}: {step.__doc__}")
            step(place)
        _expect_same(before, place.shell(_SHAPE))
        _purge(place)
        _expect_same(before, place.shell(_SHAPE))


def _expect_same(before: str, after: str) -> None:
    if before != after:
        lost = sorted(set(before.splitlines()) ^ set(after.splitlines()))
        raise Failed("Amanda is not as she was:\n" + "\n".join(lost))


def _make_newer(place: Room) -> None:
    """The same package, with a version that is higher."""
    place.shell(
        "cd /packages && dpkg-deb -R ours.deb newer && "
        f"sed -i 's/^Version: .*/Version: {NEWER}/' newer/DEBIAN/control && "
        "dpkg-deb -Znone -b newer newer.deb && rm -r newer"
    )


def _install(place: Room) -> None:
    """it takes the place of Amanda's taper, and says so"""
    said = place.run("dpkg", "-i", "/packages/ours.deb")
    expect(f"{TAPER} is our taper now; it runs {PYTHON}", said)
    expect(OURS, place.run("taperctl", "status"))
    expect(f"taperctl-{__version__}", place.run("taperctl", "--version"))


def _run(place: Room) -> None:
    """it holds a night, and has pages and completions"""
    config = place.path / "etc/amanda/T"
    config.mkdir(parents=True)
    (config / "amanda.conf").write_text(_CONF)
    place.run("chown", "-R", "backup:backup", "/etc/amanda/T", "/var/log/amanda")
    expect("TAPER-OK", place.shell(_NIGHT, user="backup"))
    expect("Every file is as it was", place.run("taperctl", "demo", "--source", "/etc/apt"))
    place.run("taperctl", "volumes", "T")
    for page in ("1 taperctl", "8 taper", "8 amdirecttar", "8 taper-recovery"):
        place.run("man", "-w", *page.split())
    expect("volumes", place.run("bash", "-c", _COMPLETE))
    place.run("taperctl", "application", "install")
    expect("amdirecttar is in", place.run("taperctl", "application", "status"))
    expect("amidxtaped is our", place.run("taperctl", "install", "--recovery"))


def _upgrade_amanda(place: Room) -> None:
    """her new program goes where the old one is kept"""
    place.shell("dpkg -i /packages/amanda-server_*.deb")
    expect(OURS, place.run("taperctl", "status"))
    place.run("test", "-x", ASIDE)


def _upgrade(place: Room) -> None:
    """while a taper runs it is refused, and all stays as it is; then it is done"""
    said = place.shell(f"{_RUNNING}\ndpkg -i /packages/newer.deb", status=1)
    expect("upgrade when its run is over", said)
    expect(f"Version: {__version__}\n", place.run("dpkg", "-s", "twisted-taper"))
    expect("Status: install ok installed", place.run("dpkg", "-s", "twisted-taper"))
    expect(OURS, place.run("taperctl", "status"))
    place.run("dpkg", "-i", "/packages/newer.deb")
    expect(f"Version: {NEWER}\n", place.run("dpkg", "-s", "twisted-taper"))
    expect(OURS, place.run("taperctl", "status"))


def _give_back(place: Room) -> None:
    """a place that was given back by hand is not taken by an upgrade"""
    place.run("taperctl", "uninstall")
    place.run("dpkg", "-i", "/packages/newer.deb")
    expect(f"{TAPER} is Amanda's own taper", place.run("taperctl", "status"))
    place.run("taperctl", "install")


def _remove(place: Room) -> None:
    """while a taper runs it is refused; then Amanda's programs have their places again"""
    said = place.shell(f"{_RUNNING}\ndpkg -r twisted-taper", status=1)
    expect("uninstall when its run is over", said)
    expect(OURS, place.run("taperctl", "status"))
    said = place.run("dpkg", "-r", "twisted-taper")
    expect(f"{TAPER} is Amanda's own taper again", said)
    expect("amidxtaped is Amanda's own amidxtaped again", said)
    if "twisted" in place.run(TAPER, "--version", user="backup"):
        raise Failed(f"{TAPER} is not Amanda's own")
    place.shell("rm -r /etc/amanda/T")


def _purge(place: Room) -> None:
    """Nothing of the package is left; installed again, it is there again, and gone again."""
    expect("is our taper now", place.run("dpkg", "-i", "/packages/ours.deb"))
    place.run("dpkg", "-P", "twisted-taper")
    left = place.shell("find / -xdev -path /proc -prune -o -name '*twisted?taper*' -print")
    if left:
        raise Failed(f"this is left:\n{left}")
