# A history: an application writes messages, a sender sends them, everything
# around them goes wrong in an order that a seed decides, and in the end what
# the tables say is compared with what the simulator saw.
#
# The schedule depends on the seed alone; what meets what within a step does
# not, so a failing seed may have to be run a few times.
#
# In most histories the grace of uncertain messages is endless and ends by hand:
# first every webhook is delivered, then the clock of the waiting rows is put
# forward.  So whoever sends a message again that had arrived does so against the
# evidence, and the only duplicates to be forgiven are those of messages with the
# policy "resend".  In the others it is short, and ends while webhooks are
# late or do not come for want of a receiver: that forgives no others.
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
use WaHistory::Events;
use WaHistory::Failover;
use WaHistory::Faults;
use WaHistory::Hits;
use WaHistory::Random;
use WaHistory::Verdict;
use WaHistory::Webhooks;
use WaRelay;
use WaSimulator;
use WaTest qw(new_node create_extension set_and_reload);

our $tenants = 8;
our $numbers = 12;

# What happens to processes and settings.  Faults of the network come on top.
my @events = qw(
  sigterm kill9 restart_immediate restart_fast worker_restart failover senders token_expires
  reassign pause pause cancel cancel grace grace_without_webhooks switch retry
  peer_restarts locked_rows opt_out lagging_failover identity
);

# With every request on the wire when it strikes; the others count what they met.
my %strikes = map { $_ => 1 }
  qw(sigterm kill9 restart_immediate restart_fast worker_restart failover senders switch
  peer_restarts lagging_failover);

# What an event needs to meet something: that kind of fault, more often than otherwise.
my %needs = (
	retry => 'permanent',
	grace => 'received',
	grace_without_webhooks => 'received');

# Every other response that no fault changes takes its time until the event is over: on a slow
# machine all would be sent before the event looks for something.
my %late = (name => 'late', match => { every => 2 }, delay_ms => 800);

# The kinds of fault of which each history has some.
sub kinds
{
	my %kinds = map { $_ => 1 } @events;
	return (
		WaHistory::Faults::kinds(), sort keys %kinds,
		'status late', 'status repeated', 'status reordered');
}

# Runs one history.  Returns a hash: seed, problems (a list of sentences, empty
# if all is well), summary (a sentence), steps (a line for each) and hits (WaHistory::Hits).
sub run
{
	my (%options) = @_;
	my $seed = $options{seed};
	my $self = bless {
		random => WaHistory::Random->new($seed),
		choice => WaHistory::Random->new($seed),
		decks => {},
		cancelled => {},
		token => 'SIMULATOR_TOKEN',
		tokens => 0,
		failovers => 0,
		hits => WaHistory::Hits->new,
		# Rows that others had locked: what (an id, a tenant or "all"), from, to.
		locks => [],
		# Messages that a person has put back into the queue.
		put_back => {},
		# Who wants no messages: tenant, recipient, form (in which he said so), from, to.
		opt_outs => [],
		# Since which wave of the application a form of a recipient's address is known.
		told => {},
		# Waves of the application of which a failover may have lost some.
		lossy => {}
	  },
	  __PACKAGE__;
	my $started = $self->{started} = time;

	# The server may not wait for its WAL; whoever checks its promises must.
	local $ENV{PGOPTIONS} = '-c synchronous_commit=on';
	$self->_set_up($seed);
	my $steps = $options{steps};
	foreach my $step (1 .. $steps)
	{
		$self->{application}->plan(int($options{messages} / $steps));
		$self->_step;
	}
	$self->_settle;
	my @problems = (@{ $self->{problems} // [] }, WaHistory::Verdict::problems($self));
	my %outcomes = %{ $self->{application}{outcomes} };
	my $stats = $self->{simulator}->stats;
	$self->{node}->stop('immediate');
	return {
		seed => $seed,
		problems => \@problems,
		summary => sprintf(
			'seed %d: %d messages committed, %d rolled back, %d unknown; %d requests, %d accepted, '
			  . '%d statuses, %d pairs in order; %.0f s',
			$seed,
			@outcomes{ 'committed', 'rolled back', 'unknown' },
			$stats->{send_requests},
			$stats->{accepted},
			$self->{webhooks}{ingested},
			$self->{pairs_in_order},
			time - $started),
		steps => $self->{steps},
		hits => $self->{hits}
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
	$self->{relay} = WaRelay->start(port => $self->{simulator}->port);
	my $dir = PostgreSQL::Test::Utils::tempdir();
	$self->{token_file} = File::Spec->catfile($dir, 'token');
	$self->_write_token;
	my $grace = $self->{random}->pick('7d', '7d', '3s');
	my $node = $self->{node} = new_node(
		"history_$seed",
		WaHistory::Failover::settings(),
		'synchronous_commit = ' . $self->{random}->pick('on', 'off'),
		'restart_after_crash = on',
		'max_prepared_transactions = 20',
		'whatsapp_shared.enabled = on',
		"whatsapp_shared.access_token_file = '$self->{token_file}'",
		"whatsapp_shared.app_secret = 'SIMULATOR_APP_SECRET'",
		"whatsapp_shared.graph_url = 'http://127.0.0.1:" . $self->{relay}->port . "'",
		"whatsapp_shared.connect_timeout = '1s'",
		"whatsapp_shared.request_timeout = '2s'",
		"whatsapp_shared.retry_delay = '50ms'",
		"whatsapp_shared.retry_max_delay = '1s'",
		'whatsapp_shared.max_attempts = 1000',
		"whatsapp_shared.uncertain_grace = '$grace'",
		"whatsapp_shared.takeover_grace = '$grace'",
		'whatsapp_shared.messages_per_second = 1000',
		"whatsapp_shared.pair_interval = '100ms'",
		'whatsapp_shared.pair_burst = ' . $self->{random}->pick(3, 45),
		'whatsapp_shared.sync_interval = 0',
		'whatsapp_shared.max_in_flight = ' . $self->{random}->pick(16, 100, 1000));
	WaHistory::Failover::prepare($node);
	create_extension($node, 'postgres');
	$self->_sql(<<SQL);
SELECT wa_register_template('aviso', 'es', '[{"type": "BODY", "text": "Aviso: {{1}}."}]');
SELECT wa_assign_phone('t' || i, (100000000000000 + i)::text) FROM generate_series(1, $tenants) AS i
SQL
	my %shared = (node => $node, random => $self->{random}, hits => $self->{hits});
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
	my ($event, @kinds) = $self->_choose;
	my $needed = $needs{$event} // '';
	my @rules = map { WaHistory::Faults::rule($random, $_) } @kinds;
	$_->{match}{probability} = 0.25 foreach grep { $_->{name} eq $needed } @rules;

	$self->_set_faults(@rules, \%late);

	$self->_resume_all;
	$self->_opt_in;
	my $before = $simulator->stats->{send_requests};
	$self->{application}->start;
	# Some events want requests on the wire, others want commits under way.
	$self->_wait_for_requests($before + $random->below(40), 2);
	my $on_wire = $strikes{$event} ? $self->_on_the_wire : 0;
	my $met = $self->can("_event_$event")->($self);
	$met = $on_wire if $strikes{$event};
	$self->{hits}->add($event, $met);
	$self->_set_faults(@rules);
	push @{ $self->{steps} },
	  sprintf('%.1f s: %s met %d; faults: %s', time - $self->{started}, $event, $met, join(', ', @kinds));

	while ($self->{application}->finish > 0)
	{
		$self->_wait_for_server;
		$self->{application}->start;
	}
	$self->_wait_for_requests($before + 100, 2);
	$self->{webhooks}->deliver_some;
	return;
}

# An event and kinds of fault.  What a seed chooses does not depend on what happens.
sub _choose
{
	my ($self) = @_;
	my $event = $self->_deal('events', @events);
	my %kinds = map { $self->_deal('faults', WaHistory::Faults::kinds()) => 1 }
	  1 .. $self->{choice}->between(0, 4);

	$kinds{ $needs{$event} } = 1 if exists $needs{$event};
	return ($event, sort keys %kinds);
}

# The kinds that a history of this seed and so many steps has, without running it.
sub chosen
{
	my ($seed, $steps) = @_;
	my $self = bless { choice => WaHistory::Random->new($seed), decks => {} }, __PACKAGE__;
	my %chosen = map { $_ => 1 } map { $self->_choose } 1 .. $steps;

	return sort keys %chosen;
}

# As from a deck of cards, so that each comes before any comes again.
sub _deal
{
	my ($self, $name, @cards) = @_;
	my $deck = $self->{decks}{$name} //= [];

	@$deck = $self->{choice}->shuffle(@cards) unless @$deck;
	return shift @$deck;
}

# New rules for the simulator; those before have met so many requests.
sub _set_faults
{
	my ($self, @rules) = @_;

	$self->{hits}->add($_->{name}, $_->{applied}) foreach $self->{simulator}->fault_counts;
	return $self->{simulator}->faults(@rules);
}

# How many requests are on the wire; waits until there are some.
sub _on_the_wire
{
	my ($self) = @_;
	my $deadline = time + 10;
	my $count = 0;

	until ($count > 0 || time > $deadline)
	{
		$count = $self->_sql('SELECT COALESCE(sum(cardinality(message_ids)), 0) FROM whatsapp_leases');
		sleep(0.01) unless $count;
	}
	return $count;
}

# Runs a piece of the test that locks the rows of a message, a tenant or all.
sub _locking
{
	my ($self, $what, $code) = @_;
	my $lock = { what => $what, from => time, to => 9e15 };

	push @{ $self->{locks} }, $lock;
	my $result = $code->();
	$lock->{to} = time;
	return $result;
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

# ---- the end -----------------------------------------------------------------

# Everything is mended, and the queue is worked off.
sub _settle
{
	my ($self) = @_;
	my $simulator = $self->{simulator};

	$self->_set_faults;
	$self->_opt_in;
	$simulator->release;
	$self->_write_token;
	set_and_reload($self->{node}, enabled => undef);
	$self->_resume_all;
	foreach my $name (split(/\n/, $self->_sql('SELECT gid FROM pg_prepared_xacts')))
	{
		$self->_sql(($self->{random}->percent(50) ? 'COMMIT' : 'ROLLBACK') . " PREPARED '$name'");
	}
	# What is ready goes by itself; a new sender would find it, and hide that
	# the old one had forgotten it.
	$self->_wait_while_ready;
	# A new sender has no throttle in its memory, which could outlast the test.
	$self->_sql('SELECT wa_worker_restart()');
	$self->_work_off;

	# Who parked asks a person; the person looks, and sends what had not arrived.
	$self->_sql(<<'SQL');
SELECT wa_resolve_message(message_id, 'resend') FROM whatsapp_queue WHERE state = 'u' AND due_at = 'infinity'
SQL
	$self->_work_off;
	return;
}

# Until nothing is ready any more: the slow sweep at thirty seconds included.
sub _wait_while_ready
{
	my ($self) = @_;
	my $deadline = time + 60;

	while (my $left = $self->_sql("SELECT string_agg(message_id::text, ', ') FROM whatsapp_queue WHERE state = 'r'"))
	{
		if (time > $deadline)
		{
			push @{ $self->{problems} }, "ready for a minute, and nobody sends it: $left";
			last;
		}
		sleep(0.1);
	}
	return;
}

# Until nothing is left but what is parked.  Deferred messages become due now.
sub _work_off
{
	my ($self) = @_;
	my $deadline = time + 120;

	while (1)
	{
		$self->_grace_ends($self->_uncertain('true'));
		$self->_locking('all', sub { $self->_sql(<<'SQL') });
BEGIN;
UPDATE whatsapp_queue SET due_at = now() WHERE state = 'd' AND due_at > now();
SELECT wa_internal_wake_due(now());
COMMIT
SQL
		my $left = $self->_sql(<<'SQL');
SELECT count(*) FROM whatsapp_queue WHERE state <> 'u' OR due_at < 'infinity'
SQL
		last if $left == 0 && $self->_sql('SELECT count(*) FROM whatsapp_leases') == 0;
		if (time > $deadline)
		{
			push @{ $self->{problems} }, "the queue is not worked off in two minutes: $left are left";
			last;
		}
		sleep(0.1);
	}
	$self->{webhooks}->deliver_all;
	return;
}

1;
