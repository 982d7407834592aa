# Writes random bytes in parts to ndmp devices, by Amanda's own transfer to a DirectTCP device.
# Arguments: value of the property indirect, bytes, bytes of a part, device names in order.
use strict;
use warnings;
use lib '/usr/lib/x86_64-linux-gnu/amanda/perl';
use Amanda::Config qw(:init);
use Amanda::Device qw(:constants);
use Amanda::Header;
use Amanda::MainLoop;
use Amanda::Util qw(:constants);
use Amanda::Xfer qw(:constants);

$| = 1;
Amanda::Util::setup_application("test", "server", $CONTEXT_CMDLINE, "amanda", "amanda");
config_init(0, undef);
my ($indirect, $size, $part_size, @names) = @ARGV;
my $number = 0;

sub open_next {
    my $device = Amanda::Device->new(shift @names);
    die $device->error_or_status() if $device->status != $DEVICE_STATUS_SUCCESS;
    $device->property_set("indirect", $indirect);
    return $device;
}

my $header = Amanda::Header->new();
$header->{type} = $Amanda::Header::F_SPLIT_DUMPFILE;
$header->{$_->[0]} = $_->[1]
    for (["name", "localhost"], ["disk", "/x"], ["datestamp", "20260101"], ["program", "X"]);
($header->{dumplevel}, $header->{totalparts}, $header->{partnum}) = (0, -1, 1);

my $device = open_next();
my $dest = Amanda::Xfer::Dest::Taper::DirectTCP->new($device, $part_size + 0);
my $source = Amanda::Xfer::Source::Random->new($size + 0, 0xABCDEF);

sub begin_volume {
    $number++;
    $device->start($ACCESS_WRITE, "VOL-$number", "20260101") or die $device->error_or_status();
}

sub part_done {
    my ($msg) = @_;
    print join(" ", "PART", map { "$_=$msg->{$_}" } qw(size partnum fileno eom eof)), "\n";
    return if $msg->{eof};
    if ($msg->{eom}) {
        $device->finish() or die $device->error_or_status();
        $device = open_next();
        $device->read_label();
        $dest->use_device($device);
        begin_volume();
    }
    $dest->start_part(0, $header);
}

Amanda::Xfer->new([$source, $dest])->start(sub {
    my ($from, $msg, $xfer) = @_;
    if ($msg->{type} == $XMSG_ERROR) {
        print "ERROR $msg->{message}\n";
        $xfer->cancel();
    } elsif ($msg->{type} == $XMSG_READY) {
        begin_volume();
        $dest->start_part(0, $header);
    } elsif ($msg->{type} == $XMSG_PART_DONE) {
        part_done($msg);
    } elsif ($msg->{type} == $XMSG_DONE) {
        Amanda::MainLoop::quit();
    }
});
Amanda::MainLoop::run();
$device->finish();
print "END\n";
