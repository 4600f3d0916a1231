# A history: an application writes messages, a sender sends them, everything
# around them goes wrong in an order that a seed decides, and in the end what
# the tables say is compared with what the simulator saw.
#
# The schedule depends on the seed alone; what meets what within a step does
# not, so a failing seed may have to be run a few times.
#
# The grace of uncertain messages is endless here and ends by hand: first every
# webhook is delivered, then the clock of the waiting rows is put forward.  So
# whoever sends a message again that had arrived does so against the evidence,
# and the only duplicates to be forgiven are those of messages with the policy
# "resend".
package WaHistory;

use strict;
use warnings;

use File::Basename qw(dirname);
use File::Spec;

use lib dirname(__FILE__), File::Spec->catdir(dirname(__FILE__), '..', 'lib'),
  File::Spec->catdir(dirname(__FILE__), '..', 't', 'lib');

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils ();
use Time::HiRes             qw(sleep time);
use WaHistory::Application;
use WaHistory::Faults;
use WaHistory::Random;
use WaHistory::Verdict;
use WaHistory::Webhooks;
use WaSimulator;
use WaTest qw(new_node create_extension sender_pids set_and_reload);

my $tenants = 8;
my $numbers = 12;

# What happens to processes and settings.  Faults of the network come on top.
my @events = qw(
  sigterm kill9 restart_immediate restart_fast worker_restart senders token_expires
  reassign pause pause cancel cancel grace grace_without_webhooks switch retry
);

# Runs one history.  Returns a hash: seed, problems (a list of sentences, empty
# if all is well) and summary (a sentence).
sub run
{
	my (%options) = @_;
	my $seed = $options{seed};
	my $self = bless {
		random => WaHistory::Random->new($seed),
		decks => {},
		cancelled => {},
		token => 'SIMULATOR_TOKEN',
		tokens => 0,
		happened => {}
	  },
	  __PACKAGE__;
	my $started = time;

	$self->_set_up($seed);
	my $steps = $options{steps};
	foreach my $step (1 .. $steps)
	{
		$self->{application}->plan(int($options{messages} / $steps));
		$self->_step;
	}
	$self->_settle;
	my @problems = WaHistory::Verdict::problems($self);
	my %outcomes = %{ $self->{application}{outcomes} };
	my $stats = $self->{simulator}->stats;
	$self->{node}->stop('immediate');
	return {
		seed => $seed,
		problems => \@problems,
		summary => sprintf(
			'seed %d: %d messages committed, %d rolled back, %d unknown; %d requests, %d accepted, '
			  . '%d statuses; %s; %.0f s',
			$seed,
			@outcomes{ 'committed', 'rolled back', 'unknown' },
			$stats->{send_requests},
			$stats->{accepted},
			$self->{webhooks}{ingested},
			join(', ', map { "$_ $self->{happened}{$_}" } sort keys %{ $self->{happened} }),
			time - $started)
	};
}

sub _set_up
{
	my ($self, $seed) = @_;

	$self->{simulator} = WaSimulator->start(
		'--numbers' => $numbers,
		'--seed' => $seed,
		'--accept-any-template',
		'--delay-ms' => 10,
		'--delay-jitter-ms' => 60,
		'--webhook-pull',
		'--webhook-batch' => 5,
		'--webhook-fail-percent' => 3,
		'--webhook-sent-ms' => 5,
		'--webhook-delivered-ms' => 5,
		'--webhook-read-ms' => 5,
		'--webhook-repeat-percent' => 5,
		'--webhook-reorder-percent' => 20);
	my $dir = PostgreSQL::Test::Utils::tempdir();
	$self->{token_file} = File::Spec->catfile($dir, 'token');
	$self->_write_token;
	my $node = $self->{node} = new_node(
		"history_$seed",
		'restart_after_crash = on',
		'max_prepared_transactions = 20',
		'whatsapp_shared.enabled = on',
		"whatsapp_shared.access_token_file = '$self->{token_file}'",
		"whatsapp_shared.app_secret = 'SIMULATOR_APP_SECRET'",
		"whatsapp_shared.graph_url = '" . $self->{simulator}->url . "'",
		"whatsapp_shared.connect_timeout = '1s'",
		"whatsapp_shared.request_timeout = '2s'",
		"whatsapp_shared.retry_delay = '50ms'",
		"whatsapp_shared.retry_max_delay = '500ms'",
		'whatsapp_shared.max_attempts = 1000',
		"whatsapp_shared.uncertain_grace = '7d'",
		'whatsapp_shared.messages_per_second = 1000',
		"whatsapp_shared.pair_interval = '100ms'",
		'whatsapp_shared.sync_interval = 0',
		'whatsapp_shared.max_in_flight = ' . $self->{random}->pick(16, 100, 1000));
	create_extension($node, 'postgres');
	$self->_sql(<<SQL);
SELECT wa_register_template('aviso', 'es', '[{"type": "BODY", "text": "Aviso: {{1}}."}]');
SELECT wa_assign_phone('t' || i, (100000000000000 + i)::text) FROM generate_series(1, $tenants) AS i
SQL
	my %shared = (node => $node, random => $self->{random});
	$self->{application}
	  = WaHistory::Application->new(%shared, seed => $seed, tenants => $tenants, dir => $dir);
	$self->{webhooks} = WaHistory::Webhooks->new(%shared, simulator => $self->{simulator});
	return;
}

# ---- one step ----------------------------------------------------------------

sub _step
{
	my ($self) = @_;
	my ($random, $simulator) = @$self{qw(random simulator)};
	my %kinds
	  = map { $self->_deal('faults', WaHistory::Faults::kinds()) => 1 } 1 .. $random->between(0, 4);
	my @kinds = sort keys %kinds;

	$simulator->faults(map { WaHistory::Faults::rule($random, $_) } @kinds);
	$self->{happened}{$_}++ foreach @kinds;

	my $before = $simulator->stats->{send_requests};
	$self->{application}->start;
	# Some events want requests on the wire, others want commits under way.
	$self->_wait_for_requests($before + $random->below(40), 2);
	my $event = $self->_deal('events', @events);
	$self->{happened}{$event}++;
	$self->can("_event_$event")->($self);

	while ($self->{application}->finish > 0)
	{
		$self->_wait_for_server;
		$self->{application}->start;
	}
	$self->_wait_for_requests($before + 100, 2);
	$self->{webhooks}->deliver_some;
	return;
}

# As from a deck of cards, so that each comes before any comes again.
sub _deal
{
	my ($self, $name, @cards) = @_;
	my $deck = $self->{decks}{$name} //= [];

	@$deck = $self->{random}->shuffle(@cards) unless @$deck;
	return shift @$deck;
}

# Until so many requests have been made since the start, or the time is over.
sub _wait_for_requests
{
	my ($self, $count, $limit) = @_;
	my $deadline = time + $limit;

	while ($self->{simulator}->stats->{send_requests} < $count && time < $deadline)
	{
		sleep(0.02);
	}
	return;
}

sub _wait_for_server
{
	my ($self) = @_;
	$self->{node}->poll_query_until('postgres', 'SELECT 1', '1')
	  or die 'the server does not come back';
	return;
}

# A statement of the test's own.  The server may just be restarting.
sub _sql
{
	my ($self, $sql) = @_;

	foreach (1 .. 100)
	{
		my ($status, $out, $error) = $self->{node}->psql('postgres', $sql);
		return $out            if $status == 0;
		die "\"$sql\": $error" if $error =~ /ERROR:/ && $status != 2;
		$self->_wait_for_server;
	}
	die "\"$sql\" does not succeed";
}

# ---- events ------------------------------------------------------------------

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

# Meta refuses the token; later the operator brings a new one.
sub _event_token_expires
{
	my ($self) = @_;
	my $old = $self->{token};

	$self->{token} = 'ROTATED_' . ++$self->{tokens};
	$self->{simulator}->config(token => $self->{token}, expired_token => $old);
	$self->_wait_for_requests($self->{simulator}->stats->{send_requests} + 5, 1);
	$self->_write_token;
	$self->{node}->reload;
	return $self->_sql("SELECT wa_resume('account', '')");
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
		return $self->_sql(
			"SELECT wa_unassign_phone('$one'); SELECT wa_assign_phone('$one', '$free')");
	}
	my %number = split(/[|\n]/, $self->_sql(<<SQL));
SELECT tenant_id, phone_number_id FROM whatsapp_phone_assignments
WHERE tenant_id IN ('$one', '$other') AND unassigned_at IS NULL
SQL
	return $self->_sql(<<SQL);
BEGIN;
SELECT wa_unassign_phone('$one');
SELECT wa_unassign_phone('$other');
SELECT wa_assign_phone('$one', '$number{$other}');
SELECT wa_assign_phone('$other', '$number{$one}');
COMMIT
SQL
}

# Something is paused until the next step or the end of the history.
sub _event_pause
{
	my ($self) = @_;
	my $random = $self->{random};
	my ($scope, $key) = @{
		$random->pick(
			[ 'account', '' ],
			[ 'tenant', 't' . $random->between(1, $tenants) ],
			[ 'number', 100000000000000 + $random->between(1, $tenants) ],
			[ 'template', 'aviso' ])
	};

	$self->_sql('SELECT wa_resume(scope, key) FROM whatsapp_pauses');
	$self->_sql("SELECT wa_pause('$scope', '$key', 'history')");
	$self->_wait_for_requests($self->{simulator}->stats->{send_requests} + 20, 0.5);
	$self->_sql("SELECT wa_resume('$scope', '$key')") if $random->percent(70);
	return;
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
		my ($status, $out) = $self->{node}->psql('postgres', "SELECT wa_cancel_message($id)");
		$self->{cancelled}{$id} = 1 if $status == 0 && $out eq 't';
	}
	return;
}

# The grace is over for what is uncertain now, and every webhook has come.
sub _event_grace
{
	my ($self) = @_;
	my @ids = $self->_uncertain('true');

	$self->{webhooks}->deliver_all;
	return $self->_end_grace(@ids);
}

# The same before any webhook, for those whose policy takes that risk.
sub _event_grace_without_webhooks
{
	my ($self) = @_;
	return $self->_end_grace($self->_uncertain("on_uncertain = 'resend'"));
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
	return $self->_sql(<<SQL);
SELECT wa_retry_message(id) FROM whatsapp_messages
WHERE status = 'failed' AND error_code = $WaHistory::Faults::permanent_code
    AND whatsapp_message_id IS NULL
SQL
}

# ---- the end -----------------------------------------------------------------

# Everything is mended, and the queue is worked off.
sub _settle
{
	my ($self) = @_;
	my $simulator = $self->{simulator};

	$simulator->faults;
	$simulator->release;
	$self->_write_token;
	set_and_reload($self->{node}, enabled => undef);
	$self->_sql('SELECT wa_resume(scope, key) FROM whatsapp_pauses');
	foreach my $name (split(/\n/, $self->_sql('SELECT gid FROM pg_prepared_xacts')))
	{
		$self->_sql(($self->{random}->percent(50) ? 'COMMIT' : 'ROLLBACK') . " PREPARED '$name'");
	}
	# A new sender has no throttle in its memory, which could outlast the test.
	$self->_sql('SELECT wa_worker_restart()');
	$self->_work_off;

	# Who parked asks a person; the person looks, and sends what had not arrived.
	$self->_sql(<<'SQL');
SELECT wa_resolve_message(message_id, 'resend') FROM whatsapp_queue WHERE state = 'u'
SQL
	$self->_work_off;
	return;
}

# Until nothing is left but what is parked.  Deferred messages become due now.
sub _work_off
{
	my ($self) = @_;
	my $deadline = time + 120;

	while (time < $deadline)
	{
		$self->_event_grace;
		$self->_sql(<<'SQL');
BEGIN;
UPDATE whatsapp_queue SET due_at = now() WHERE state = 'd' AND due_at > now();
SELECT wa_internal_wake_due(now());
COMMIT
SQL
		my $left = $self->_sql(<<'SQL');
SELECT count(*) FROM whatsapp_queue WHERE state <> 'u' OR due_at < 'infinity'
SQL
		last if $left == 0 && $self->_sql('SELECT count(*) FROM whatsapp_leases') == 0;
		sleep(0.1);
	}
	$self->{webhooks}->deliver_all;
	return;
}

1;
