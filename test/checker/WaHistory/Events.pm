# What happens to processes, settings and messages in a history.  Each event
# returns how much it has met, unless WaHistory counts what was on the wire.
package WaHistory;

use strict;
use warnings;

use Time::HiRes qw(sleep time);
use WaHistory::Failover;
use WaHistory::Faults;
use WaTest qw(sender_pids set_and_reload wait_for_senders);

our ($tenants, $numbers);

sub _event_sigterm
{
	my ($self) = @_;
	kill('TERM', sender_pids($self->{node}, 'postgres'));
	return;
}

# The postmaster then ends every session and recovers.
sub _event_kill9
{
	my ($self) = @_;
	my @pids = sender_pids($self->{node}, 'postgres');

	kill('KILL', $self->{random}->pick(@pids)) if @pids;
	return $self->_wait_for_server;
}

sub _event_restart_immediate
{
	my ($self) = @_;
	$self->{node}->stop('immediate');
	return $self->{node}->start;
}

sub _event_restart_fast
{
	my ($self) = @_;
	$self->{node}->stop('fast');
	return $self->{node}->start;
}

sub _event_worker_restart
{
	my ($self) = @_;
	return $self->_sql('SELECT wa_worker_restart()');
}

sub _event_senders
{
	my ($self) = @_;
	return set_and_reload($self->{node}, senders => $self->{random}->between(1, 3));
}

# A standby comes up while messages flow, and takes over when the primary dies.
sub _event_failover
{
	my ($self) = @_;
	my $standby
	  = WaHistory::Failover::standby($self->{node}, $self->{node}->name . '_' . ++$self->{failovers});

	$self->_wait_for_requests($self->{simulator}->stats->{send_requests} + 20, 1);
	WaHistory::Failover::promote($self->{node}, $standby);
	$_->{node} = $standby foreach $self, @$self{qw(application webhooks)};
	return;
}

# The same with a standby that has not received the last commits, as when nobody
# waits for it: what they wrote is lost, and what was sent of it is not.
sub _event_lagging_failover
{
	my ($self) = @_;
	my $random = $self->{random};
	my $standby
	  = WaHistory::Failover::lagging($self->{node}, $self->{node}->name . '_' . ++$self->{failovers});
	my $tenant = $random->between(1, $tenants);
	my $first = $random->pick(
		undef,
		"SELECT wa_pause('tenant', 't$tenant', 'failover')",
		"SELECT wa_pause('number', '" . (100000000000000 + $tenant) . "', 'failover')");

	$self->{lossy}{ $self->{application}{wave} } = 1;
	# New senders also find what was prepared and is committed, of which nobody tells them.
	if ($random->percent(50))
	{
		$self->_wait_for_requests($self->{simulator}->stats->{send_requests} + 20, 1);
		$self->_sql('SELECT wa_worker_restart()');
		wait_for_senders($self->{node}, 'postgres', $self->_sql('SHOW whatsapp_shared.senders'));
		$self->_wait_for_requests($self->{simulator}->stats->{send_requests} + 20, 1);
	}
	$self->_wait_for_requests($self->{simulator}->stats->{send_requests} + 20, 1);
	WaHistory::Failover::promote($self->{node}, $standby, $first);
	$_->{node} = $standby foreach $self, @$self{qw(application webhooks)};
	return;
}

# Whoever answers dies with everything that is under way, and is back after a moment.
sub _event_peer_restarts
{
	my ($self) = @_;

	$self->{relay}->stop;
	sleep($self->{random}->between(20, 600) / 1000);
	return $self->{relay}->resume;
}

# Somebody looks at messages, or wants to cancel them, and does not end the transaction.
sub _event_locked_rows
{
	my ($self) = @_;
	my @ids = split(/\n/, $self->_sql(<<'SQL'));
(SELECT unnest(message_ids) FROM whatsapp_leases LIMIT 10)
UNION (SELECT message_id FROM whatsapp_queue ORDER BY message_id DESC LIMIT 20)
ORDER BY 1
SQL
	my $list = join(',', @ids) or return 0;
	my $lock = $self->{random}->pick(
		"SELECT id FROM whatsapp_messages WHERE id IN ($list) ORDER BY id FOR UPDATE",
		"SELECT message_id FROM whatsapp_queue WHERE message_id IN ($list) ORDER BY 1 FOR UPDATE",
		"SELECT wa_cancel_message(id) FROM unnest(ARRAY[$list]) AS id");
	my $code = sub { $self->_sql("BEGIN; $lock; SELECT pg_sleep(1.5); ROLLBACK") };

	foreach my $id (@ids)
	{
		my $inner = $code;
		$code = sub { $self->_locking($id, $inner) };
	}
	$code->();
	return scalar @ids;
}

# A person wants nothing more of a tenant, until the next step.
sub _event_opt_out
{
	my ($self) = @_;
	my ($tenant, $form) = split(/\|/, $self->_wait_for(sub { $self->_sql(<<'SQL') }) // '');
SELECT tenant_id, COALESCE(recipient_phone, recipient_user_id)
FROM whatsapp_queue JOIN whatsapp_messages ON id = message_id
WHERE state <> 'u' GROUP BY 1, 2 ORDER BY count(*) DESC LIMIT 1
SQL

	return 0 unless defined $form;
	return $self->_opt_out($tenant, $form);
}

sub _opt_out
{
	my ($self, $tenant, $form) = @_;

	$self->_sql("SELECT wa_opt_out('$tenant', '$form', 'all')");
	push @{ $self->{opt_outs} },
	  {
		tenant => $tenant,
		recipient => $self->{application}->person_of($form),
		form => $form,
		from => time,
		to => 9e15
	  };
	return 1;
}

# Somebody to whom messages wait gets another user id, of which Meta tells, and opts out
# by that.  From the next step on the application writes to him by all that is known.
# Returns how many messages to his other forms waited.
sub _event_identity
{
	my ($self) = @_;
	my $application = $self->{application};
	# What waits for the person now; some of it may leave while Meta tells.
	my ($tenant, $waiting, $count) = split(/\|/, $self->_wait_for(sub { $self->_sql(<<'SQL') }) // '');
SELECT tenant_id, COALESCE(recipient_phone, recipient_user_id), count(*)
FROM whatsapp_queue JOIN whatsapp_messages ON id = message_id
WHERE state <> 'u' GROUP BY 1, 2 ORDER BY count(*) DESC LIMIT 1
SQL

	return 0 unless defined $waiting;
	my $person = $application->person_of($waiting);
	my (undef, $form) = $self->{simulator}->identity(
		number => '10000000000000' . substr($tenant, 1),
		user => $person,
		shape => $self->{random}->pick('user_id', 'user_id_update'),
		user_id => 'ES.' . (9_000_000 + ++$self->{identities}));
	$self->{webhooks}->deliver_all;
	die "$person is not known as $form"
	  unless $self->_sql(<<SQL) eq 't';
SELECT count(DISTINCT contact_id) = 1 AND count(*) = 2 FROM whatsapp_contact_identities WHERE identity IN ('$person', '$form')
SQL
	$application->knows($person, $form);
	$self->{told}{$form} = $application->{wave};
	$self->_opt_out($tenant, $form);
	return $count;
}

sub _opt_in
{
	my ($self) = @_;

	foreach my $person (grep { $_->{to} > 8e15 } @{ $self->{opt_outs} })
	{
		$person->{to} = time;
		$self->_sql("SELECT wa_opt_in('$person->{tenant}', '$person->{form}', 'all')");
	}
	return;
}

# Meta refuses the token; later the operator brings a new one.
sub _event_token_expires
{
	my ($self) = @_;
	my $simulator = $self->{simulator};
	my $old = $self->{token};
	my $refused = sub { $simulator->stats->{refused_by_code}{190} // 0 };
	my $before = $refused->();

	$self->{token} = 'ROTATED_' . ++$self->{tokens};
	$self->{simulator}->config(token => $self->{token}, expired_token => $old);
	$self->_wait_for_requests($self->{simulator}->stats->{send_requests} + 5, 1);
	$self->_write_token;
	$self->{node}->reload;
	$self->_sql("SELECT wa_resume('account', '')");
	return $refused->() - $before;
}

sub _write_token
{
	my ($self) = @_;
	my $new = "$self->{token_file}.new";

	open(my $out, '>', $new) or die "could not write $new: $!";
	chmod(0600, $new);
	print $out "$self->{token}\n";
	close($out);
	return rename($new, $self->{token_file});
}

# Two tenants exchange their numbers, or one gets a number that nobody has.
sub _event_reassign
{
	my ($self) = @_;
	my ($one, $other) = map { "t$_" } $self->{random}->shuffle(1 .. $tenants);

	if ($self->{random}->percent(50))
	{
		my $free = $self->_sql(<<SQL);
SELECT (100000000000000 + i)::text FROM generate_series(1, $numbers) AS i
WHERE NOT EXISTS (SELECT FROM whatsapp_phone_assignments
                  WHERE phone_number_id = (100000000000000 + i)::text AND unassigned_at IS NULL)
ORDER BY random() LIMIT 1
SQL
		return $self->_reassign(
			"SELECT wa_unassign_phone('$one'); SELECT wa_assign_phone('$one', '$free')", $one);
	}
	my %number = split(/[|\n]/, $self->_sql(<<SQL));
SELECT tenant_id, phone_number_id FROM whatsapp_phone_assignments
WHERE tenant_id IN ('$one', '$other') AND unassigned_at IS NULL
SQL
	return $self->_reassign(<<SQL, $one, $other);
BEGIN;
SELECT wa_unassign_phone('$one');
SELECT wa_unassign_phone('$other');
SELECT wa_assign_phone('$one', '$number{$other}');
SELECT wa_assign_phone('$other', '$number{$one}');
COMMIT
SQL
}

# Returns how many messages were waiting.
sub _reassign
{
	my ($self, $sql, @tenants) = @_;
	my $list = join(',', map { "'$_'" } @tenants);
	my $waiting = $self->_sql(<<SQL);
SELECT count(*) FROM whatsapp_queue JOIN whatsapp_messages ON id = message_id WHERE tenant_id IN ($list)
SQL
	my $code = sub { $self->_sql($sql) };

	foreach my $tenant (@tenants)
	{
		my $inner = $code;
		$code = sub { $self->_locking($tenant, $inner) };
	}
	$code->();
	return $waiting;
}

# Something is paused, until the next step if not for a moment only.  Returns how
# many messages waited meanwhile.
sub _event_pause
{
	my ($self) = @_;
	my $random = $self->{random};
	my ($scope, $key, $condition) = @{
		$random->pick(
			[ 'account', '' ],
			[ 'tenant', 't' . $random->between(1, $tenants), 'tenant_id' ],
			[ 'number', 100000000000000 + $random->between(1, $tenants), 'q.phone_number_id' ],
			[ 'template', 'aviso' ])
	};

	$self->_sql("SELECT wa_pause('$scope', '$key', 'history')");
	$self->_wait_for_requests($self->{simulator}->stats->{send_requests} + 20, 0.5);
	my $waiting = $self->_sql('SELECT count(*) FROM whatsapp_queue AS q JOIN whatsapp_messages ON id = message_id'
		  . (defined $condition ? " WHERE $condition = '$key'" : ''));
	$self->_resume_all if $random->percent(70);
	return $waiting;
}

sub _resume_all
{
	my ($self) = @_;
	return $self->_locking('all', sub { $self->_sql('SELECT wa_resume(scope, key) FROM whatsapp_pauses') });
}

# True is a promise that the message will not be sent.  Those on the wire are
# asked for, too, where it must not be given.
sub _event_cancel
{
	my ($self) = @_;
	my @ids = split(/\n/, $self->_sql(<<'SQL'));
(SELECT unnest(message_ids) FROM whatsapp_leases LIMIT 20)
UNION (SELECT message_id FROM whatsapp_queue WHERE state <> 'u' ORDER BY message_id DESC LIMIT 20)
ORDER BY 1
SQL

	foreach my $id ($self->{random}->shuffle(@ids))
	{
		my ($status, $out)
		  = $self->_locking($id, sub { [ $self->{node}->psql('postgres', "SELECT wa_cancel_message($id)") ] })->@*;
		$self->{cancelled}{$id} = 1 if $status == 0 && $out eq 't';
	}
	return scalar @ids;
}

# The grace is over for what is uncertain now, and every webhook has come.
sub _event_grace
{
	my ($self) = @_;
	my @ids = $self->_wait_for(sub { $self->_uncertain('true') });

	return $self->_grace_ends(@ids);
}

sub _grace_ends
{
	my ($self, @ids) = @_;

	$self->{webhooks}->deliver_all;
	$self->_end_grace(@ids);
	return scalar @ids;
}

# The same before any webhook, for those whose policy takes that risk.
sub _event_grace_without_webhooks
{
	my ($self) = @_;
	my @ids = $self->_wait_for(sub { $self->_uncertain("on_uncertain = 'resend'") });

	$self->_end_grace(@ids);
	return scalar @ids;
}

sub _uncertain
{
	my ($self, $condition) = @_;
	return split(/\n/, $self->_sql(<<SQL));
SELECT message_id FROM whatsapp_queue JOIN whatsapp_messages ON id = message_id
WHERE state = 'u' AND due_at < 'infinity' AND $condition
SQL
}

sub _end_grace
{
	my ($self, @ids) = @_;
	my $list = join(',', @ids) or return;

	return $self->_sql(<<SQL);
BEGIN;
UPDATE whatsapp_queue SET due_at = now() WHERE state = 'u' AND message_id IN ($list);
UPDATE whatsapp_attempts SET started_at = started_at - interval '8 days', ended_at = ended_at - interval '8 days'
WHERE message_id IN ($list);
SELECT wa_internal_wake_due(now());
COMMIT
SQL
}

sub _event_switch
{
	my ($self) = @_;

	set_and_reload($self->{node}, enabled => 'off');
	$self->{webhooks}->deliver_some;
	return set_and_reload($self->{node}, enabled => undef);
}

# What Meta refused for good is tried again; what was not known is not.
sub _event_retry
{
	my ($self) = @_;
	my @ids = $self->_wait_for(sub { split(/\n/, $self->_sql(<<SQL)) });
WITH refused AS MATERIALIZED (
    SELECT id FROM whatsapp_messages
    WHERE status = 'failed' AND error_code = $WaHistory::Faults::permanent_code
        AND whatsapp_message_id IS NULL)
SELECT id FROM refused WHERE wa_retry_message(id)
SQL
	$self->{put_back}{$_} = 1 foreach @ids;
	return scalar @ids;
}

# Messages of some kind, of which the faults of the step see to it that there are any.
sub _wait_for
{
	my ($self, $find) = @_;
	my $deadline = time + 10;
	my @found;

	sleep(0.05) until (@found = grep { $_ ne '' } $find->()) || time > $deadline;
	return wantarray ? @found : $found[0];
}

1;
