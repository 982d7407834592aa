"""Vtapes written by ours and read by Amanda's own device code, and the reverse."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from devices.errors import Status
from devices.file import FileDevice
from devices.interfaces import AccessMode, WriteEnd
from protocols.header import Header, HeaderType
from tests.contract.device import PART, STAMP, read_rest, some_bytes, write_part

PERL_LIBRARY = "/usr/lib/x86_64-linux-gnu/amanda/perl"

# does one thing with a vtape through Amanda's device API; arguments and answer are JSON
SCRIPT = r"""
use strict; use warnings;
use JSON;
use Amanda::Config qw( :init );
use Amanda::Device qw( :constants );
use Amanda::Header; use Amanda::MainLoop; use Amanda::Xfer qw( :constants );
config_init($CONFIG_INIT_EXPLICIT_NAME, "none");
my $in = decode_json($ARGV[0]);
my $dev = Amanda::Device->new("$in->{scheme}:$in->{dir}");
my %out;
sub check { $_[0] or die($dev->error_or_status()) }
sub transfer {
    my $xfer = Amanda::Xfer->new([ @_ ]);
    $xfer->start(sub {
        my ($src, $msg, $xfer) = @_;
        push @{$out{errors}}, "$msg->{message}" if $msg->{type} == $XMSG_ERROR;
        Amanda::MainLoop::quit() if $msg->{type} == $XMSG_DONE;
    });
    Amanda::MainLoop::run();
}
$dev->property_set($_, $in->{properties}{$_}) for keys %{$in->{properties} || {}};
if ($in->{do} eq 'write') {
    my $mode = $in->{append} ? $ACCESS_APPEND : $ACCESS_WRITE;
    check($dev->read_label() == $DEVICE_STATUS_SUCCESS) if $in->{append};
    check($dev->start($mode, $in->{label}, $in->{stamp}));
    for my $part (@{$in->{parts}}) {
        my $hdr = Amanda::Header->new();
        $hdr->{type} = $Amanda::Header::F_SPLIT_DUMPFILE;
        $hdr->{$_} = $part->{header}{$_} for keys %{$part->{header}};
        check($dev->start_file($hdr));
        open(my $fh, "<", $part->{file}) or die;
        transfer(Amanda::Xfer::Source::Fd->new(fileno($fh)),
                 Amanda::Xfer::Dest::Device->new($dev, 1));
        $dev->finish_file() if $dev->in_file;
        $out{eom} = $dev->is_eom ? 1 : 0;
    }
    check($dev->finish());
} elsif ($in->{do} eq 'read') {
    $out{status} = "" . $dev->read_label();
    $out{label} = $dev->volume_label; $out{stamp} = $dev->volume_time;
    check($dev->start($ACCESS_READ, undef, undef));
    for (my $n = 1; ; $n++) {
        my $hdr = $dev->seek_file($n);
        check($hdr);
        last if $hdr->{type} == $Amanda::Header::F_TAPEEND;
        open(my $fh, ">", "$in->{out}/" . $dev->file) or die;
        transfer(Amanda::Xfer::Source::Device->new($dev),
                 Amanda::Xfer::Dest::Fd->new(fileno($fh)));
        close($fh);
        $out{files}{$dev->file} = "$hdr->{disk} $hdr->{partnum} $hdr->{dumplevel}";
        $n = $dev->file;
        last if $in->{only};
    }
    $dev->finish();
} elsif ($in->{do} eq 'erase') {
    check($dev->erase());
}
print encode_json(\%out);
"""


def why_no_perl() -> str | None:
    perl = shutil.which("perl")
    if perl is None or not os.path.isdir(PERL_LIBRARY):
        return "needs perl and the Amanda server's perl modules"
    modules = ["-MAmanda::Device", "-MAmanda::Xfer", "-MJSON"]
    probe = subprocess.run(
        [perl, "-I", PERL_LIBRARY, *modules, "-e", "1"], capture_output=True, text=True
    )
    return None if probe.returncode == 0 else f"Amanda's perl modules: {probe.stderr[:200]}"


@pytest.fixture(scope="module", autouse=True)
def _needs_stock() -> None:
    reason = why_no_perl()
    if reason:
        pytest.skip(reason)


def stock(what: str, directory: Path, **more: Any) -> dict[str, Any]:
    """Let stock's device (``scheme``: its type) do something with a volume."""
    wish = json.dumps({"do": what, "scheme": "file", "dir": str(directory), **more})
    done = subprocess.run(
        ["perl", "-I", PERL_LIBRARY, "-e", SCRIPT, wish],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def stock_header(header: Header) -> dict[str, Any]:
    fields = {
        "datestamp": header.datestamp,
        "name": header.host,
        "disk": header.disk,
        "dumplevel": header.level,
        "partnum": header.partnum,
        "totalparts": header.totalparts,
        "program": header.program,
        "dle_str": header.dle,
        "recover_cmd": header.recover_cmd,
    }
    return {name: value for name, value in fields.items() if value != ""}


HEADERS = [
    evolve(PART, partnum=1),
    evolve(PART, partnum=2, disk='C:\\My "Docs"', level=3),
    evolve(PART, partnum=3, disk="/", dle="<dle>\n  <disk>/</disk>\n</dle>"),
    evolve(PART, partnum=4, recover_cmd="./amgtar restore [./file-to-restore]+"),
]
# whole blocks: the plain device writer of stock's transfers pads the last one, its taper does not
SIZES = [0, 32768 * 3, 32768 * 40, 32768]


def payloads(directory: Path) -> list[Path]:
    directory.mkdir()
    paths = []
    for number, size in enumerate(SIZES):
        paths.append(directory / f"payload{number}")
        paths[-1].write_bytes(some_bytes(size))
    return paths


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def write_ours(directory: Path, paths: Sequence[Path], mode: AccessMode, **props: Any) -> None:
    device = FileDevice("ours", str(directory))
    for name, value in props.items():
        device.properties.set(name, value)
    device.start(mode, "TAPE-01" if mode is AccessMode.WRITE else None, STAMP)
    for header, path in zip(HEADERS, paths, strict=False):
        write_part(device, memoryview(path.read_bytes()), header)
    device.finish()


def write_stock(directory: Path, paths: Sequence[Path], **more: Any) -> dict[str, Any]:
    parts = [
        {"header": stock_header(header), "file": str(path)}
        for header, path in zip(HEADERS, paths, strict=False)
    ]
    return stock("write", directory, label="TAPE-01", stamp=STAMP, parts=parts, **more)


def make(directory: Path) -> Path:
    directory.mkdir()
    return directory


def test_same_bytes(tmp_path: Path) -> None:
    """Label and parts, names and bytes, are those that stock writes."""
    paths = payloads(tmp_path / "in")
    ours, theirs = make(tmp_path / "ours"), make(tmp_path / "theirs")
    write_ours(ours, paths, AccessMode.WRITE)
    write_stock(theirs, paths)
    assert contents(ours) == contents(theirs)
    assert len(contents(ours)) == 5


def test_same_warning(tmp_path: Path) -> None:
    """A limited volume warns at the same block and holds the same bytes."""
    limit = {"max_volume_usage": str(512 * 1024)}
    payload = tmp_path / "payload"
    payload.write_bytes(some_bytes(2**20))
    ours, theirs = make(tmp_path / "ours"), make(tmp_path / "theirs")
    answer = write_stock(theirs, [payload], properties=limit)
    assert answer["eom"] == 1
    device = FileDevice("ours", str(ours))
    device.properties.set("max_volume_usage", limit["max_volume_usage"])
    device.start(AccessMode.WRITE, "TAPE-01", STAMP)
    device.start_file(HEADERS[0])
    assert device.write_blocks(memoryview(payload.read_bytes())).end is WriteEnd.EARLY
    device.finish_file()
    device.finish()
    assert contents(ours) == contents(theirs)


def test_stock_reads_ours(tmp_path: Path) -> None:
    """Stock reads label, headers and data of a volume of ours, block size notwithstanding."""
    paths = payloads(tmp_path / "in")
    volume, out = make(tmp_path / "volume"), make(tmp_path / "out")
    for path in paths:
        with path.open("ab") as file:
            file.write(some_bytes(77))
    write_ours(volume, paths, AccessMode.WRITE, block_size=1000)
    answer = stock("read", volume, out=str(out))
    assert (answer["status"], answer["label"], answer["stamp"]) == ("0", "TAPE-01", STAMP)
    assert answer["files"] == {
        str(number): f"{header.disk} {header.partnum} {header.level}"
        for number, header in enumerate(HEADERS, 1)
    }
    for number, path in enumerate(paths, 1):
        assert (out / str(number)).read_bytes() == path.read_bytes()


def test_ours_reads_stock(tmp_path: Path) -> None:
    """Ours reads label, headers and data of a volume of stock's."""
    paths = payloads(tmp_path / "in")
    volume = make(tmp_path / "volume")
    write_stock(volume, paths)
    device = FileDevice("ours", str(volume))
    reading = device.read_label()
    assert (reading.status, reading.label, reading.timestamp) == (Status.SUCCESS, "TAPE-01", STAMP)
    device.start(AccessMode.READ)
    for number, (path, wanted) in enumerate(zip(paths, HEADERS, strict=True), 1):
        header = device.seek_file(number)
        assert header is not None
        assert (header.disk, header.partnum, header.level) == (
            wanted.disk,
            wanted.partnum,
            wanted.level,
        )
        assert header.dle == wanted.dle
        assert read_rest(device, 50000) == path.read_bytes()
    end = device.seek_file(5)
    assert end is not None
    assert end.type is HeaderType.TAPEEND


def test_each_appends_to_the_other(tmp_path: Path) -> None:
    """Ours appends to stock's volume and stock to ours, with the same result; either erases it."""
    paths = payloads(tmp_path / "in")
    first, second = make(tmp_path / "first"), make(tmp_path / "second")
    write_ours(first, paths[:2], AccessMode.WRITE)
    write_stock(first, paths[:2], append=True)
    write_stock(second, paths[:2])
    write_ours(second, paths[:2], AccessMode.APPEND)
    assert contents(first) == contents(second)
    stock("erase", first)
    assert FileDevice("ours", str(first)).read_label().status is Status.VOLUME_UNLABELED
    FileDevice("ours", str(second)).erase()
    assert contents(first) == contents(second) == {}
