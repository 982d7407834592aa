"""Ours and stock programs on one changer: stock as the dump user in a mount namespace with its own
/etc/amanda, ours in this very process, on the same volumes and state files.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from protocols.conf import AutoLabel
from protocols.conf.sections import ChangerSection, Storage
from protocols.perldata import parse_perl_data
from tests.fakes.changers import open_blocking, open_waited
from tests.fakes.config import make_config

AMTAPE, USER = "/usr/sbin/amtape", "backup"
PERL_LIB = "/usr/lib/x86_64-linux-gnu/amanda/perl"


def missing_stock() -> str | None:
    if os.geteuid() != 0:
        return "needs root, to make a mount namespace"
    for program in (AMTAPE, PERL_LIB):
        if not os.path.exists(program):
            return f"{program} is not installed"
    if not any(entry.pw_name == USER for entry in pwd.getpwall()):
        return f"there is no user {USER}"
    probe = subprocess.run(["unshare", "-m", "true"], capture_output=True)
    return None if probe.returncode == 0 else "mount namespaces are not allowed"


# What a Perl program of Amanda's kind needs before and after its own part.
PROLOGUE = f"""
use lib '{PERL_LIB}';
use strict; use warnings;
use Amanda::Config qw( :init ); use Amanda::Util qw( :constants ); use Amanda::Debug;
use Amanda::MainLoop; use Amanda::Storage; use Amanda::Changer;
$| = 1;
Amanda::Util::setup_application("test", "server", $CONTEXT_CMDLINE, "amanda", "amanda");
config_init($CONFIG_INIT_EXPLICIT_NAME, "SHARE");
my ($level, @errors) = config_errors();
die "@errors" if @errors;
Amanda::Util::finish_setup($RUNNING_AS_ANY);
my $storage = Amanda::Storage->new();
my $chg = $storage->{{'chg'}};
"""

HOLD_SLOT = (
    PROLOGUE
    + """
my $held;
Amanda::MainLoop::call_later(sub {
    $chg->load(slot => "SLOT", mode => "write", res_cb => sub {
        my ($err, $res) = @_;
        print $err ? "error $err\\n" : "holding $$\\n";
        $held = $res;
        my $word = <STDIN>;
        $held->release(finished_cb => sub {
            print "released\\n";
            Amanda::MainLoop::quit();
        });
    });
});
Amanda::MainLoop::run();
$storage->quit(); $chg->quit();
Amanda::Util::finish_application();
"""
)

CONF = """org "share"
dumpuser "{user}"
infofile "/etc/amanda/SHARE/curinfo"
logdir "/var/log/amanda"
indexdir "/etc/amanda/SHARE/index"
tapecycle 4
runtapes 2
tpchanger "mydisk"
tapetype T
labelstr "^SHARE-[0-9]+$"
autolabel "SHARE-$s" empty
define tapetype T {{
  length 100 mbytes
}}
define changer mydisk {{
  tpchanger "{tpchanger}"
  {more}
}}
"""


class World:
    """Four slots, a configuration for stock, and the same one for ours.

    :param kind: of changer.
    :param tpchanger: what the changer is, made of ``{vtapes}`` and ``{etc}``; None: by its kind
    :param properties: of its section
    :param changerfile: of its section
    """

    def __init__(
        self,
        base: Path,
        kind: str = "disk",
        *,
        tpchanger: str = "",
        properties: dict[str, str] | None = None,
        changerfile: str = "",
    ) -> None:
        self.base = base
        self.kind = kind
        self.vtapes = base / "vtapes"
        self.tpchanger = tpchanger or f"chg-{kind}:{self.vtapes}"
        self.properties = {"lock-timeout": "30"} if properties is None else properties
        self.changerfile = changerfile
        self.vtapes.mkdir()
        for slot in range(1, 5):
            if kind == "diskflat":
                (self.vtapes / f"SHARE-{slot}").touch()
            else:
                (self.vtapes / f"slot{slot}").mkdir()
        for room in ("etc/SHARE", "lib", "log"):
            (base / room).mkdir(parents=True)
        more = [f'property "{name}" "{value}"' for name, value in self.properties.items()]
        more += [f'changerfile "{changerfile}"'] if changerfile else []
        text = CONF.format(user=USER, tpchanger=self.tpchanger, more="\n  ".join(more))
        (base / "etc/SHARE/amanda.conf").write_text(text)
        (base / "etc/SHARE/tapelist").touch()
        self.state_path = self.vtapes / "state"
        self.state_path.touch()
        for path in (base, *base.rglob("*")):
            shutil.chown(path, USER, USER)
            path.chmod(0o700 if path.is_dir() else 0o600)

    def changer(self) -> Any:
        """Ours, for the same configuration, storage and changer."""
        section = ChangerSection(
            "mydisk",
            tpchanger=self.tpchanger,
            changerfile=self.changerfile,
            property={name: (value,) for name, value in self.properties.items()},
        )
        autolabel = AutoLabel(template="SHARE-$s", empty=True)
        storage = Storage("SHARE", tpchanger="mydisk", runtapes=2, autolabel=autolabel)
        config = make_config(section, name="SHARE", directory=str(self.base / "etc/SHARE"))
        asynchronous = self.kind in ("aggregate", "multi", "rait")
        return (open_waited if asynchronous else open_blocking)(None, config, storage)

    def state(self) -> dict[str, Any]:
        return parse_perl_data(self.state_path.read_bytes())

    def command(self, *command: str) -> list[str]:
        binds = {"etc": "/etc/amanda", "lib": "/var/lib/amanda", "log": "/var/log/amanda"}
        mounts = [f"mount --bind {self.base}/{ours} {theirs}" for ours, theirs in binds.items()]
        script = "; ".join(
            ["set -e", *mounts, "mount -t tmpfs -o mode=1777 tmpfs /tmp", "cd /", 'exec "$@"']
        )
        return ["unshare", "-m", "sh", "-c", script, "sh", "runuser", "-u", USER, "--", *command]

    def amtape(self, *words: str) -> str:
        """What amtape says on either output."""
        return self.run(AMTAPE, "SHARE", *words)

    def run(self, *words: str) -> str:
        """What a program of stock says on either output."""
        done = subprocess.run(self.command(*words), capture_output=True, text=True, timeout=600)
        return done.stdout + done.stderr

    def perl(self, program: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command("perl", "-e", program),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


def in_child(work: Callable[[], object]) -> tuple[int, int]:
    """Do ``work`` in a forked child that then stays. :return: its pid, a pipe to end it"""
    ready_read, ready_write = os.pipe()
    stay_read, stay_write = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(stay_write)
            keep = work()
            os.write(ready_write, b"+")
            os.read(stay_read, 1)
            status = 0 if keep is not None else 2
        finally:
            os._exit(status)
    os.close(ready_write)
    os.close(stay_read)
    assert os.read(ready_read, 1) == b"+"
    os.close(ready_read)
    return child, stay_write
