"""NDMP volumes go from stock's device to ours and back, by data connection."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from devices.context import DeviceContext
from devices.errors import Status
from devices.interfaces import AccessMode
from devices.ndmp import NdmpDevice, open_ndmp
from protocols.header import Header, HeaderType
from tests.fakes.ndmjob import NDMJOB, NdmJob, give_to_dump_user
from tests.fakes.turning import Receiver, Sender, Turning, turning_reactor
from tests.namespace import Namespace, missing

PERL_LIB = "/usr/lib/x86_64-linux-gnu/amanda/perl"
_REASON = missing(NDMJOB, PERL_LIB, "/usr/bin/perl")
pytestmark = [pytest.mark.system, pytest.mark.skipif(_REASON is not None, reason=_REASON or "")]

BLOCK = 32768
STAMP = "20260102030405"

PROLOGUE = f"""
use lib '{PERL_LIB}';
use strict; use warnings;
use Amanda::Config qw( :init ); use Amanda::Util qw( :constants ); use Amanda::Debug;
use Amanda::Device qw( :constants ); use Amanda::Header; use Amanda::Xfer; use Amanda::MainLoop;
Amanda::Util::setup_application("test", "server", $CONTEXT_CMDLINE, "amanda", "amanda");
config_init($CONFIG_INIT_EXPLICIT_NAME, "EMPTY");
Amanda::Util::finish_setup($RUNNING_AS_ANY);
my ($name, $file) = @ARGV;
my $dev = Amanda::Device->new($name);
die $dev->error() unless $dev->status() == $DEVICE_STATUS_SUCCESS;
sub check {{ my ($ok) = @_; die $dev->error_or_status() unless $ok; }}
"""

WRITE = (
    PROLOGUE
    + """
check($dev->start($ACCESS_WRITE, "STOCK-01", "20260102030405"));
open(my $in, "<", $file) or die; binmode $in; local $/; my $data = <$in>;
my $number = 0;
for (my $at = 0; $at < length $data; $at += 5 * 32768) {
    my $hdr = Amanda::Header->new();
    $hdr->{type} = $Amanda::Header::F_SPLIT_DUMPFILE; $hdr->{datestamp} = "20260102030405";
    $hdr->{name} = "client"; $hdr->{disk} = "/home"; $hdr->{program} = "APPLICATION";
    $hdr->{partnum} = ++$number; $hdr->{totalparts} = -1;
    check($dev->start_file($hdr));
    my $part = substr($data, $at, 5 * 32768);
    my $src = "$file.part"; open(my $out, ">", $src) or die; print $out $part; close $out;
    open(my $fd, "<", $src) or die;
    my $xfer = Amanda::Xfer->new([ Amanda::Xfer::Source::Fd->new($fd),
                                   Amanda::Xfer::Dest::Device->new($dev, 0) ]);
    $xfer->start(sub { my ($s, $msg, $x) = @_;
        die $msg->{message} if $msg->{type} == $Amanda::Xfer::XMSG_ERROR;
        Amanda::MainLoop::quit() if $msg->{type} == $Amanda::Xfer::XMSG_DONE; });
    Amanda::MainLoop::run();
}
check($dev->finish());
print "label ", $dev->volume_label(), " files $number\\n";
Amanda::Util::finish_application();
"""
)

READ = (
    PROLOGUE
    + """
check($dev->read_label() == $DEVICE_STATUS_SUCCESS);
print "label ", $dev->volume_label(), " ", $dev->volume_time(), "\\n";
check($dev->start($ACCESS_READ, undef, undef));
for (my $number = 1; ; $number++) {
    my $hdr = $dev->seek_file($number);
    check($hdr);
    last if $hdr->{type} == $Amanda::Header::F_TAPEEND;
    print "file $number part $hdr->{partnum} $hdr->{name}:$hdr->{disk}\\n";
    open(my $out, ">>", $file) or die;
    my $xfer = Amanda::Xfer->new([ Amanda::Xfer::Source::Device->new($dev),
                                   Amanda::Xfer::Dest::Fd->new($out) ]);
    $xfer->start(sub { my ($s, $msg, $x) = @_;
        die $msg->{message} if $msg->{type} == $Amanda::Xfer::XMSG_ERROR;
        Amanda::MainLoop::quit() if $msg->{type} == $Amanda::Xfer::XMSG_DONE; });
    Amanda::MainLoop::run();
    close $out;
}
check($dev->finish());
Amanda::Util::finish_application();
"""
)


class Exchange:
    """A server, stock programs beside it, and devices of ours."""

    def __init__(self, namespace: Namespace, job: NdmJob, turning: Turning) -> None:
        self.namespace = namespace
        self.job = job
        self.turning = turning
        namespace.write("/etc/amanda/EMPTY/amanda.conf", 'org "x"\n')
        job.blank("tape")
        self.file = job.directory / "payload"
        self.file.touch()
        give_to_dump_user(self.file)

    def stock(self, script: str) -> str:
        done = self.namespace.run("perl", "-e", script, self.job.url("tape"), str(self.file))
        assert done.returncode == 0, done.stdout
        return done.stdout


@pytest.fixture
def exchange() -> Iterator[Exchange]:
    namespace = Namespace()
    try:
        with NdmJob(command=namespace.command) as job, turning_reactor() as turning:
            yield Exchange(namespace, job, turning)
    finally:
        namespace.close()


def payload(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def test_stock_reads_what_we_wrote(exchange: Exchange) -> None:
    """A dump written through a data connection comes back from Amanda::Device byte for byte."""
    data = payload(17 * BLOCK + 99)

    async def write() -> None:
        url = exchange.job.url("tape")
        device = open_ndmp(url, url[5:], DeviceContext(exchange.turning.reactor, pytest.fail, 20))
        device.facts.properties.set("indirect", "no")
        Sender((await device.listen(True))[0], data)
        connection = await device.accept()
        await device.start(AccessMode.WRITE, "OURS-01", STAMP)
        part, eof = 0, False
        while not eof:
            part += 1
            header = Header(
                type=HeaderType.SPLIT_DUMPFILE,
                datestamp=STAMP,
                host="client",
                disk="/home",
                partnum=part,
                totalparts=-1,
                program="APPLICATION",
                application="amdirecttar",
            )
            await device.start_file(header)
            eof = (await device.write_from_connection(5 * BLOCK)).eof
            await device.finish_file()
        await connection.close()
        await device.finish()

    exchange.turning.run(write())
    said = exchange.stock(READ).splitlines()
    assert said == [
        f"label OURS-01 {STAMP}",
        *(f"file {number} part {number} client:/home" for number in (1, 2, 3, 4)),
    ]
    assert exchange.file.read_bytes() == data.ljust(18 * BLOCK, b"\0")


def test_we_read_what_stock_wrote(exchange: Exchange) -> None:
    """A volume of Amanda::Device is read by ours, in any order of files."""
    data = payload(12 * BLOCK)
    exchange.file.write_bytes(data)
    assert exchange.stock(WRITE) == "label STOCK-01 files 3\n"

    async def read() -> dict[int, bytes]:
        url = exchange.job.url("tape")
        device = NdmpDevice(url, url[5:], exchange.turning.reactor)
        reading = await device.read_label()
        assert (reading.status, reading.label) == (Status.SUCCESS, "STOCK-01")
        await device.start(AccessMode.READ)
        found: dict[int, bytes] = {}
        for number in (2, 1, 3):
            header = await device.seek_file(number)
            assert header is not None
            assert header.partnum == number
            receiver = Receiver((await device.listen(False))[0])
            connection = await device.accept()
            while not (await device.read_to_connection(0)).eof:
                pass
            await connection.close()
            receiver.join(60)
            found[number] = bytes(receiver.data)
        await device.finish()
        return found

    found = exchange.turning.run(read())
    assert b"".join(found[number] for number in (1, 2, 3)) == data
    assert not Path(exchange.job.directory / "tape.lck").exists()
