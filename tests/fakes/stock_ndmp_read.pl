# Reads what stock_ndmp_write.pl wrote and compares, by Amanda's own transfer from a DirectTCP
# device. Arguments: device names, each with the numbers of its files: NAME,1,2,3.
use strict;
use warnings;
use lib '/usr/lib/x86_64-linux-gnu/amanda/perl';
use Amanda::Config qw(:init);
use Amanda::Device qw(:constants);
use Amanda::MainLoop;
use Amanda::Util qw(:constants);
use Amanda::Xfer qw(:constants);

$| = 1;
Amanda::Util::setup_application("test", "server", $CONTEXT_CMDLINE, "amanda", "amanda");
config_init(0, undef);
my @parts;
for my $spec (@ARGV) {
    my ($name, @files) = split /,/, $spec;
    push @parts, map { [$name, $_ + 0] } @files;
}
my ($device, $name, $source) = (undef, "", undef);

sub go_to {
    my ($wanted, $file) = @_;
    if ($wanted ne $name) {
        $device->finish() if $device;
        $name = $wanted;
        $device = Amanda::Device->new($name);
        $device->read_label() == $DEVICE_STATUS_SUCCESS or die $device->error_or_status();
        print "VOLUME ", $device->volume_label, "\n";
        $source->use_device($device) if $source;
        $device->start($ACCESS_READ, undef, undef) or die $device->error_or_status();
    }
    $device->seek_file($file) or die $device->error_or_status();
}

go_to(@{shift @parts});
$source = Amanda::Xfer::Source::Recovery->new($device);
my $compare = Amanda::Xfer::Dest::Null->new(0xABCDEF);
Amanda::Xfer->new([$source, $compare])->start(sub {
    my ($from, $msg, $xfer) = @_;
    if ($msg->{type} == $XMSG_ERROR) {
        print "ERROR $msg->{message}\n";
        $xfer->cancel();
    } elsif ($msg->{type} == $XMSG_READY) {
        $source->start_part($device);
    } elsif ($msg->{type} == $XMSG_PART_DONE) {
        print "PART size=$msg->{size} fileno=$msg->{fileno}\n";
        my $next = shift @parts;
        go_to(@$next) if $next;
        $source->start_part($next ? $device : undef);
    } elsif ($msg->{type} == $XMSG_DONE) {
        Amanda::MainLoop::quit();
    }
});
Amanda::MainLoop::run();
$device->finish();
print "END\n";
