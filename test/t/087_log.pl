# What strangers send is not in the log: no guess at a token, no body, no line that
# looks like another; and no more of a value than says which it was.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaTest qw(new_node create_extension);

my $node = new_node(
	'log',
	"whatsapp_shared.webhook_verify_token = 'TheVerifyToken'",
	"whatsapp_shared.app_secret = 'TheAppSecret'",
	"log_error_verbosity = verbose",
	"log_min_error_statement = debug5",
	"log_parameter_max_length_on_error = -1",
	"log_statement = none",
	"log_min_messages = info");
create_extension($node, 'postgres');

# As text of the statement.
my @calls = (
	[ "SELECT wa_webhook_challenge('subscribe', 'GUESSED', 'x')", qr/28000.*invalid webhook verify token/, 'a wrong token' ],
	[ "SELECT wa_webhook_challenge('nonsense', 'TheVerifyToken', 'x')", qr/22023.*invalid mode/, 'a wrong mode' ],
	[ "SELECT wa_webhook_challenge(NULL, 'TheVerifyToken', 'x')", qr/22004.*must not be null/, 'no mode' ],
	[ "SELECT wa_webhook_challenge('subscribe', 'TheVerifyToken', NULL)", qr/22004.*must not be null/, 'no challenge' ],
	[ "SELECT wa_webhook_challenge('subscribe', 'TheVerifyToken', repeat('c', 2000))", qr/22023.*longer than/, 'a challenge that is too long' ],
	[ "SELECT wa_webhook_ingest('BODYOFSOMEBODY', 'sha256=00')", qr/28000.*invalid webhook signature/, 'a wrong signature' ],
	[ "SELECT wa_webhook_ingest(NULL, 'BODYOFSOMEBODY')", qr/22004.*must not be null/, 'no body' ],
	[ "SELECT wa_webhook_ingest_many(ARRAY['BODYOFSOMEBODY', NULL]::bytea[], ARRAY['x', 'x'])", qr/22004.*must not be null/, 'no body among others' ]);

foreach my $case (@calls)
{
	my ($call, $pattern, $what) = @$case;
	my $log = -s $node->logfile;
	my (undef, undef, $stderr) = $node->psql('postgres', $call);

	$node->wait_for_log($pattern, $log);
	my $logged = substr slurp_file($node->logfile), $log;
	unlike($logged, qr/GUESSED|TheVerifyToken|TheAppSecret|BODYOFSOMEBODY|STATEMENT/, "$what: the log has the error alone");
	unlike($stderr =~ s/^LINE.*//msr, qr/GUESSED|TheVerifyToken|TheAppSecret|BODYOFSOMEBODY/, 'and so has the caller');
}

# With parameters, in the extended protocol.
my $script = PostgreSQL::Test::Utils::tempdir() . '/bind.sql';
append_to_file($script, "SELECT wa_webhook_challenge('subscribe', :token, 'x');\n");
my $log = -s $node->logfile;
$node->run_log([ 'pgbench', '-n', '-M', 'extended', '-t', 1, '-f', $script, '-D', 'token=4711471147', $node->connstr('postgres') ]);
$node->wait_for_log(qr/28000.*invalid webhook verify token/, $log);
unlike(substr(slurp_file($node->logfile), $log), qr/4711471147|STATEMENT|CONTEXT/, 'nor are parameters in the log');

# ---- values that are quoted -----------------------------------------------------------

my $long = "repeat('x', 10000000)";
my $forged = "E'a\\n2026-01-01 00:00:00 UTC [1] LOG:  nothing\\u202e\\u0085'";
my @quoted = (
	[ "wa_diagnose(%s)", 'tenant' ],
	[ "wa_enqueue_text(%s, '+34600000001', 'x')", 'tenant' ],
	[ "wa_enqueue_message('t', '+34600000001', %s)", 'template name' ],
	[ "wa_enqueue_message('t', '+34600000001', 'aviso', '[]', language => %s)", 'language' ],
	[ "wa_pause('number', %s)", 'number' ],
	[ "wa_pause(%s, 'x')", 'scope' ],
	[ "wa_assign_phone('t', %s)", 'number id' ],
	[ "wa_configure_tenant('t', on_uncertain => %s)", 'policy' ],
	[ "wa_configure_tenant('t', time_zone => %s)", 'time zone' ],
	[ "wa_configure_tenant('t', reset => ARRAY[%s])", 'word' ],
	[ "wa_opt_out('t', '+34600000001', %s)", 'category' ],
	[ "wa_resolve_message(1, %s)", 'outcome' ],
	[ "wa_enqueue_payload('t', '+34600000001', %s, '{}')", 'message type' ],
	[ "wa_enqueue_media('t', '+34600000001', %s, link => 'https://example.com/a')", 'media type' ],
	[ "wa_grant(%s, 'sender')", 'role' ],
	[ "wa_grant('postgres', %s)", 'privilege' ]);

$node->safe_psql('postgres', "SELECT wa_configure_tenant('t', is_new => true)");
foreach my $case (@quoted)
{
	my ($call, $what) = @$case;

	foreach my $value ($long, $forged)
	{
		next if $what eq 'role' && $value eq $long;    # cut by its type
		my $text = $what eq 'role' ? $forged : $value;
		my $log = -s $node->logfile;
		my ($status, undef, $stderr) = $node->psql('postgres', 'SELECT ' . sprintf($call, $text));
		my ($error) = $stderr =~ /ERROR:\s*(.*?)(?:^LINE|\z)/ms;

		isnt($status, 0, "$what: refused");
		cmp_ok(length($error // ''), '<', 2000, 'with an error of a bounded length');
		unlike($error // '', qr/\n2026-01-01/, 'that is no other line of the log');
		unlike($error // '', qr/\xe2\x80\xae|\xc2\x85/, 'and shows what it holds');
	}
}

$node->stop;
done_testing();
