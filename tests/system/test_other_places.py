"""A night of stock programs around ours where Amanda's places and user are not Debian's.

The stock programs have their directories compiled in. So the same programs and configurations are
mounted at a second place, and an ``amgetconf`` tells of that one only; what ours alone writes
(debug files, status files) is at the second place only, in directories of its own.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from protocols.installation import Installation
from tests.run.installing import make_venv, pretend_amgetconf
from tests.system.amanda import CONFIG, Options
from tests.system.conftest import MakeAmanda

pytestmark = pytest.mark.system

SRV = Installation(
    amgetconf="/srv/sbin/amgetconf",
    client_login="amandabackup",
    amlibexecdir="/srv/libexec/amanda",
    application_dir="/srv/libexec/amanda/application",
    amperldir="/srv/perl",
    config_dir="/srv/etc/amanda",
    amanda_tmpdir="/srv/tmp/amanda",
    amanda_dbgdir="/srv/log/amanda",
    localstatedir="/srv/var",
    gnutar_listed_incremental_dir="/srv/var/amanda/gnutar-lists",
    logdir="/usr/adm/amanda",
    mailer="/usr/bin/mail",
)
STOCK = "/usr/lib/amanda"


def test_a_night_with_other_places(make_amanda: MakeAmanda, installed_taper: Path) -> None:
    """The stock driver starts what taperctl put there; the dump is DONE and read by amfetchdump."""
    amanda = make_amanda(Options(extra='dumpuser "amandabackup"'), ours=False)
    python = make_venv(amanda.base / "venv", installed_taper.parent / "packages")
    srv = amanda.base / "srv"
    for each in ("sbin", "libexec/amanda", "perl/Amanda", "etc/amanda", "var/amanda"):
        (srv / each).mkdir(parents=True)
    for each in ("tmp/amanda", "log/amanda"):
        (srv / each).mkdir(parents=True, mode=0o700)
    pretend_amgetconf(srv / "sbin" / "amgetconf", SRV)
    (srv / "perl" / "Amanda" / "Paths.pm").write_text(
        'package Amanda::Paths;\n$localstatedir = "/srv/var";\n1;\n'
    )
    programs = amanda.base / "programs"
    subprocess.run(["cp", "-a", STOCK, str(programs)], check=True)
    users = amanda.base / "passwd"
    here = Path("/etc/passwd").read_text()
    (backup,) = (line for line in here.splitlines() if line.startswith("backup:"))
    users.write_text(f"amandabackup{backup.removeprefix('backup')}\n{here}")
    script = [
        f"mount --bind {programs} {STOCK}",
        f"mount --bind {srv} /srv",
        f"mount --bind {programs} /srv/libexec/amanda",
        "mount --bind /etc/amanda /srv/etc/amanda",
        f"mount --bind {users} /etc/passwd",
        "mount --bind /dev/null /usr/bin/dpkg-divert",
        "chown amandabackup /srv/tmp/amanda /srv/log/amanda /srv/var/amanda",
        f"{python} -m taper.ctl install --amgetconf /srv/sbin/amgetconf",
    ]
    amanda.inside("sh", "-ec", "\n".join(script))
    amanda.fill("home", 3)
    amanda.ask("amdump")
    amanda.check_restored("home", amanda.fetch("home"))

    debug = list(amanda.path(f"/srv/log/amanda/server/{CONFIG}").glob("taper.*.debug"))
    assert len(debug) == 1
    said = debug[0].read_text()
    assert "twisted-taper" in said
    assert f"reading config file /srv/etc/amanda/{CONFIG}/amanda.conf" in said
    assert list(amanda.path(f"/var/log/amanda/server/{CONFIG}").glob("taper.*.debug")) == []
