"""``taperctl install`` where Amanda is not Debian's: no dpkg, other directories, another user.

What such an installation says is known from the sources of its packages: Fedora's ``amanda.spec``
of 3.5.3, for ``amandabackup``, with its programs below /usr/lib64 and /var/log/amanda for temporary
files too. It is put below /srv here, where this machine has nothing.
"""

from __future__ import annotations

import json
import os
import pwd
from pathlib import Path

import pytest

from protocols.installation import Installation, parse
from taper.install.record import evolve
from tests.run.installing import DEBIAN_HERE, TAPER, Machine, missing, pretend_amgetconf

_REASON = missing()
pytestmark = pytest.mark.skipif(_REASON is not None, reason=_REASON or "")

FEDORA = Installation(
    amgetconf="/srv/sbin/amgetconf",
    client_login="amandabackup",
    amlibexecdir="/srv/lib64/amanda",
    application_dir="/srv/lib64/amanda/application",
    amperldir="/srv/lib64/perl5/vendor_perl",
    config_dir="/srv/etc/amanda",
    amanda_tmpdir="/srv/var/log/amanda",
    amanda_dbgdir="/srv/var/log/amanda",
    localstatedir="/srv/var",
    gnutar_listed_incremental_dir="/srv/var/lib/amanda/gnutar-lists",
    logdir="/usr/adm/amanda",
    mailer="/usr/bin/mail",
)
PLACE = FEDORA.taper


class Fedora(Machine):
    """A machine without dpkg, whose Amanda is another's.

    :ivar srv: what is below /srv on it
    """

    def __init__(self, top: Path, python: str) -> None:
        super().__init__(top, python, PLACE.rpartition("/")[0])
        self.srv = top / "srv"
        for each in ("sbin", "lib64/amanda", "lib64/perl5/vendor_perl/Amanda"):
            (self.srv / each).mkdir(parents=True)
        library = self.srv / "lib64" / "perl5" / "vendor_perl"
        (library / "Amanda" / "Paths.pm").write_text(
            'package Amanda::Paths;\n$prefix = "/srv";\n$localstatedir = "${prefix}/var";\n1;\n'
        )
        (library / "Amanda" / "Constants.pm").write_text('$VERSION = "3.5.3";\n')
        self.answer(FEDORA)
        self.stock = f"#!/usr/bin/perl\nuse lib '{FEDORA.amperldir}';\n".encode()
        self.taper.write_bytes(self.stock)
        self.taper.chmod(0o755)
        users = top / "passwd"
        users.write_text(
            f"{Path('/etc/passwd').read_text()}amandabackup:x:833:6::/var/lib/amanda:/bin/bash\n"
        )
        self.binds = {
            str(self.srv): "/srv",
            str(self.libexec): self.place,
            str(users): "/etc/passwd",
        }
        self.without_dpkg()

    def answer(self, amanda: Installation) -> None:
        """Let its amgetconf say this."""
        pretend_amgetconf(self.srv / "sbin" / "amgetconf", amanda, "3.5.3")
        self.path = f"/srv/sbin:{os.environ['PATH']}"

    def upgrade(self) -> bytes:
        """A new taper of Amanda's, which a package manager puts over whatever is there."""
        newer = self.stock + b"# newer\n"
        new = self.libexec / "taper;5f3a"
        new.write_bytes(newer)
        new.chmod(0o755)
        new.rename(self.taper)
        return newer


@pytest.fixture
def fedora(top: Path, python: str) -> Fedora:
    return Fedora(top, python)


def test_there_and_back(fedora: Fedora) -> None:
    """Amanda says where she is; ours runs as her user, reads her version and knows her places."""
    said = fedora.ctl("install")
    assert f"{PLACE} is our taper now" in said
    assert 'An upgrade of Amanda puts its own over ours: then run "taperctl install" again.' in said
    recorded = parse(fedora.record.read_bytes())
    assert recorded == evolve(FEDORA, kept=f"{PLACE}.amanda")
    assert fedora.record.stat().st_mode & 0o777 == 0o644
    assert fedora.aside.read_bytes() == fedora.stock
    version = fedora.inside("runuser", "-u", "amandabackup", "--", PLACE, "--version")
    assert version.stdout.startswith("taper-3.5.3\n")
    tried = fedora.inside(
        *("runuser", "-u", "amandabackup", "--", PLACE, "Daily", "--log-filename", "/tmp/x")
    )
    assert "could not open conf file '/srv/etc/amanda/Daily/amanda.conf'" in tried.stderr

    said = fedora.ctl("status")
    assert f"{PLACE} is our taper: " in said
    assert "Amanda 3.5.3, user amandabackup, keeps things in:\n" in said
    for line in ("config_dir /srv/etc/amanda", "localstatedir /srv/var"):
        assert f"  {line}\n" in said
    assert "User amandabackup can run it.\n" in said
    assert "is our taper already, and amandabackup can run it" in fedora.ctl("install")

    assert fedora.ctl("uninstall") == f"{PLACE} is Amanda's own taper again.\n"
    assert [path.name for path in fedora.libexec.iterdir()] == ["taper"]
    assert fedora.taper.read_bytes() == fedora.stock
    assert parse(fedora.record.read_bytes()) == FEDORA
    assert "is Amanda's own taper" in fedora.ctl("status")


def test_an_upgrade_of_amanda(fedora: Fedora) -> None:
    """Status tells that ours is not in place any more; both ways lead on from there."""
    fedora.ctl("install")
    newer = fedora.upgrade()
    said = fedora.inside(fedora.python, "-m", "taper.ctl", "status")
    assert said.returncode == 1
    assert 'by an upgrade of Amanda; "taperctl install" puts ours back' in said.stderr
    fedora.ctl("install")
    assert "is our taper" in fedora.ctl("status")
    assert fedora.aside.read_bytes() == newer
    newest = fedora.upgrade()
    assert "what was left of ours is gone" in fedora.ctl("uninstall")
    assert fedora.taper.read_bytes() == newest
    assert not fedora.aside.exists()
    fedora.ctl("install")
    assert fedora.aside.read_bytes() == newest
    fedora.taper.unlink()  # as a package manager does that takes Amanda away
    assert "put aside by us" in fedora.refused("status")
    fedora.ctl("uninstall")
    assert fedora.taper.read_bytes() == newest


def test_what_serves_amrecover(fedora: Fedora) -> None:
    """It and the taper come and go one without the other: what is kept of each is remembered
    apart, an upgrade of Amanda and a record of the days before it was recorded included."""
    place, ours = f"{FEDORA.amlibexecdir}/amidxtaped", fedora.libexec / "amidxtaped"
    aside = fedora.libexec / "amidxtaped.amanda"
    assert "is nothing; is Amanda's server installed?" in fedora.refused("install", "--recovery")
    own = b"#!/bin/sh\necho Amanda\n"
    ours.write_bytes(own)
    ours.chmod(0o755)

    fedora.ctl("install")
    old = json.loads(fedora.record.read_bytes())
    del old["kept_amidxtaped"]
    fedora.record.write_text(json.dumps(old))
    said = fedora.ctl("install", "--recovery")
    assert f"{place} is our amidxtaped now" in said
    assert 'then run "taperctl install --recovery" again.' in said
    assert parse(fedora.record.read_bytes()) == evolve(
        FEDORA, kept=f"{PLACE}.amanda", kept_amidxtaped=f"{place}.amanda"
    )
    assert (aside.read_bytes(), fedora.aside.read_bytes()) == (own, fedora.stock)
    run = ("runuser", "-u", "amandabackup", "--", place)
    assert fedora.inside(*run, "--version").stdout.startswith("taper-recovery-3.5.3\n")
    assert fedora.inside(*run).stdout == "Amanda\n"
    inetd = ("runuser", "-u", "amandabackup", "--", fedora.python, "-m", "taper.recovery.cli")
    assert fedora.inside(*inetd).stdout == "Amanda\n"
    assert "User amandabackup can run it.\n" in fedora.ctl("status", "--recovery")

    newer = own + b"# newer\n"
    new = fedora.libexec / "amidxtaped;5f3a"
    new.write_bytes(newer)
    new.chmod(0o755)
    new.rename(ours)
    done = fedora.inside(fedora.python, "-m", "taper.ctl", "status", "--recovery")
    text = "Amanda's own amidxtaped, put over ours by an upgrade of Amanda; \"taperctl install "
    assert f'{place} is {text}--recovery" puts ours back' in done.stderr
    assert f"{PLACE} is our taper: " in fedora.ctl("status")
    fedora.ctl("install", "--recovery")
    assert aside.read_bytes() == newer

    assert fedora.ctl("uninstall") == f"{PLACE} is Amanda's own taper again.\n"
    assert parse(fedora.record.read_bytes()) == evolve(FEDORA, kept_amidxtaped=f"{place}.amanda")
    assert f"{place} is our amidxtaped: " in fedora.ctl("status", "--recovery")
    fedora.ctl("install")
    text = f"{place} is Amanda's own amidxtaped again.\n"
    assert fedora.ctl("uninstall", "--recovery") == text
    assert parse(fedora.record.read_bytes()) == evolve(FEDORA, kept=f"{PLACE}.amanda")
    assert (ours.read_bytes(), aside.exists()) == (newer, False)
    assert f"{PLACE} is our taper: " in fedora.ctl("status")


def test_what_serves_amrecover_works_for_one_amanda(fedora: Fedora) -> None:
    """As the taper: the one record of ours stays with the Amanda that either of them works for."""
    place = fedora.libexec / "amidxtaped"
    place.write_bytes(fedora.stock)
    fedora.ctl("install", "--recovery")
    fedora.answer(evolve(FEDORA, amlibexecdir="/srv/other"))
    other = fedora.srv / "other"
    other.mkdir()
    for name in ("taper", "amidxtaped"):
        (other / name).write_bytes(fedora.stock)
        option = () if name == "taper" else ("--recovery",)
        text = f"is in place of {FEDORA.amlibexecdir}/amidxtaped already; for /srv/other/{name} "
        assert text in fedora.refused("install", *option)


def test_what_amanda_says_now(fedora: Fedora) -> None:
    """She may have moved since, or the record may be damaged: status finds out, and install
    records anew."""
    fedora.ctl("install")
    fedora.answer(evolve(FEDORA, config_dir="/srv/conf"))
    said = fedora.inside(fedora.python, "-m", "taper.ctl", "status").stderr
    text = "/srv/sbin/amgetconf says: config_dir /srv/conf, not /srv/etc/amanda."
    assert said == f'taperctl: {text} "taperctl install" records that [TAPER-8008]\n'
    fedora.ctl("install")
    assert "config_dir /srv/conf\n" in fedora.ctl("status")
    # in her global configuration, which is read after the record
    fedora.answer(evolve(FEDORA, config_dir="/srv/conf", logdir="logs", mailer=""))
    assert "config_dir /srv/conf\n" in fedora.ctl("status")
    fedora.ctl("install")
    assert parse(fedora.record.read_bytes()).logdir == "logs"
    fedora.record.write_bytes(fedora.record.read_bytes()[:-20])
    assert "damaged, or only half is there" in fedora.refused("status")
    fedora.ctl("install")
    assert "config_dir /srv/conf\n" in fedora.ctl("status")
    fedora.record.write_bytes(b"{")
    assert "is Amanda's own taper again" in fedora.ctl("uninstall")
    assert fedora.taper.read_bytes() == fedora.stock


def test_one_of_ours_works_for_one_amanda(fedora: Fedora) -> None:
    """Its one record is not taken from the Amanda that it works for."""
    fedora.ctl("install")
    fedora.answer(evolve(FEDORA, amlibexecdir="/srv/other"))
    other = fedora.srv / "other"
    other.mkdir()
    (other / "taper").write_bytes(fedora.stock)
    assert f"is in place of {PLACE} already; for /srv/other/taper make another" in fedora.refused(
        "install"
    )
    assert parse(fedora.record.read_bytes()).taper == PLACE
    assert "--amgetconf names the one that belongs to" in fedora.refused(
        "install", "--taper", f"{PLACE}"
    )


def test_who_cannot_be_asked(fedora: Fedora) -> None:
    """No amgetconf, one that fails, says nonsense, or that others may change: nothing is done."""
    program = fedora.srv / "sbin" / "amgetconf"
    for text, expected in (
        ("exit 3", "build.client_login: status 3, nothing said"),
        ("echo broken >&2; exit 1", "build.client_login: status 1, broken"),
        ("echo here", "amlibexecdir is 'here', expected an absolute path"),
        ("echo", "client_login is '', expected the name of a user"),
    ):
        program.write_text(f"#!/bin/sh\n{text}\n")
        assert expected in fedora.refused("install")
    fedora.answer(evolve(FEDORA, client_login="nosuch"))
    assert "there is no user nosuch" in fedora.refused("install")
    fedora.answer(FEDORA)
    program.chmod(0o777)
    assert "/srv/sbin/amgetconf may be changed by everybody" in fedora.refused("install")
    assert "expected the absolute path of an amgetconf" in fedora.refused(
        "install", "--amgetconf", "/srv/none"
    )
    assert not fedora.record.exists()
    assert [path.name for path in fedora.libexec.iterdir()] == ["taper"]


def test_the_application_of_a_client(fedora: Fedora) -> None:
    """It goes where Amanda's client looks, and knows her places as well."""
    place = fedora.libexec / "application"
    place.mkdir()
    at = f"{FEDORA.application_dir}/amdirecttar"
    assert fedora.ctl("application", "install").startswith(f"{at} runs ")
    assert parse(fedora.record.read_bytes()) == FEDORA
    assert fedora.ctl("application", "status") == f"amdirecttar is in {FEDORA.application_dir}.\n"
    fedora.ctl("application", "uninstall")
    assert not list(place.iterdir())


def test_a_second_amanda_beside_debians(machine: Machine) -> None:
    """On a machine with dpkg, one that was built from source: --amgetconf names it."""
    source = evolve(
        DEBIAN_HERE,
        amgetconf="/srv/sbin/amgetconf",
        amlibexecdir="/srv/libexec/amanda",
        config_dir="/srv/etc/amanda",
        client_login="games",
    )
    srv = machine.top / "srv"
    (srv / "sbin").mkdir(parents=True)
    (srv / "libexec" / "amanda").mkdir(parents=True)
    pretend_amgetconf(srv / "sbin" / "amgetconf", source)
    (srv / "libexec" / "amanda" / "taper").write_bytes(machine.stock)
    machine.binds[str(srv)] = "/srv"
    assert pwd.getpwnam("games")
    said = machine.ctl("install", "--amgetconf", "/srv/sbin/amgetconf")
    assert "/srv/libexec/amanda/taper is our taper now" in said
    assert machine.diversions() == (
        "local diversion of /srv/libexec/amanda/taper to /srv/libexec/amanda/taper.amanda"
    )
    assert "User games can run it." in machine.ctl("status")
    assert machine.taper.read_bytes() == machine.stock
    assert f"{TAPER} is Amanda's own taper" in machine.ctl("status", "--taper", TAPER)
    machine.ctl("uninstall")
    assert (srv / "libexec" / "amanda" / "taper").read_bytes() == machine.stock
