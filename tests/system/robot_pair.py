"""One library of stock's and one of ours, alike, and the same done to both."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from devices.asynchronous import open_changer
from devices.context import DeviceContext
from devices.errors import ChangerError
from devices.interfaces import AccessMode, LoadRequest, Relative
from devices.lane import Lane
from protocols.conf import load
from protocols.perldata import parse_perl_data
from tests.fakes.changers import Waited
from tests.fakes.library import Library
from tests.fakes.turning import Turning
from tests.namespace import USER, Namespace

STAMP = "20260102030405"
PERL_LIB = "/usr/lib/x86_64-linux-gnu/amanda/perl"
NAME = "ROBOT"

CONF = """org "robot"
mailto ""
tapecycle 4
tpchanger "lib"
tapetype SMALL
labelstr "^ROBOT-[0-9]+$"
autolabel "ROBOT-$s" any
define tapetype SMALL {{
  length 10 mbytes
}}
define changer lib {{
  tpchanger "chg-robot:{device}"
  changerfile "{directory}/state"
  property "mtx" "{program}"
  property "tape-device" {devices}
  property "status-interval" "0"
  property "load-poll" "0s"
{more}}}
"""

# Does what it reads line by line, and prints what came of it.
STOCK = f"""
use lib '{PERL_LIB}';
use strict; use warnings;
use Amanda::Config qw( :init ); use Amanda::Util qw( :constants ); use Amanda::Debug;
use Amanda::Device qw( :constants );
use Amanda::MainLoop; use Amanda::Storage; use Amanda::Changer; use Amanda::Tapelist;
$| = 1;
Amanda::Util::setup_application("test", "server", $CONTEXT_CMDLINE, "amanda", "amanda");
config_init($CONFIG_INIT_EXPLICIT_NAME, "{NAME}");
Amanda::Util::finish_setup($RUNNING_AS_ANY);
my ($tapelist) = Amanda::Tapelist->new(Amanda::Config::config_dir_relative("tapelist"));
my $storage = Amanda::Storage->new(tapelist => $tapelist);
my $chg = $storage->{{'chg'}};
my (%held, $end);
sub tell {{ print(join(" ", map {{ defined $_ && $_ ne "" ? $_ : "-" }} @_), "\\n"); $end->() }}
sub told {{
    my ($err, @result) = @_;
    return &tell(@result) unless $err;
    my $text = $err->{{'message'}}; $text =~ s/\\s+/ /g;
    &tell("error", $err->{{'type'}}, $err->{{'reason'}}, $text);
}}
sub act {{
    my ($word, @rest) = @_;
    if ($word eq "load") {{
        my ($what, $name, %flags) = @rest;
        my %params = (mode => "write", res_cb => sub {{
            my ($err, $res) = @_;
            return told($err) if $err;
            my $device = $res->{{'device'}};
            my $label = $device->status == $DEVICE_STATUS_SUCCESS ? $device->volume_label : undef;
            $held{{$res->{{'this_slot'}}}} = $res;
            told(undef, "loaded", $res->{{'this_slot'}}, $label, $res->{{'barcode'}});
        }});
        $params{{'except_slots'}} = {{ map {{ $_ => 1 }} split ",", $flags{{'except'}} }}
            if exists $flags{{'except'}};
        $params{{'set_current'}} = 1 if $flags{{'current'}};
        if ($what eq "relative") {{
            $params{{'relative_slot'}} = $name;
            $params{{'slot'}} = $flags{{'after'}} if exists $flags{{'after'}};
        }} else {{ $params{{$what}} = $name }}
        $chg->load(%params);
    }} elsif ($word eq "release") {{
        (delete $held{{$rest[0]}})->release(eject => $rest[1], finished_cb => sub {{
            told($_[0], "released") }});
    }} elsif ($word eq "write") {{
        my $device = $held{{$rest[0]}}->{{'device'}};
        $device->start($ACCESS_WRITE, $rest[1], "{STAMP}") or die $device->error_or_status();
        $device->finish();
        $held{{$rest[0]}}->set_label(label => $rest[1], finished_cb => sub {{
            told($_[0], "written") }});
    }} elsif ($word eq "inventory") {{
        $chg->inventory(inventory_cb => sub {{
            my ($err, $inventory) = @_;
            return told($err) if $err;
            told(undef, map {{
                my $entry = $_;
                join("|", map {{ defined $entry->{{$_}} ? $entry->{{$_}} . "" : "" }} qw(
                    slot state device_status f_type label barcode reserved loaded_in
                    import_export current)) }} @$inventory);
        }});
    }} elsif ($word eq "info") {{
        my @keys = qw( num_slots slots vendor_string fast_search );
        $chg->info(info => \\@keys, info_cb => sub {{
            my ($err, %info) = @_;
            return told($err) if $err;
            told(undef, $info{{'num_slots'}}, @{{$info{{'slots'}}}}, $info{{'vendor_string'}},
                $info{{'fast_search'}});
        }});
    }} elsif ($word eq "eject") {{
        my @drive = @rest ? (drive => $rest[0]) : ();
        $chg->eject(@drive, finished_cb => sub {{ told($_[0], "done") }});
    }} elsif ($word eq "move") {{
        $chg->move(from_slot => $rest[0], to_slot => $rest[1], finished_cb => sub {{
            my ($err) = @_;
            # a failed transfer has only a text
            return told($err, "done") if ref $err or !$err;
            &tell("error", "failed", "unknown", $err =~ s/\\s+/ /gr) }});
    }} elsif ($word eq "reset") {{
        $chg->reset(finished_cb => sub {{ told($_[0], "done") }});
    }} elsif ($word eq "update") {{
        $chg->update((@rest ? (changed => $rest[0]) : ()), user_msg_fn => sub {{}},
            finished_cb => sub {{ told($_[0], "done") }});
    }}
}}
while (my $line = <STDIN>) {{
    chomp $line;
    $end = sub {{ Amanda::MainLoop::quit() }};
    Amanda::MainLoop::call_later(sub {{ act(split / /, $line) }});
    Amanda::MainLoop::run();
}}
$storage->quit();
Amanda::Util::finish_application();
"""


def _tell(*words: object) -> str:
    return " ".join("-" if word is None or word == "" else str(word) for word in words)


class Place:
    """A library and a configuration for it, in a namespace of its own.

    :ivar library: where the drives and cartridges are; the dump user's
    """

    def __init__(self, cartridges: dict[int, str], more: str, **shape: Any) -> None:
        self.namespace = Namespace()
        self._base = Path(tempfile.mkdtemp(prefix="robot-pair."))
        self._base.chmod(0o755)
        self.own(self._base)
        self.library = Library(self._base / "lib", cartridges, own=self.own, **shape)
        devices = " ".join(f'"{device}"' for device in self.library.tape_devices())
        text = CONF.format(
            device=self.library.device,
            directory=self.library.seen_as,
            program=self.library.program,
            devices=devices,
            more=more,
        )
        for name, content in (("amanda.conf", text), ("tapelist", ""), ("disklist", "")):
            self.namespace.write(f"/etc/amanda/{NAME}/{name}", content)
        self.state_path = self._base / "lib/state"
        self.state_path.touch()
        self.own(self.state_path)

    def own(self, path: Path) -> None:
        user = pwd.getpwnam(USER)
        os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)

    def own_all(self) -> None:
        """What we wrote as root shall be the dump user's."""
        for path in self._base.rglob("*"):
            self.own(path)

    def state(self) -> dict[str, Any]:
        return parse_perl_data(self.state_path.read_bytes())

    def amtape(self, *words: str) -> str:
        self.own_all()
        return self.namespace.run("/usr/sbin/amtape", NAME, *words).stdout

    def close(self) -> None:
        self.namespace.close()
        shutil.rmtree(self._base)


class Stock:
    """Amanda's chg-robot, in a process of its own.

    :param as_root: else as the dump user, for whom processes of root are dead
        [changers quirk 21]
    """

    def __init__(self, place: Place, *, as_root: bool = False) -> None:
        command = place.namespace.command("perl", "-e", STOCK)
        if as_root:
            command = [word for word in command if not word.startswith(("setpriv", "--"))]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=place.namespace.environment,
        )

    def do(self, line: str) -> str:
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(f"{line}\n")
        process.stdin.flush()
        told = process.stdout.readline().strip()
        assert told, f"{line}: {process.stderr.read()}"
        return told

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


class Ours:
    """The same, by our changer, in this process."""

    def __init__(self, place: Place, turning: Turning) -> None:
        self._place = place
        namespace = place.namespace
        config = load(NAME, lambda path: _read(namespace, path), config_root="/etc/amanda").config
        reactor = turning.reactor
        context = DeviceContext(reactor, lambda name: Lane(reactor, name), 20)
        etc = str(namespace.path(f"/etc/amanda/{NAME}"))
        seen = type(config)(config.name, etc, config.general, config.sections)
        self.changer = Waited(
            open_changer("lib", seen, config.storages()[0], context), turning.wait
        )
        self._held: dict[str, Any] = {}

    def do(self, line: str) -> str:
        word, *rest = line.split()
        try:
            return str(getattr(self, f"_{word}")(*rest))
        except ChangerError as error:
            reason = error.reason.value if error.reason else None
            kind = "fatal" if error.fatal else "failed"
            return _tell("error", kind, reason, error.message)
        finally:
            self._place.own_all()

    def _load(self, what: str, name: str, *words: str) -> str:
        flags = dict(zip(words[::2], words[1::2], strict=True))
        wanted: dict[str, Any] = {what: Relative(name) if what == "relative" else name}
        held = self.changer.load(
            LoadRequest(
                **wanted,
                after=flags.get("after"),
                set_current="current" in flags,
                except_slots=frozenset(flags.get("except", "").split(",")) - {""},
            )
        )
        self._held[held.slot] = held
        return _tell("loaded", held.slot, held.reading.label, held.barcode)

    def _release(self, slot: str, eject: str = "") -> str:
        self._held.pop(slot).release(eject=bool(int(eject or 0)))
        return "released"

    def _write(self, slot: str, label: str) -> str:
        device = self._held[slot].device
        device.start(AccessMode.WRITE, label, STAMP)
        device.finish()
        self._held[slot].set_label(label)
        return "written"

    def _inventory(self) -> str:
        return _tell(
            *(
                "|".join(
                    "" if value is None or value is False else str(int(value) if flag else value)
                    for value, flag in (
                        (entry.slot, False),
                        (entry.state, True),
                        (entry.device_status, True),
                        (entry.header_type, True),
                        (entry.label, False),
                        (entry.barcode, False),
                        (entry.reserved, True),
                        (entry.loaded_in, False),
                        # stock forgets it of a slot whose volume is in a drive
                        (entry.import_export and entry.loaded_in is None, True),
                        (entry.current, True),
                    )
                )
                for entry in self.changer.inventory()
            )
        )

    def _info(self) -> str:
        info = self.changer.info()
        return _tell(info.num_slots, *info.slots, info.vendor_string, int(info.fast_search))

    def _eject(self, *drive: str) -> str:
        self.changer.eject(*drive)
        return "done"

    def _move(self, source: str, target: str) -> str:
        self.changer.move(source, target)
        return "done"

    def _reset(self) -> str:
        self.changer.reset()
        return "done"

    def _update(self, *changed: str) -> str:
        self.changer.update(*changed)
        return "done"

    def close(self) -> None:
        self.changer.close()


def _read(namespace: Namespace, path: str) -> bytes | None:
    found = namespace.path(path)
    return found.read_bytes() if found.exists() else None


def plain(told: str, place: Place) -> str:
    """What was said, without the place where it was said."""
    return re.sub(r"\s+", " ", told.replace(place.library.seen_as, "LIB"))


class Pair:
    """The two, and their libraries."""

    def __init__(self, turning: Turning, cartridges: dict[int, str], more: str, **shape: Any):
        self.places = [Place(cartridges, more, **shape) for _ in range(2)]
        self.ours: Ours | None = None
        self.stock = Stock(self.places[1])
        self.ours = Ours(self.places[0], turning)

    def do(self, line: str) -> tuple[str, str]:
        """What ours and stock say."""
        assert self.ours is not None
        return plain(self.ours.do(line), self.places[0]), plain(self.stock.do(line), self.places[1])

    def alike(self, line: str) -> str:
        """Both say the same, and this."""
        ours, stock = self.do(line)
        assert ours == stock, f"{line}\nours:  {ours}\nstock: {stock}"
        return ours

    def libraries(self) -> list[Library]:
        return [place.library for place in self.places]

    def close(self) -> None:
        if self.ours is not None:
            self.ours.close()
        self.stock.close()
        for place in self.places:
            place.close()


@contextmanager
def pair(
    turning: Turning, cartridges: dict[int, str], more: str = "", **shape: Any
) -> Iterator[Pair]:
    """Two libraries alike."""
    both = Pair(turning, cartridges, more, **shape)
    try:
        yield both
    finally:
        both.close()
