# Marketing templates of a tenant whose account has the Marketing Messages API, and everything else.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use JSON::PP ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaDelivery qw(new_delivery enqueue wait_for wait_status settled);
use WaTest qw(logged_nothing_bad);

my ($node, $sim) = new_delivery('marketing');

sub sql { return $node->safe_psql('postgres', $_[0]) }

# The simulator takes marketing templates at their own edge only (131063), and nothing else there (134100).
sub template
{
	my ($name, $category) = @_;
	return {
		name       => $name,
		language   => 'es',
		category   => $category,
		status     => 'APPROVED',
		components => [ { type => 'BODY', text => 'Hola, {{1}}, y gracias.' } ]
	};
}

$sim->config(
	marketing_by_its_edge => JSON::PP::true,
	templates             => [ template('rebajas', 'MARKETING'), template('pedido', 'UTILITY') ]);
sql("SELECT wa_register_template(name, 'es', '[{\"type\": \"BODY\", \"text\": \"Hola, {{1}}, y gracias.\"}]', category => category)"
	  . " FROM (VALUES ('rebajas', 'MARKETING'), ('pedido', 'UTILITY')) AS t (name, category)");

sub send_template
{
	my ($tenant, $name, $to) = @_;
	return sql("SELECT wa_enqueue_message('$tenant', '$to', '$name', '[\"Ana\"]', 'es')");
}

sql("SELECT wa_configure_tenant('t1', marketing_api => true)");
sql("INSERT INTO whatsapp_windows VALUES ('100000000000001', '+34600112233', now())");
wait_status($node, send_template('t1', 'rebajas', '+34600112231'), 'accepted', 'a marketing template is taken at its own edge');
wait_status($node, send_template('t1', 'pedido', '+34600112232'), 'accepted', 'another one at the ordinary edge');
wait_status($node, sql("SELECT wa_enqueue_text('t1', '+34600112233', 'Hola')"), 'accepted', 'and so is a text');

# ---- a tenant that does not have it ----

my $refused = send_template('t2', 'rebajas', '+34600112234');
wait_for($node, "SELECT EXISTS (SELECT FROM whatsapp_pauses WHERE scope = 'template' AND key = 'rebajas/es')",
	'the Cloud API of such an account refuses it, and the template is paused');
like(sql("SELECT remedy FROM wa_error_codes WHERE code = (SELECT error_code FROM whatsapp_attempts WHERE message_id = $refused)"),
	qr/marketing_api => true/, 'the remedy is the switch');
sql("SELECT wa_configure_tenant('t2', marketing_api => true), wa_resume('template', 'rebajas/es')");
wait_status($node, $refused, 'accepted', 'with it the message that waited is sent');

# ---- what Meta has made of a template meanwhile ----

sql("UPDATE whatsapp_templates SET category = 'UTILITY' WHERE name = 'rebajas'");
$sim->config(templates => [ template('rebajas', 'UTILITY') ]);
wait_status($node, send_template('t1', 'rebajas', '+34600112235'), 'accepted', 'the edge is chosen at the request');
is(sql("SELECT count(*) FROM whatsapp_messages WHERE error_code = 134100"), 0, 'by the category that Meta lists now');

settled($node);
logged_nothing_bad($node);
$node->stop;
done_testing();
