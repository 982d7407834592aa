# Reads volumes by Amanda's own device, block by block. Arguments: the file for all data, then
# device names. Says every label and every file; data of all files go into the one file.
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
my ($path, @names) = @ARGV;
open(my $out, ">", $path) or die "$path: $!";
for my $name (@names) {
    my $device = Amanda::Device->new($name);
    $device->read_label() == $DEVICE_STATUS_SUCCESS or die $device->error_or_status();
    print "label ", $device->volume_label, "\n";
    $device->start($ACCESS_READ, undef, undef) or die $device->error_or_status();
    for (my $number = 1; ; $number++) {
        my $header = $device->seek_file($number) or die $device->error_or_status();
        last if $header->{type} == $Amanda::Header::F_TAPEEND;
        my $xfer = Amanda::Xfer->new([Amanda::Xfer::Source::Device->new($device),
                                      Amanda::Xfer::Dest::Fd->new($out)]);
        $xfer->start(sub {
            my ($from, $msg) = @_;
            die $msg->{message} if $msg->{type} == $XMSG_ERROR;
            Amanda::MainLoop::quit() if $msg->{type} == $XMSG_DONE;
        });
        Amanda::MainLoop::run();
        print "file $number part $header->{partnum} $header->{name}:$header->{disk}\n";
    }
    $device->finish() or die $device->error_or_status();
}
