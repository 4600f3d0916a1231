#!/usr/bin/perl
#
# The first process of a PID namespace.  It starts a command, collects whatever ends, and
# ends itself with the command, and with it everything in the namespace:
#
#   init.pl COMMAND [ARGUMENT...]
#
# With --stay it lives on when the command has ended, as a machine does whose service has
# failed.  INT, TERM and HUP end it at once.

use strict;
use warnings;

my $stay = @ARGV && $ARGV[0] eq '--stay' && shift @ARGV;

$SIG{INT} = sub { exit 130 };
$SIG{TERM} = $SIG{HUP} = sub { exit 143 };
my $command = fork;
die "fork: $!" unless defined $command;
if ($command == 0)
{
	$SIG{$_} = 'DEFAULT' foreach qw(INT TERM HUP);
	exec { $ARGV[0] } @ARGV or die "$ARGV[0]: $!";
}
while (1)
{
	my $pid = waitpid -1, 0;
	exit($? >> 8 || ($? & 127 ? 128 + ($? & 127) : 0)) if $pid == $command && !$stay;
	sleep 1 if $pid == -1;
}
