"""Runs of every kind and the flush of what they held, beside the same runs with Amanda's taper:
amreport, amadmin find and the tapelist agree."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import pytest

from tests.system.amanda import CONFIG, Amanda, Options
from tests.system.beside import Account, Played, play
from tests.system.conftest import MakeAmanda

pytestmark = pytest.mark.system

FAR = "/var/lib/amanda/far"
STRAIGHT = """
define dumptype straight {
  auth "local"
  program "GNUTAR"
  compress none
  index yes
  holdingdisk never
}
define dumptype changed {
  auth "local"
  program "GNUTAR"
  compress none
  strategy nofull
}
"""
STORAGE = """
define storage NAME {
  tpchanger "chg-disk:PLACE"
  tapetype "T"
  tapepool "NAME"
  labelstr MATCH-AUTOLABEL
  autolabel "NAME-%%%" EMPTY
  runtapes 2
  MORE
}
"""


def storage(name: str, place: str, more: str) -> str:
    words = {"NAME": name, "PLACE": place, "MORE": more}
    return re.sub("NAME|PLACE|MORE", lambda found: words[found[0]], STORAGE)


NEAR_PLACE = "/var/lib/amanda/vtapes"
LEVELS = (
    storage("full", NEAR_PLACE, "dump-selection ALL FULL")
    + storage("incr", FAR, "dump-selection ALL INCR")
    + 'storage "full" "incr"\n'
)
VAULTED = (
    storage("near", NEAR_PLACE, 'vault "far" 0')
    + storage("far", FAR, "")
    + 'storage "near"\nvault-storage "far"\n'
)
HELD = Options(
    disks=[("a", "plain"), ("b", "plain")],
    tapecycle=5,
    tapetype="part-size 2 mbytes",
    autoflush="yes",
    extra=STRAIGHT,
)
LIMITED = replace(
    HELD,
    disks=[("a", "plain")],
    extra='device-property "MAX_VOLUME_USAGE" "4194304"\ndevice-property "LEOM" "true"',
)
DIRECT = replace(HELD, disks=[("a", "straight"), ("b", "squeezed")])
BY_LEVEL = replace(HELD, disks=[("a", "plain"), ("b", "changed")], storages=LEVELS)
VAULT = replace(HELD, storages=VAULTED)

Step = tuple[Options, tuple[str, ...]]
NO_TAPER = ("amdump", "--no-taper")
NIGHTS: dict[str, tuple[list[Step], list[str]]] = {
    "volumes used up": (
        [(LIMITED, ("amdump",)), (replace(LIMITED, runtapes=3), ("amflush", "-b", "-f"))],
        ["FILE-WRITE"],
    ),
    "direct dumps and a flush": (
        [(HELD, NO_TAPER), (DIRECT, ("amdump",))],
        ["FILE-WRITE", "SHM-WRITE", "PORT-WRITE"],
    ),
    "two storages by level": (
        [(BY_LEVEL, NO_TAPER), (BY_LEVEL, ("amdump",))],
        ["to taper0: FILE-WRITE", "to taper1: FILE-WRITE"],
    ),
    "vault": ([(VAULT, NO_TAPER), (VAULT, ("amdump",))], ["FILE-WRITE", "VAULT-WRITE"]),
}


def play_nights(amanda: Amanda, steps: list[Step], commands: list[str]) -> Account:
    """The first run leaves dumps on the holding disk; the second flushes them, and may dump more.

    :param commands: that driver must have sent in the second
    """
    account = Account()
    amanda.mkdir(f"{FAR}/slot1")
    for disk, mib in (("a", 6), ("b", 3)):
        amanda.fill(disk, mib)
    for number, (options, (program, *words)) in enumerate(steps):
        amanda.configure(options)
        amanda.run(program, CONFIG, *words)  # its exit status is in the report's
        account.reported(amanda)
        assert bool(amanda.held()) is (number == 0)
    account.closed(amanda)
    log = amanda.driver_log()
    assert [command for command in commands if command not in log] == []
    return account


@pytest.fixture(scope="module")
def played(make_lasting_amanda: MakeAmanda) -> dict[str, Played]:
    """All of the nights: they mostly wait for Amanda's programs, so two go on at a time."""
    with ThreadPoolExecutor(max_workers=4) as pool:
        return {
            name: play(
                pool,
                make_lasting_amanda,
                steps[0][0],
                partial(play_nights, steps=steps, commands=commands),
            )
            for name, (steps, commands) in NIGHTS.items()
        }


@pytest.mark.parametrize("name", NIGHTS)
def test_amanda_says_the_same(played: dict[str, Played], name: str) -> None:
    """Of both runs; and what ours has written is restored."""
    amanda = played[name].agree()
    amanda.check_restored("a", amanda.fetch("a"))
    amanda.check_ours()
