# What the tests of delivery have in common: a server with a running sender,
# the simulator it sends to, and asking both how things went.
package WaDelivery;

use strict;
use warnings;

use Exporter qw(import);
use File::Basename qw(dirname);
use File::Spec;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use lib File::Spec->catdir(dirname(__FILE__), '..', '..', 'lib');
use WaSimulator;
use WaTest qw(new_node wait_for_senders);

our @EXPORT_OK = qw(
  new_delivery
  enqueue
  enqueue_many
  wait_for
  wait_status
  status_of
  settled
  accepted_for
  deliver_webhooks
  hand_in
  invariants_hold
  drawn_transitions
  transitions_are_drawn
);

# The simulator's template with one body parameter and nothing else.
our $TEMPLATE = 'aviso';

# A simulator, and a server that sends to it: tenants t1 .. tN own its numbers.
sub new_delivery
{
	my ($name, %options) = @_;
	my $tenants = $options{tenants} // 3;
	my $sim = WaSimulator->start(
		'--numbers' => 12,
		'--accept-any-template',
		@{ $options{simulator} // [] });
	my $node = new_node($name, "whatsapp_shared.enabled = on",
		"whatsapp_shared.access_token = 'SIMULATOR_TOKEN'",
		"whatsapp_shared.app_secret = 'SIMULATOR_APP_SECRET'",
		"whatsapp_shared.graph_url = '" . $sim->url . "'",
		"whatsapp_shared.retry_delay = '100ms'",
		"whatsapp_shared.sync_interval = 0",
		"client_min_messages = warning",
		@{ $options{settings} // [] });
	create_with_record($node);
	$node->safe_psql('postgres', <<"SQL");
SELECT wa_assign_phone('t' || i, (100000000000000 + i)::text) FROM generate_series(1, $tenants) AS i
SQL
	wait_for_senders($node, 'postgres', 1);
	return ($node, $sim);
}

# The extension, and what writes down every change of a message's status, whoever makes it.
# In one transaction: a sender that runs already waits for no lock on the table for long, and says so.
sub create_with_record
{
	my ($node) = @_;
	$node->safe_psql('postgres', <<'SQL');
BEGIN;
CREATE EXTENSION whatsapp_shared;
CREATE TABLE transition (message_id bigint, old text, new text);
CREATE FUNCTION note_transition() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO public.transition VALUES (NEW.id, OLD.status, NEW.status);
    RETURN NULL;
END
$$;
CREATE TRIGGER note_transition AFTER UPDATE OF status ON whatsapp_messages
    FOR EACH ROW WHEN (OLD.status <> NEW.status) EXECUTE FUNCTION note_transition();
COMMIT;
SQL
	return;
}

# Enqueues one message and returns its id.  Options are arguments of
# wa_enqueue_message as SQL text.
sub enqueue
{
	my ($node, $tenant, $recipient, %options) = @_;
	my $more = join '', map { ", $_ => $options{$_}" } sort keys %options;
	return $node->safe_psql('postgres',
		"SELECT wa_enqueue_message('$tenant', '$recipient', '$TEMPLATE', '[\"hola\"]'$more)");
}

# Enqueues one message to each of so many people, whose numbers begin with $prefix; returns
# their ids, with commas.  $more: arguments of wa_enqueue_message as SQL text.
sub enqueue_many
{
	my ($node, $tenant, $prefix, $n, $more) = @_;
	$more = defined $more ? ", $more" : '';
	return $node->safe_psql('postgres', <<"SQL");
SELECT string_agg(wa_enqueue_message('$tenant', '$prefix' || lpad(i::text, 4, '0'), '$TEMPLATE', '["hola"]'$more)::text, ',')
FROM generate_series(1, $n) AS i
SQL
}

# Waits until a query is true, and says which if it never becomes so.
sub wait_for
{
	my ($node, $query, $what) = @_;
	my $ok = $node->poll_query_until('postgres', $query);
	ok($ok, $what);
	diag($node->safe_psql('postgres', 'SELECT * FROM whatsapp_messages ORDER BY id')) unless $ok;
	return $ok;
}

sub status_of
{
	my ($node, $id) = @_;
	return $node->safe_psql('postgres', "SELECT status FROM whatsapp_messages WHERE id = $id");
}

sub wait_status
{
	my ($node, $id, $status, $what) = @_;
	return wait_for($node, "SELECT status = '$status' FROM whatsapp_messages WHERE id = $id",
		$what // "message $id becomes $status");
}

# Waits until nothing is ready or on the wire.
sub settled
{
	my ($node, $what) = @_;
	return wait_for($node, <<'SQL', $what // 'the queue is worked off');
SELECT NOT EXISTS (SELECT FROM whatsapp_queue) AND NOT EXISTS (SELECT FROM whatsapp_leases)
SQL
}

# How often each message id reached a person, by the simulator's log.
sub accepted_for
{
	my ($sim) = @_;
	my %count;
	for my $record ($sim->accepted)
	{
		my $opaque = $record->{message}{biz_opaque_callback_data} // '';
		$count{$1}++ if $opaque =~ /^wa1:[^:]*:(\d+):/;
	}
	return \%count;
}

# Hands every webhook that the simulator still has to tell to wa_webhook_ingest;
# returns how many bodies there were.  The simulator runs with --webhook-pull.
sub deliver_webhooks
{
	my ($node, $sim) = @_;
	my @posts = $sim->all_webhooks;
	hand_in($node, @posts);
	return scalar @posts;
}

# These webhooks, and not what is still to come.
sub hand_in
{
	my ($node, @posts) = @_;
	for my $post (@posts)
	{
		my $body = unpack 'H*', $post->{body};
		$node->safe_psql('postgres',
			"SELECT wa_webhook_ingest(decode('$body', 'hex'), '$post->{signature}')");
	}
	return;
}

# The table of src/README.md: "from to" for each edge.
sub drawn_transitions
{
	my $readme = slurp_file(File::Spec->catfile(dirname(__FILE__), ('..') x 3, 'src', 'README.md'));
	my ($section) = $readme =~ /^## States of a message$(.*?)^## /ms or die 'no section on states';
	my %edges;
	while ($section =~ /^\| ((?:`\w+`(?:, )?)+) \| ((?:`\w+`(?:, )?)+) \|/mg)
	{
		my ($from, $to) = ($1, $2);
		foreach my $old ($from =~ /\w+/g)
		{
			$edges{"$old $_"} = 1 foreach $to =~ /\w+/g;
		}
	}
	return sort keys %edges;
}

# Nothing has happened that src/README.md does not know.
sub transitions_are_drawn
{
	my ($node, $what) = @_;
	my %drawn = map { $_ => 1 } drawn_transitions();
	my @seen = split /\n/, $node->safe_psql('postgres',
		"SELECT DISTINCT old || ' ' || new FROM transition ORDER BY 1");
	is(join(', ', grep { !$drawn{$_} } @seen), '', $what // 'every change of status is one that src/README.md names');
	return;
}

# The invariants of src/README.md that can be seen in the tables.
sub invariants_hold
{
	my ($node, $what) = @_;
	is($node->safe_psql('postgres', <<'SQL'), '0', $what // 'the invariants of the queue hold');
SELECT count(*)
FROM whatsapp_messages AS m
    FULL JOIN whatsapp_queue AS q ON q.message_id = m.id
WHERE (q.message_id IS NOT NULL) IS DISTINCT FROM (m.status IN ('queued', 'sending', 'uncertain'))
    OR (m.status = 'uncertain') <> (q.state = 'u')
SQL
	transitions_are_drawn($node)
	  if $node->safe_psql('postgres', q{SELECT to_regclass('public.transition') IS NOT NULL}) eq 't';
	return;
}

1;
