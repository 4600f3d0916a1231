# The application of a history: sessions of psql that write messages in
# transactions, and the memory of what they were promised.  Some transactions
# take their time, so that others with later messages commit before them; some
# are prepared first.
#
# Every message carries a marker, "h<seed>-<n>", as its parameter.  What the
# application knows of a message is one of
#
#   committed     COMMIT has returned: it must be sent
#   rolled back   it must never be sent
#   unknown       the connection broke around COMMIT: whatever the database says
#   never begun   the session had ended before
package WaHistory::Application;

use strict;
use warnings;

use File::Spec;
use POSIX ();

my $sessions = 3;

# How many people each tenant writes to again and again.
my $regulars = 5;

# random: WaHistory::Random; node: PostgreSQL::Test::Cluster; dir: for files.
sub new
{
	my ($class, %arguments) = @_;
	return bless {
		%arguments,
		same => WaHistory::Random->new($arguments{seed} + 1),
		wave => 0,         # how often the sessions have been started
		serial => 0,       # of messages
		tx => 0,           # of transactions
		messages => {},    # marker => what is known
		forms => {},       # number of a person => what else he may be written to by
		person => {},      # and back
		planned => [],     # transactions not begun yet
		outcomes => { committed => 0, 'rolled back' => 0, unknown => 0 },
	}, $class;
}

# Plans $count more messages, in transactions of one to five.
sub plan
{
	my ($self, $count) = @_;
	my $random = $self->{random};

	while ($count > 0)
	{
		my $how
		  = $random->percent(70)
		  ? 'commit'
		  : $random->pick(qw(rollback error savepoint prepare));
		my @messages = map { $self->_message } 1 .. $random->between(1, 5);

		# Of a savepoint's transaction, the first message stays.
		push @messages, $self->_message if $how eq 'savepoint' && @messages < 2;
		# Some are all for one person: the order matters most where they come at once.
		if ($self->{same}->percent(40))
		{
			@$_{qw(tenant recipient priority)} = @{ $messages[0] }{qw(tenant recipient priority)}
			  foreach @messages;
			$_->{form} = $self->{same}->pick($_->{recipient}, @{ $self->{forms}{ $_->{recipient} } // [] })
			  foreach @messages;
		}
		push @{ $self->{planned} },
		  {
			tx => ++$self->{tx},
			how => $how,
			messages => \@messages,
			pause_ms => $random->percent(20) ? $random->between(5, 150) : 0,
			prepared_ms => $self->{same}->pick(0, 0, 20, 500)
		  };
		$count -= @messages;
	}
	return;
}

sub _message
{
	my ($self) = @_;
	my $random = $self->{random};
	my $n = ++$self->{serial};
	my $recipient
	  = sprintf('+347%08d', $random->percent(40) ? $random->below($regulars) : 1000 + $n);
	my %message = (
		marker => "h$self->{seed}-$n",
		tenant => 't' . $random->between(1, $self->{tenants}),
		recipient => $recipient,
		form => $self->{same}->pick($recipient, @{ $self->{forms}{$recipient} // [] }),
		priority => $random->percent(20) ? $random->between(-3, 3) : 0,
		delay_ms => $random->percent(15) ? $random->between(1, 1500) : 0,
		on_uncertain => $random->pick('auto', 'auto', 'resend', 'park', 'fail'),
		keyed => $random->percent(20),
		outcome => 'never begun');

	$self->{messages}{ $message{marker} } = \%message;
	return \%message;
}

sub _enqueue_sql
{
	my ($self, $message) = @_;
	my $key = $message->{keyed} ? ", idempotency_key => '$message->{marker}'" : '';
	my $call
	  = "wa_enqueue_message('$message->{tenant}', '$message->{form}', 'aviso', "
	  . "'[\"$message->{marker}\"]', scheduled_at => now() + interval '$message->{delay_ms} ms', "
	  . "priority => $message->{priority}, on_uncertain => '$message->{on_uncertain}'$key)";

	# The key makes a repetition harmless.
	return "SELECT 'id $message->{marker} ' || $call;\n" x ($message->{keyed} ? 2 : 1);
}

sub _transaction_sql
{
	my ($self, $transaction) = @_;
	my ($how, @messages) = ($transaction->{how}, @{ $transaction->{messages} });
	my $sql = "BEGIN;\n";

	for my $i (0 .. $#messages)
	{
		$sql .= "SAVEPOINT s;\n" if $how eq 'savepoint' && $i == 1;
		$sql .= $self->_enqueue_sql($messages[$i]);
	}
	$sql .= sprintf("SELECT pg_sleep(%.3f);\n", $transaction->{pause_ms} / 1000)
	  if $transaction->{pause_ms};
	if ($how eq 'commit')
	{
		$sql .= "COMMIT;\n";
	}
	elsif ($how eq 'prepare')
	{
		my $name = "'h$transaction->{tx}'";
		# A primary may die in between, or right after that.
		$sql .= sprintf("PREPARE TRANSACTION $name;\nSELECT pg_sleep(%.3f);\nCOMMIT PREPARED $name;\n",
			$transaction->{prepared_ms} / 1000);
	}
	elsif ($how eq 'savepoint')
	{
		$sql .= "ROLLBACK TO s;\nCOMMIT;\n";
	}
	elsif ($how eq 'error')
	{
		# COMMIT of an aborted transaction rolls back.
		$sql .= "\\set ON_ERROR_STOP off\nSELECT 1 / 0;\nCOMMIT;\n\\set ON_ERROR_STOP on\n";
	}
	else
	{
		$sql .= "ROLLBACK;\n";
	}
	return "\\echo begun $transaction->{tx}\n$sql\\echo done $transaction->{tx}\n";
}

# Begins to work off the plan, in the background.
sub start
{
	my ($self) = @_;
	my $connstr = $self->{node}->connstr('postgres');

	$self->{wave}++;
	foreach my $session (1 .. $sessions)
	{
		my $script = File::Spec->catfile($self->{dir}, "session$session.sql");

		open(my $out, '>', $script) or die "could not write $script: $!";
		print $out $self->_transaction_sql($_)
		  foreach grep { $_->{tx} % $sessions == $session - 1 } @{ $self->{planned} };
		close($out);

		my $pid = fork() // die "could not fork: $!";
		if ($pid == 0)
		{
			open(STDOUT, '>', "$script.out")  or POSIX::_exit(126);
			open(STDERR, '>>', "$script.err") or POSIX::_exit(126);
			exec('psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $connstr, '-f', $script)
			  or POSIX::_exit(127);
		}
		$self->{running}{$pid} = "$script.out";
	}
	return;
}

# Waits until the sessions end, and takes down what they were told.  Returns how
# many transactions are still to be begun: some if sessions were cut.
sub finish
{
	my ($self) = @_;
	my (%begun, %done);

	foreach my $pid (sort { $a <=> $b } keys %{ $self->{running} })
	{
		my $output = delete $self->{running}{$pid};

		waitpid($pid, 0);
		open(my $in, '<', $output) or next;    # it could not even connect
		while (my $line = <$in>)
		{
			$begun{$1} = 1          if $line =~ /^begun (\d+)$/;
			$done{$1} = 1           if $line =~ /^done (\d+)$/;
			$self->_note_id($1, $2) if $line =~ /^id (\S+) (\d+)$/;
		}
		close($in);
	}

	my @left;
	foreach my $transaction (@{ $self->{planned} })
	{
		my $tx = $transaction->{tx};

		if (!$begun{$tx})
		{
			push @left, $transaction;
			next;
		}
		my $promise
		  = $transaction->{how} =~ /^(?:commit|savepoint|prepare)$/ ? 'committed' : 'rolled back';
		my @messages = @{ $transaction->{messages} };
		foreach my $i (0 .. $#messages)
		{
			# When it was written, for the order.
			@{ $messages[$i] }{qw(wave session tx position how)}
			  = ($self->{wave}, $tx % $sessions, $tx, $i, $transaction->{how});
			my $outcome
			  = $transaction->{how} eq 'savepoint' && $i > 0 ? 'rolled back'
			  : $promise eq 'rolled back'                    ? 'rolled back'
			  : $done{$tx}                                   ? 'committed'
			  :                                                'unknown';
			$messages[$i]{outcome} = $outcome;
			$self->{outcomes}{$outcome}++;
		}
	}
	$self->{planned} = \@left;
	return scalar @left;
}

# The id that the function returned; the same for both calls with one key.
sub _note_id
{
	my ($self, $marker, $id) = @_;
	my $message = $self->{messages}{$marker} or die "unknown marker \"$marker\"";

	push @{ $self->{complaints} }, "$marker: two ids for one idempotency key"
	  if defined $message->{id} && $message->{id} != $id;
	$message->{id} = $id;
	return;
}

# A person, who is called by the number, may be written to by this, too.
sub knows
{
	my ($self, $person, $form) = @_;

	push @{ $self->{forms}{$person} }, $form;
	$self->{person}{$form} = $person;
	return;
}

sub person_of
{
	my ($self, $form) = @_;
	return $self->{person}{$form} // $form;
}

# Ids of messages whose COMMIT has returned.
sub committed_ids
{
	my ($self) = @_;
	return map { $_->{id} }
	  grep     { $_->{outcome} eq 'committed' && defined $_->{id} }
	  map      { $self->{messages}{$_} } sort keys %{ $self->{messages} };
}

sub DESTROY
{
	my ($self) = @_;
	local ($?, $!, $@);

	foreach my $pid (keys %{ $self->{running} })
	{
		kill('KILL', $pid);
		waitpid($pid, 0);
	}
	return;
}

1;
