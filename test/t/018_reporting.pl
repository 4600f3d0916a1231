# Replication for reports: all tables are published, statements of ours do not mind,
# and the subscriber has what the publisher has, rows that are deleted included.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib", "$FindBin::RealBin/../lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaDelivery qw(new_delivery enqueue wait_for wait_status);
use WaLoad qw(wait_until);
use WaTest qw(new_node create_extension logged_nothing_bad set_and_reload wait_for_senders);

my ($node, $sim) = new_delivery('publisher', simulator => ['--webhook-pull'],
	settings => [ 'wal_level = logical', 'max_wal_senders = 8', 'max_replication_slots = 8', 'max_worker_processes = 24' ]);
$node->safe_psql('postgres', 'CREATE PUBLICATION everything FOR ALL TABLES');

my @tables = split /\n/, $node->safe_psql('postgres', q{
	SELECT c.oid::regclass FROM pg_class AS c JOIN pg_depend AS d ON d.objid = c.oid AND d.deptype = 'e'
		AND d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_extension'::regclass
	WHERE c.relkind = 'r' ORDER BY c.relname});

# A server for reports, as docs/operating.md has it.
my $reports = new_node('reports', "whatsapp_shared.databases = ''", 'wal_level = logical');
create_extension($reports, 'postgres');
$reports->safe_psql('postgres', 'CREATE TABLE transition (message_id bigint, old text, new text)');    # WaDelivery's
$reports->safe_psql('postgres', q{CREATE SUBSCRIPTION everything CONNECTION '} . $node->connstr . q{ dbname=postgres' PUBLICATION everything});
ok($reports->poll_query_until('postgres', q{SELECT count(*) > 0 AND bool_and(srsubstate = 'r') FROM pg_subscription_rel}),
	'the initial copy ends, although CREATE EXTENSION has made rows of the same keys');

# ---- life goes on --------------------------------------------------------------------

$sim->faults({ match => { recipient => '+34620000002' }, code => 131026, status => 400 });
my $sent = enqueue($node, 't1', '+34620000001');
my $failed = enqueue($node, 't1', '+34620000002');
wait_status($node, $sent, 'accepted');
wait_status($node, $failed, 'failed');
isnt($node->safe_psql('postgres', "SELECT count(*) FROM whatsapp_wamids WHERE message_id = $sent"), 0, 'there is a row for its wamid');
isnt($node->safe_psql('postgres', "SELECT count(*) FROM whatsapp_attempts WHERE message_id = $failed"), 0, 'and one for the attempt that failed');

# Every table can be changed and emptied row by row.
foreach my $table (@tables)
{
	my ($column) = $node->safe_psql('postgres', "SELECT attname FROM pg_attribute WHERE attrelid = '$table'::regclass AND attnum = 1");
	my ($status, undef, $error) = $node->psql('postgres',
		"BEGIN; SET session_replication_role = replica; DELETE FROM $table; ROLLBACK");
	is($status, 0, "rows of $table can be deleted") or diag($error);
}

# What is old is deleted on both sides.
$node->wait_for_catchup('everything');
is($reports->safe_psql('postgres', "SELECT count(*) FROM whatsapp_messages WHERE id IN ($sent, $failed)"), 2, 'the reports have the messages');
$node->safe_psql('postgres', "UPDATE whatsapp_messages SET created_at = now() - interval '1 year', finished_at = now() - interval '1 year';
	SELECT wa_worker_restart()");
wait_for($node, 'SELECT NOT EXISTS (SELECT FROM whatsapp_messages)', 'retention works in spite of the publication');
# The sender goes on writing down what it does, and retention with other tables: so each is compared until it is at rest.
foreach my $table (grep { $_ ne 'whatsapp_home' && $_ ne 'whatsapp_installation' } @tables)
{
	my $query = "SELECT count(*), md5(string_agg(t::text, ',' ORDER BY t::text)) FROM $table AS t";
	$query .= " WHERE kind <> 'doubt'" if $table eq 'whatsapp_events';
	my ($published, $reported);
	wait_until(sub {
		$published = $node->safe_psql('postgres', $query);
		$node->wait_for_catchup('everything');
		$reported = $reports->safe_psql('postgres', $query);
		return $reported eq $published;
	});
	is($reported, $published, "$table is the same on both sides");
}
is($reports->safe_psql('postgres', q{SELECT detail ->> 'text' ~ '^Rows were loaded into its table whatsapp_queue .* Nothing is sent\.$' FROM whatsapp_events WHERE kind = 'doubt'}),
	't', 'but for what the subscriber says of itself');
logged_nothing_bad($node, 'the publisher has logged no error');
logged_nothing_bad($reports, 'nor has the subscriber');

$reports->stop;
$node->stop;
done_testing();
