"""The recorded values and messages are what the stock programs say, and ours are the same.

Every table of the other configuration tests is put before Amanda's own reader, as the dump user
and in a private mount namespace, so that nothing on the machine changes.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from protocols.conf import Loaded, load
from tests.protocols import test_conf_examples as examples
from tests.protocols import test_conf_messages as messages
from tests.protocols import test_conf_sections as sections
from tests.protocols import test_conf_values as values
from tests.protocols.test_conf_messages import bare
from tests.protocols.test_conf_values import keyword, printed

pytestmark = [
    pytest.mark.skipif(shutil.which("amgetconf") is None, reason="needs Amanda's amgetconf"),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a private mount namespace"),
]

# Reads one case a line, as JSON: which directory is the configuration CONF, the overrides and
# the names of values; answers each with a line. A process for each, since the state is global.
READER = r"""
use lib "/usr/lib/x86_64-linux-gnu/amanda/perl";
use strict; use warnings; no warnings 'once';
use JSON::PP; use Amanda::Config qw(:getconf :init);
$| = 1;
my $json = JSON::PP->new->latin1->canonical;
while (my $line = <STDIN>) {
    my $case = $json->decode($line);
    unlink("/etc/amanda/CONF");
    symlink($case->{directory}, "/etc/amanda/CONF") or die "symlink: $!";
    my $pid = open(my $answer, "-|");
    die "fork: $!" unless defined $pid;
    if (!$pid) {
        my $overrides = new_config_overrides(4);
        add_config_override_opt($overrides, $_) for @{$case->{overrides}};
        set_config_overrides($overrides);
        config_init_with_global($CONFIG_INIT_EXPLICIT_NAME, "CONF");
        my ($level, @said) = config_errors();
        my %found;
        for my $key (@{$case->{keys}}) {
            if ($key =~ /^list:(.*)/) {
                $found{$key} = [getconf_list($1)];
                next;
            }
            my @lines = eval { getconf_byname_strs($key, 1) };
            $found{$key} = @lines && defined $lines[0] ? [@lines] : undef;
        }
        print $json->encode({level => "$level", messages => [map {"$_"} @said],
                             values => \%found}), "\n";
        exit 0;
    }
    my $told = <$answer>;
    close($answer);
    print defined $told ? $told : "{\"died\": $?}\n";
}
"""

NAMESPACE = """
mount --make-rprivate / && mount --bind "$0" /etc/amanda &&
mount -t tmpfs -o mode=1777 none /var/log/amanda &&
mkdir -p /tmp/amanda && mount -t tmpfs -o mode=1777 none /tmp/amanda &&
cd / && exec runuser -u backup -- "$@"
"""


class Case:
    """One configuration called CONF, and what of it is asked."""

    def __init__(
        self,
        title: str,
        text: str,
        keys: list[str],
        overrides: tuple[str, ...] = (),
        files: dict[str, str] | None = None,
    ) -> None:
        self.title = title
        self.files = {"amanda.conf": text, **(files or {})}
        self.keys = keys
        self.overrides = overrides

    def ours(self) -> Loaded:
        data = {
            f"/etc/amanda/CONF/{name}": text.encode("utf-8", "surrogateescape")
            for name, text in self.files.items()
        }
        return load("CONF", data.get, overrides=self.overrides, amanda_version=lambda: (3, 5, 1))


def _cases() -> Iterator[Case]:
    for line, _ in values.GLOBAL_VALUES:
        yield Case(line, f"dumpcycle 3\n{line}\n", [keyword(line)])
    for kind, line, _ in values.SECTION_VALUES:
        key = f"{kind}:xx:{keyword(line)}"
        yield Case(f"{kind}: {line}", values.section_text(kind, line), [key])
    for line, _ in messages.GLOBAL_ERRORS:
        yield Case(line, f'dumpcycle 3\n{line}\ntapedev "x"\n', [])
    for kind, line, _ in messages.SECTION_ERRORS:
        yield Case(f"{kind}: {line}", values.section_text(kind, line), [])
    for text, keys in sections.WHOLE:
        yield Case(text, text, list(keys))
    for text, _ in sections.WRONG:
        yield Case(text, text, [])
    for override, keys in sections.OVERRIDES:
        yield Case(f"-o {override}", sections.STORAGE, list(keys), (override,))
    for override, _ in sections.WRONG_OVERRIDES:
        yield Case(f"-o {override}", sections.STORAGE, [], (override,))
    for title, text in examples.EXAMPLES.items():
        yield Case(title, text, EVERYTHING, files={"common.inc": examples.COMMON})
    yield Case("nothing", "", EVERYTHING)


def _everything() -> list[str]:
    """Every parameter of every section that the examples define, and every list."""
    from protocols.conf.grammar import GLOBAL, SECTIONS

    keys = [key for key in GLOBAL if not key.startswith("ssl")]
    keys += [f"list:{kind}" for kind in SECTIONS if kind not in ("interface", "script")]
    names = {
        "storage": "flatstore parity tapes filertapes s3store near off CONF",
        "policy": "CONF keep3 off-policy custom(po).1",
        "tapetype": "VTAPE FLAT RAITTYPE LTO4 NDMPTAPE S3TYPE NEAR OFF DEFAULT_TAPE",
        "changer": "flat raid disks library filer cloud",
        "device": "d1 d2",
        "dumptype": "tt NO-COMPRESS SRVCOMPRESS",
        "holdingdisk": "hd1",
    }
    for kind, text in names.items():
        keys += [f"{kind}:{name}:{key}" for name in text.split() for key in SECTIONS[kind]]
    return [key for key in keys if not key.endswith(":starttime")]  # stock pads it with blanks


EVERYTHING = _everything()
CASES = list(_cases())


def _run(etc: Path, command: list[str], **options: Any) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["unshare", "-m", "sh", "-c", NAMESPACE, str(etc), *command],
        capture_output=True,
        encoding="latin-1",
        timeout=1200,
        check=False,
        **options,
    )


def _lay_out(etc: Path) -> None:
    for number, case in enumerate(CASES):
        directory = etc / str(number)
        directory.mkdir()
        for name, text in case.files.items():
            (directory / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    etc.chmod(0o777)  # the reader changes the link CONF


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What stock says of every case."""
    etc = tmp_path_factory.mktemp("etc")
    _lay_out(etc)
    asked = "".join(
        json.dumps({"directory": str(number), "overrides": case.overrides, "keys": case.keys})
        + "\n"
        for number, case in enumerate(CASES)
    )
    done = _run(etc, ["perl", "-e", READER], input=asked)
    if "unshare failed" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"no private mount namespace: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    answers: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(CASES), done.stderr
    return answers


def _plain(text: str) -> str:
    """A message without its place and without stock's internal numbers of words."""
    text = re.sub(r": \d+ (.* parameter expected|YES, NO)", r": \1", f": {bare(text.rstrip())}")
    text = re.sub(r": \d+: YES", ": YES", text)
    text = re.sub(r" name expected: \d+ \d+$", " name expected", text)
    return re.sub(r"(already defined at .*):\d+$", r"\1", text)[2:]


def _lines(key: str, lines: list[str] | None) -> list[str] | None:
    """Stock's lines as the recorded tables have them."""
    if lines is None:
        return None
    decoded = [line.encode("latin-1").decode("utf-8", "surrogateescape") for line in lines]
    if key.endswith("property"):
        return sorted(re.sub("^(visible|hidden) (priority )?", "", line) for line in decoded)
    if key.endswith(":tapetype"):
        return [line.strip('"') for line in decoded]
    return decoded


@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda number: CASES[number].title[:60])
def test_ours_reads_what_stock_reads(stock: list[dict[str, Any]], number: int) -> None:
    case, theirs = CASES[number], stock[number]
    ours = case.ours()
    said = sections.without_names([_plain(message.text) for message in ours.messages])
    stock_said = [_plain(text) for text in theirs["messages"]]
    assert said[:1] == stock_said[:1]
    assert set(said) <= set(stock_said)  # ours says a mistake once, stock what follows from it
    assert ours.failed == (theirs["level"] == "2")
    if not ours.failed:
        found = {key: _lines(key, theirs["values"][key]) for key in case.keys}
        assert {key: printed(ours.config, key) for key in case.keys} == found


def test_amgetconf_prints_what_ours_reads(tmp_path: Path) -> None:
    """The same through the program itself."""
    config = tmp_path / "CONF"
    config.mkdir()
    (config / "amanda.conf").write_text(examples.TWO_STORAGES)
    (config / "common.inc").write_text(examples.COMMON)
    (config / "disklist").write_text("")
    tmp_path.chmod(0o755)
    case = Case("", examples.TWO_STORAGES, [], files={"common.inc": examples.COMMON})
    ours = case.ours().config
    script = "amgetconf CONF --list storage; " + "".join(
        f"amgetconf CONF -o tapecycle=9 {key}; "
        for key in ("storage:off:tapepool", "policy:CONF:retention-tapes")
    )
    done = _run(tmp_path, ["sh", "-c", script])
    assert done.stdout.split() == [
        *(storage.name for storage in ours.storages()),
        "CONF-off",
        "8",
    ], done.stderr
