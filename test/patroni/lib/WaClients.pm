# The applications of the drill: processes that enqueue, a message or two in a transaction,
# through haproxy or through libpq's list of hosts, and note down what they know.
#
#   WaClients::start("$dir/client1", 'host=127.0.0.1 ...');
#   my @notes = WaClients::stop();     # [time, word, reference]: begun, committed, rolledback
#
# "committed" is written once psql has said so.  Whoever gets no answer for a while gives
# up the connection, as an application does, and does not know what became of it.
package WaClients;

use strict;
use warnings;

use IO::Select;
use IPC::Open3 ();
use POSIX ();
use Time::HiRes qw(sleep time);

my $patience = 20;
my %client;    # file to process id

sub start
{
	my ($file, $conninfo) = @_;
	my $pid = fork;
	die "fork: $!" unless defined $pid;
	if ($pid == 0)
	{
		$SIG{PIPE} = 'IGNORE';
		$SIG{$_} = 'DEFAULT' foreach qw(INT TERM);
		srand $$;
		eval { work($file, $conninfo); 1 } or print STDERR "client: $@";
		POSIX::_exit(0);
	}
	$client{$file} = $pid;
	return;
}

sub stop
{
	my @notes;
	foreach my $file (keys %client)
	{
		open(my $stop, '>', "$file.stop") or die "$file.stop: $!";
		close $stop;
	}
	foreach my $file (keys %client)
	{
		waitpid delete $client{$file}, 0;
		push @notes, notes($file);
	}
	return @notes;
}

sub notes
{
	my ($file) = @_;
	open(my $notes, '<', $file) or die "$file: $!";
	return map { chomp; [ split ' ' ] } <$notes>;
}

sub work
{
	my ($file, $conninfo) = @_;
	my ($name) = $file =~ m{([^/]+)$};
	my $n = 0;

	open(my $notes, '>>', $file) or die "$file: $!";
	$notes->autoflush;
	until (-e "$file.stop")
	{
		my $psql = IPC::Open3::open3(my $in, my $out, undef, qw(psql -X -q -A -t -v ON_ERROR_STOP=1 -d), $conninfo);
		$in->autoflush;
		until (-e "$file.stop")
		{
			my $reference = "$name-" . ++$n;
			my $word = rand() < 0.1 ? 'rolledback' : 'committed';
			print $notes time, " begun $reference\n";
			transaction($in, $out, $reference, $word) or last;
			print $notes time, " $word $reference\n";
			sleep 0.1 + rand 0.2;
		}
		kill 'KILL', $psql;
		close $in;
		waitpid $psql, 0;
		sleep 0.1 + rand 0.2;
	}
	return;
}

# Whether the answer has come.
sub transaction
{
	my ($in, $out, $reference, $word) = @_;
	my $tenant = 't' . (1 + int rand 4);
	my $number = sprintf '+346%08d', rand 1e8;
	my $end = $word eq 'committed' ? 'COMMIT' : 'ROLLBACK';
	my $deadline = time + $patience;
	my $answer = '';

	print $in <<"SQL" or return 0;
BEGIN;
INSERT INTO purchase_order (reference) VALUES ('$reference');
SELECT wa_enqueue_message('$tenant', '$number', 'aviso', '["$reference"]', reference => '$reference');
$end;
\\echo ended $reference
SQL
	while ($answer !~ /^ended \Q$reference\E$/m)
	{
		return 0 unless IO::Select->new($out)->can_read($deadline > time ? $deadline - time : 0);
		sysread($out, $answer, 4096, length $answer) or return 0;
	}
	return 1;
}

1;
