"""rait: volumes that Amanda's own device wrote, and that it reads."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from devices.interfaces import AccessMode
from tests.contract.device import PART, STAMP, some_bytes, write_part
from tests.devices.rait_world import name_of, rait, read, vtapes

PERL_LIB = "/usr/lib/x86_64-linux-gnu/amanda/perl"

STOCK = r"""
use lib $ARGV[0]; shift;
use strict; use warnings; use POSIX (); use IO::Handle;
use Amanda::Config qw( :init ); use Amanda::Device qw( :constants ); use Amanda::Header;
use Amanda::Xfer qw( :constants ); use Amanda::MainLoop;
my ($mode, $name, $size, $file) = @ARGV;
config_init(0, undef);
Amanda::Device->new("file:/");  # a rait opens its children in threads, which can fall over the type
my $device = Amanda::Device->new($name);
die $device->error_or_status() if $device->status();
$device->property_set("BLOCK_SIZE", $size);
sub run {
    my ($xfer) = @_;
    my @wrong;
    $xfer->start(sub {
        my ($src, $msg, $x) = @_;
        push @wrong, "$msg->{message}" if $msg->{type} == $XMSG_ERROR;
        Amanda::MainLoop::quit() if $msg->{type} == $XMSG_DONE;
    });
    Amanda::MainLoop::run();
    die "@wrong" if @wrong;
}
if ($mode eq "write") {
    $device->start($ACCESS_WRITE, "RAIT-09", "20240102030405") or die $device->error_or_status();
    my $hdr = Amanda::Header->new();
    $hdr->{type} = $Amanda::Header::F_SPLIT_DUMPFILE; $hdr->{datestamp} = "20240102030405";
    $hdr->{dumplevel} = 0; $hdr->{compressed} = 0; $hdr->{comp_suffix} = "N";
    $hdr->{name} = "client"; $hdr->{disk} = "/home"; $hdr->{program} = "/bin/tar";
    $hdr->{partnum} = 1; $hdr->{totalparts} = -1;
    $device->start_file($hdr) or die $device->error_or_status();
    open(my $in, "<", $file) or die;
    run(Amanda::Xfer->new([
        Amanda::Xfer::Source::Fd->new(fileno($in)), Amanda::Xfer::Dest::Device->new($device, 0)]));
    $device->finish() or die $device->error_or_status();
} else {
    $device->read_label() == 0 or die $device->error_or_status();
    print $device->volume_label(), "\n";
    $device->start($ACCESS_READ, undef, undef) or die $device->error_or_status();
    my $hdr = $device->seek_file(1) or die $device->error_or_status();
    print $hdr->{name}, "\n";
    open(my $out, ">", $file) or die;
    run(Amanda::Xfer->new([
        Amanda::Xfer::Source::Device->new($device), Amanda::Xfer::Dest::Fd->new(fileno($out))]));
}
STDOUT->flush();
POSIX::_exit(0);  # Perl takes things down in any order, which does not always go well
"""

needs_stock = pytest.mark.skipif(
    not os.path.exists(PERL_LIB), reason=f"{PERL_LIB} is not installed"
)


def stock(mode: str, name: str, size: int, file: Path) -> list[str]:
    """Let stock's own device write ``file`` as a part, or read a part into it."""
    done = subprocess.run(
        ["perl", "-e", STOCK, PERL_LIB, mode, name, str(size), str(file)],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, f"{done.returncode}: {done.stderr}"
    return done.stdout.split()


@needs_stock
@pytest.mark.parametrize("width", [2, 3, 5])
def test_ours_reads_what_stock_wrote(tmp_path: Path, width: int) -> None:
    """Whole, and with any child missing."""
    data = bytes(some_bytes(100_000))
    (tmp_path / "part").write_bytes(data)
    block = 4096
    stock("write", name_of(tmp_path, width), block * max(1, width - 1), tmp_path / "part")
    for without in (None, *range(width)):
        device = rait(tmp_path, width, without=without, block=block)
        reading = device.read_label()
        assert (reading.label, reading.timestamp) == ("RAIT-09", STAMP)
        assert read(device).rstrip(b"\0") == data.rstrip(b"\0")
        device.finish()


@needs_stock
@pytest.mark.parametrize("width", [2, 3, 5])
def test_stock_reads_what_ours_wrote(tmp_path: Path, width: int) -> None:
    """Whole, and with any child missing; byte for byte what stock itself would have written."""
    data = some_bytes(100_000)
    block = 4096
    device = rait(tmp_path, width, block=block)
    device.start(AccessMode.WRITE, "RAIT-01", STAMP)
    write_part(device, data)
    device.finish()
    out = tmp_path / "out"
    for without in (None, *range(width)):
        name = name_of(tmp_path, width, without=without)
        told = stock("read", name, block * max(1, width - 1), out)
        assert told == ["RAIT-01", PART.host]
        assert out.read_bytes()[: len(data)] == data
    ours = [next(path.glob("00001.*")).read_bytes()[32768:] for path in vtapes(tmp_path, width)]
    (tmp_path / "part").write_bytes(data)
    stock("write", name_of(tmp_path, width), block * max(1, width - 1), tmp_path / "part")
    theirs = [next(path.glob("00001.*")).read_bytes()[32768:] for path in vtapes(tmp_path, width)]
    assert ours == theirs
