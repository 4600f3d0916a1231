# What the tests of copies have in common: messages that wait in two places, and
# counting at the simulator how often they were sent.
package WaCopies;

use strict;
use warnings;

use Exporter qw(import);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use WaDelivery qw(enqueue wait_for);
use WaTest qw(set_and_reload);

our @EXPORT_OK = qw(enqueue_some doubt is_silent is_at_home sent_once);

# Every message goes to somebody else.
my $recipient = 0;
my %recipient_of;

sub enqueue_one
{
	my ($node) = @_;
	my $to = sprintf('+3461800%04d', ++$recipient);
	my $id = enqueue($node, 't1', $to);
	$recipient_of{$id} = $to;
	return $id;
}

# Messages that wait: sending is off here, and so it is in whatever is copied now.
sub enqueue_some
{
	my ($node, $count) = @_;
	set_and_reload($node, enabled => 'off');
	return map { enqueue_one($node) } 1 .. ($count // 5);
}

sub doubt
{
	my ($node, $db) = @_;
	return $node->safe_psql($db // 'postgres', 'SELECT wa_internal_home_doubt()');
}

# Sending is switched on; the sender has looked, and says why it sends nothing.
sub is_silent
{
	my ($node, $why, $name, $db) = @_;
	$db //= 'postgres';
	set_and_reload($node, enabled => 'on');
	like(doubt($node, $db), $why, "$name: it is in doubt");
	$node->wait_for_log(qr/WARNING:  whatsapp_shared copy: the messages of database "$db" belong to another installation\n.*DETAIL:  $why/);
	# Not everything brings the tenant and the sequence along.  The ids next in turn are the
	# original's, which may send them here.
	$node->safe_psql($db, q{SELECT FROM wa_configure_tenant('t2', is_new => true);
		SELECT setval(pg_get_serial_sequence('whatsapp_messages', 'id'), max(id) + 1000) FROM whatsapp_messages HAVING count(*) > 0});
	my $id = $node->safe_psql($db,
		sprintf(q{SELECT wa_enqueue_message('t2', '+3461900%04d', 'aviso', '["copy"]')}, ++$recipient));
	is($node->safe_psql($db, "SELECT reason FROM wa_explain($id)"), 'clone_not_adopted', "$name: wa_explain() says so");
	like($node->safe_psql($db, q{SELECT state || ': ' || detail FROM wa_health() WHERE item = 'sending'}),
		qr/^error: .*$why/, "$name: so does wa_health()");
	is($node->safe_psql($db, 'SELECT sum(requests) FROM wa_stats() WHERE database = current_database()'),
		0, "$name: nothing has left it");
	return;
}

# It sends what it has, these among it.
sub is_at_home
{
	my ($node, $name, @ids) = @_;
	set_and_reload($node, enabled => 'on');
	push @ids, enqueue_one($node);
	my $list = join ', ', @ids;
	wait_for($node, "SELECT bool_and(status = 'accepted') FROM whatsapp_messages WHERE id IN ($list)", $name);
	return;
}

# Of these messages each has arrived once, and of all others none twice.
sub sent_once
{
	my ($sim, $name, @ids) = @_;
	my %count;
	$count{ $_->{message}{to} =~ s/^(?!\+)/+/r }++ for $sim->accepted;
	is_deeply([ map { $count{ $recipient_of{$_} } // 0 } @ids ], [ map { 1 } @ids ], "$name: every message was sent once");
	is((grep { $_ != 1 } values %count), 0, "$name: and none twice");
	return;
}

1;
