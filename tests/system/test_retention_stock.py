"""Our retention beside ``amadmin retention``: the same where stock is right, more where it is not.

amadmin runs as the dump user in a mount namespace with its own /etc/amanda; ours reads the same
files.
"""

from __future__ import annotations

import os
import pwd
import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from protocols.conf import Config, LabelStr, Policy, Storage
from protocols.tapelist import Tapelist, TapelistEntry
from taper.run.history import History
from tests.fakes.config import make_config

AMADMIN, USER = "/usr/sbin/amadmin", "backup"
STATS = "[sec 0.100000 bytes 1048576 kps 10240.000000]"
CRC = "6689cf21:3010560"
RULES = ("tapes", "days", "recover", "full")


def _missing() -> str | None:
    if os.geteuid() != 0:
        return "needs root, to make a mount namespace"
    if not os.path.exists(AMADMIN):
        return f"{AMADMIN} is not installed"
    if not any(entry.pw_name == USER for entry in pwd.getpwall()):
        return f"there is no user {USER}"
    probe = subprocess.run(["unshare", "-m", "true"], capture_output=True)
    return None if probe.returncode == 0 else "mount namespaces are not allowed"


_REASON = _missing()
pytestmark = [pytest.mark.system, pytest.mark.skipif(_REASON is not None, reason=_REASON or "")]


class Site:
    """One configuration with two storages, for amadmin and for us."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.etc = base / "etc/KEEP"
        for folder in (self.etc / "log", base / "log", base / "lib"):
            folder.mkdir(parents=True)
        (self.etc / "disklist").touch()

    def configure(self, near: dict[str, int], off: dict[str, int]) -> Config:
        text = 'org "K"\ntapetype V\nlogdir "/etc/amanda/KEEP/log"\n'
        text += "define tapetype V {\n length 100 mbytes\n}\n"
        sections: list[Policy | Storage] = []
        for name, pool, rules in (("near", "P", near), ("off", "Q", off)):
            lines = "".join(f" retention-{rule} {number}\n" for rule, number in rules.items())
            text += f"define policy {name} {{\n{lines}}}\n"
            text += (
                f'define storage {name} {{\n policy "{name}"\n tapedev "null:"\n'
                f' tapepool "{pool}"\n tapetype "V"\n labelstr "^{pool}"\n}}\n'
            )
            values = {f"retention_{rule}": number for rule, number in rules.items()}
            sections.append(Policy(name, given=None, **values))
            label = LabelStr(f"^{pool}")
            sections.append(Storage(name, policy=name, tapepool=pool, labelstr=label))
        (self.etc / "amanda.conf").write_text(text + 'storage "near" "off"\n')
        return make_config(
            *sections, name="KEEP", directory=str(self.etc), logdir="log", tapecycle=15
        )

    def stock(self) -> dict[str, str]:
        """Label to rule, as amadmin prints it."""
        for folder, _, files in os.walk(self.base):
            for name in (folder, *(os.path.join(folder, file) for file in files)):
                shutil.chown(name, USER, USER)
        places = {"etc": "/etc/amanda", "log": "/var/log/amanda", "lib": "/var/lib/amanda"}
        binds = " && ".join(f"mount --bind {self.base}/{at} {to}" for at, to in places.items())
        script = f'mount --make-rprivate / && {binds} && exec runuser -u {USER} -- "$@"'
        run = subprocess.run(
            ["unshare", "-m", "sh", "-c", script, "sh", AMADMIN, "KEEP", "retention"],
            capture_output=True,
            text=True,
            cwd="/",
        )
        assert run.returncode == 0, run.stderr
        # storage, pool, label and rule, in columns; the first two may be blank
        rows = [line.split() for line in run.stdout.splitlines()]
        known = {"other": 2}
        said = {}
        for row in rows:
            words = known.get(row[-2], 1)
            said[row[-1 - words]] = " ".join(row[-words:])
        return said

    def ours(self, config: Config, tapelist: Tapelist) -> dict[str, str]:
        history = History(config, lambda function, *args: function(*args))
        history.read()
        retention = history.retention(tapelist)
        return {
            entry.label: retention.retained_by(entry.label) or "retention-no"
            for entry in tapelist.entries
        }


@pytest.fixture
def site() -> Iterator[Site]:
    base = Path(tempfile.mkdtemp(prefix="retention-"))
    try:
        yield Site(base)
    finally:
        shutil.rmtree(base)


def hours_ago(hours: float) -> str:
    return time.strftime("%Y%m%d%H%M%S", time.localtime(time.time() - hours * 3600))


def some_tapelist(chance: random.Random, count: int) -> Tapelist:
    entries = []
    for number in range(count):
        pool = chance.choice("PQ")
        # an hour off the full days, so that no volume comes of age while the test runs
        written = hours_ago(24 * chance.randrange(10) + 2)
        entries.append(
            TapelistEntry(
                datestamp=chance.choice([written] * 8 + ["0"]),
                label=f"{chance.choice([pool, 'P', 'Q', 'R'])}{number:02d}",
                reuse=chance.random() < 0.9,
                pool=chance.choice([pool, pool, None]),
                storage=chance.choice([{"P": "near", "Q": "off"}[pool], None]),
                config=chance.choice(["KEEP", "KEEP", None, "OTHER"]),
            )
        )
    return Tapelist.of(entries)


@pytest.mark.parametrize("seed", range(6))
def test_counts_and_days_retain_the_same_volumes(site: Site, seed: int) -> None:
    """By the same rule, whatever pools, storages and configs the volumes are of."""
    chance = random.Random(seed)
    rules = [{"tapes": chance.randrange(5), "days": chance.randrange(6)} for _ in range(2)]
    config = site.configure(*rules)
    tapelist = some_tapelist(chance, 24)
    (site.etc / "tapelist").write_bytes(tapelist.format())
    assert site.ours(config, tapelist) == site.stock()


def test_sources_of_commands_are_retained_alike(site: Site) -> None:
    """Copies and restores that are neither done nor expired."""
    config = site.configure({"tapes": 0}, {"tapes": 0})
    tapelist = Tapelist.of(
        TapelistEntry(datestamp=hours_ago(240 + number), label=f"P{number}", pool="P")
        for number in range(6)
    )
    (site.etc / "tapelist").write_bytes(tapelist.format())
    where = f"localhost /srv/data {hours_ago(240)} 0"
    (site.etc / "command_file").write_text(
        "VERSION 1\nID 5\n"
        f'1 COPY KEEP near P P0 1 " ;P0 ;P1 ;" 0 {where} off WORKING:0 TODO\n'
        f"2 RESTORE KEEP near P P2 1 {int(time.time()) + 9999} {where} WORKING:0 TODO\n"
        f"5 RESTORE KEEP near P P5 1 {int(time.time()) - 9999} {where} WORKING:0 TODO\n"
        f'3 COPY KEEP near P P3 1 " ;P3 ;" 0 {where} off WORKING:0 DONE\n'
        f'4 COPY KEEP off P P4 1 " ;P4 ;" 0 {where} near WORKING:0 TODO\n'
    )
    said = site.ours(config, tapelist)
    assert said == site.stock()
    assert said["P1"] == "command-copy"
    assert said["P2"] == "command-restore"
    assert said["P4"] == "retention-no"


def write_logs(site: Site, chance: random.Random, tapelist: Tapelist) -> None:
    """Dumps of two disks over one or two neighbouring volumes, some of them failed."""
    volumes = [entry for entry in tapelist.entries if entry.datestamp not in ("0", "1")]
    for stamp in {entry.datestamp for entry in volumes}:
        run = [entry for entry in volumes if entry.datestamp == stamp]
        lines = [
            f'START taper datestamp {stamp} "ST:near" "POOL:P" label {entry.label} tape 1\n'
            for entry in run
        ]
        for disk in ("/a", "/b"):
            level = chance.choice([0, 0, 1, 2])
            where = '"ST:near" "POOL:P"'
            for number, entry in enumerate(run[: chance.randrange(1, 3)], 1):
                lines.append(
                    f"PART taper {where} {entry.label} {number} host {disk} {stamp} "
                    f"{number}/-1 {level} {STATS}\n"
                )
            result, text = chance.choice([("DONE", "")] * 4 + [("PARTIAL", ' "failed"')])
            lines.append(
                f"{result} taper {where} host {disk} {stamp} 1 {level} {CRC} {CRC} {CRC} "
                f"{STATS}{text}\n"
            )
        (site.etc / f"log/log.{stamp}.0").write_text("".join(lines))


@pytest.mark.parametrize("seed", range(8))
def test_the_catalogue_rules_retain_no_less_than_stock(site: Site, seed: int) -> None:
    """More is right: all volumes of a dump, and what failed dumps hide."""
    chance = random.Random(seed)
    config = site.configure(
        {"tapes": chance.randrange(3), "recover": chance.randrange(6), "full": chance.randrange(3)},
        {"tapes": 0},
    )
    tapelist = some_tapelist(chance, 16)
    (site.etc / "tapelist").write_bytes(tapelist.format())
    write_logs(site, chance, tapelist)
    ours, stock = site.ours(config, tapelist), site.stock()
    kept = {label for label, rule in stock.items() if rule != "retention-no"}
    assert kept <= {label for label, rule in ours.items() if rule != "retention-no"}
    assert set(ours) == set(stock)
