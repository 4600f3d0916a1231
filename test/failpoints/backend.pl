# Sessions whose allocations, statements and transactions fail, each once: the statement
# ends with an error and has done nothing, or it has done everything; the session goes on,
# the same statement succeeds afterwards, and no memory is kept.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../t/lib", "$FindBin::RealBin/../lib";

use File::Temp ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaFailPoints;
use WaTest qw(new_node create_extension);

my $node = new_node(
	'fail_backend',
	"whatsapp_shared.databases = ''",
	"whatsapp_shared.app_secret = 'current-secret, previous-secret'",
	"whatsapp_shared.business_account_id = '300000000000001'",
	'restart_after_crash = off',
	"timezone = 'UTC'",
	'fsync = off');
create_extension($node, 'postgres');
my $points = WaFailPoints->new($node);

# The functions of the tests of webhooks, for every session.
my $dir = File::Temp->newdir;
my $functions = slurp_file("$FindBin::RealBin/../lib/webhook.sql") =~ s/pg_temp\./public./gr;
append_to_file("$dir/webhook.sql", $functions);
$node->safe_psql('postgres', <<"SQL");
SET search_path = public, pg_catalog;
\\i $dir/webhook.sql
SELECT wa_assign_phone('panaderia', '100000000000001');
CREATE FUNCTION public.heard(jsonb) RETURNS void LANGUAGE sql AS 'SELECT';
SELECT wa_on_reply('CONFIRM:', 'public.heard(jsonb)');
INSERT INTO whatsapp_windows SELECT '100000000000001', '+3460' || lpad(i::text, 7, '0'), now() FROM generate_series(1, 20000) i;
CREATE TABLE public.orders (id bigint PRIMARY KEY, phone text, state text);
SQL

# ---- what is done, and what it leaves: 0 nothing, 1 all.  {N} is another number each time ----

my $by_reference = q{SELECT count(*) FROM whatsapp_messages WHERE reference = 'r{N}'};
my $to = q{'panaderia', '+3460' || lpad({N}::text, 7, '0')};
my $accepted = q{public.new_message('accepted')};

sub post { return "SELECT public.post($_[0])" }

sub inbound
{
	my ($message) = @_;
	return post(qq~public.envelope(public.messages_change(format('{"contacts": [{"wa_id": "3461%1\$s", "profile": {"name": "Ana"}}], ~
		  . qq~"messages": [{"id": "wamid.in%2\$s", "from": "3461%1\$s", "timestamp": "%3\$s", $message}]}', lpad({N}::text, 7, '0'), {N}, EXTRACT(epoch FROM now())::bigint)::jsonb))~);
}
my $inbound_there = q{SELECT count(*) FROM whatsapp_inbound_messages WHERE whatsapp_message_id = 'wamid.in{N}'};

sub status
{
	my ($status, $more) = @_;
	return post(qq{public.statuses_body(public.status('wamid.' || :made, '$status', 1764000005, public.data(:made), '$more'))});
}
my $error = '{"errors": [{"code": 131049, "title": "not delivered", "error_data": {"details": "engagement"}}]}';

my @scenarios = (
	# First: what the others have enqueued would be held by it, one call for each.
	{ name => 'webhook: quality', does => post(q{public.event('phone_number_quality_update', format('{"display_phone_number": "34600000000", "event": "FLAGGED", "current_limit": "TIER_%s"}', {N})::jsonb)}), left => 'SELECT 0' , any => 1 },
	{ name => 'wa_enqueue_message', does => qq{SELECT wa_enqueue_message($to, 'aviso', '["hola"]', reference => 'r{N}')}, left => $by_reference },
	{ name => 'wa_enqueue_text', does => qq{SELECT wa_enqueue_text($to, 'Hola', reference => 'r{N}')}, left => $by_reference },
	{ name => 'wa_enqueue_media', does => qq{SELECT wa_enqueue_media($to, 'image', 'https://example.es/pan.jpg', reference => 'r{N}')}, left => $by_reference },
	{
		name => 'wa_enqueue_interactive',
		does => qq{SELECT wa_enqueue_interactive($to, '{"type": "button", "body": {"text": "Vale?"}, "action": {"buttons": [{"type": "reply", "reply": {"id": "si", "title": "Si"}}]}}', reference => 'r{N}')},
		left => $by_reference
	},
	{ name => 'wa_enqueue_location', does => qq{SELECT wa_enqueue_location($to, 40.4, -3.7, 'Horno', reference => 'r{N}')}, left => $by_reference },
	{ name => 'idempotency key', does => qq{SELECT wa_enqueue_text($to, 'Hola', reference => 'r{N}', idempotency_key => 'k{N}')}, left => $by_reference },
	{
		name => 'wa_enqueue_bulk',
		does => q{SELECT count(*) FROM wa_enqueue_bulk('panaderia', 'aviso', '["+34600000001"]', '["hola"]', reference => 'r{N}')},
		left => $by_reference
	},
	{ name => 'wa_upload_media', does => q{SELECT wa_upload_media('panaderia', convert_to('PDF {N}', 'UTF8'), 'application/pdf', 'f{N}.pdf')}, left => q{SELECT count(*) FROM whatsapp_media WHERE filename = 'f{N}.pdf'} },
	{ name => 'assignment', does => q{SELECT wa_assign_phone('t{N}', (100000000100000 + {N})::text)}, left => q{SELECT count(*) FROM whatsapp_phone_assignments WHERE tenant_id = 't{N}'} },
	{ name => 'cancellation', made => q{wa_enqueue_text('panaderia', '+34600000002', 'Hola')}, does => 'SELECT wa_cancel_message(:made)', left => q{SELECT count(*) FROM whatsapp_messages WHERE id = :made AND status = 'cancelled'} },
	{ name => 'wa_opt_out', does => q{SELECT wa_opt_out('panaderia', '+3462' || lpad({N}::text, 7, '0'))}, left => q{SELECT count(*) FROM whatsapp_opt_outs WHERE recipient = '+3462' || lpad({N}::text, 7, '0')} },
	{ name => 'webhook: delivered', made => $accepted, does => status('delivered', '{}'), left => q{SELECT count(*) FROM whatsapp_messages WHERE id = :made AND status = 'delivered'} },
	{ name => 'webhook: failed', made => $accepted, does => status('failed', $error), left => q{SELECT count(*) FROM whatsapp_messages WHERE id = :made AND status = 'failed'} },
	{ name => 'webhook: text', does => inbound('"type": "text", "text": {"body": "Hola"}'), left => $inbound_there },
	{ name => 'webhook: opt-out', does => inbound('"type": "text", "text": {"body": "BAJA"}'), left => q{SELECT count(*) FROM whatsapp_opt_outs WHERE recipient = '+3461' || lpad({N}::text, 7, '0')} },
	{ name => 'webhook: reply', does => inbound('"type": "interactive", "interactive": {"type": "button_reply", "button_reply": {"id": "CONFIRM:{N}", "title": "Si"}}'), left => $inbound_there },
	{ name => 'webhook: image', does => inbound('"type": "image", "image": {"id": "9{N}", "mime_type": "image/jpeg", "sha256": "x"}'), left => $inbound_there },
	{ name => 'webhook: no match', does => post(q{public.statuses_body(public.status('wamid.unknown{N}', 'sent', 1764000005, NULL))}), left => q{SELECT count(*) FROM whatsapp_parked_events AS p WHERE p::text LIKE '%wamid.unknown{N}%'} },
);

my %only = map { $_ => 1 } split /,/, $ENV{FAIL_POINTS_SCENARIOS} // '';
my $n = 0;
my $not_reached = 0;

# One round in a session of its own: the statement with the call number $at failing, what it
# has left, and the same statement again.
sub round_script
{
	my ($scenario, $class, $at, $same_session) = @_;
	my ($does, $left) = map { s/\{N\}/$n/gr } @$scenario{qw(does left)};
	my $made = defined $scenario->{made} ? "SELECT $scenario->{made} AS made \\gset\n" : '';

	$n++;
	return ($same_session ? '' : "\\c -\n") . <<"PSQL";
SET client_min_messages = error;
$made SELECT wa_fail_arm('backend', '$class', $at) \\g /dev/null
$does \\g /dev/null
\\set ended :SQLSTATE
SELECT wa_fail_state() AS seen \\gset
$left \\gset left_
SELECT 'next' AS next \\gset
$does \\g /dev/null
\\set again :SQLSTATE
$left \\gset then_
\\echo ROUND $at :ended :left_count :next :again :then_count :seen
PSQL
}

sub run_rounds
{
	my (@scripts) = @_;
	my $file = "$dir/rounds.sql";

	unlink $file;
	append_to_file($file, join '', "\\pset tuples_only on\nSET search_path = public, pg_catalog;\n", @scripts);
	my ($out, $err) = ('', '');
	$node->psql('postgres', "\\i $file", stdout => \$out, stderr => \$err, on_error_stop => 0, on_error_die => 0);
	return ($out, $err);
}

# Whether each round went well.
sub check_rounds
{
	my ($what, $scenario, $rounds, $out, $err) = @_;
	my @wrong;
	my %seen;

	foreach my $line ($out =~ /^ROUND (.+)$/mg)
	{
		my ($at, $ended, $left, $next, $again, $then, $text) = split / /, $line, 7;
		my $point = $points->parse($text);
		my $where = "$at ($point->{name} at $point->{where})";

		$seen{$at} = 1;
		push @wrong, "$where: failed $point->{fired} times" if $point->{fired} > 1 || ($at && !$point->{fired} && $ended ne '00000');
		$not_reached++ if $at && !$point->{fired};
		push @wrong, "$where: ended with $ended" unless $ended =~ /^(?:00000|53200|53100)$/;
		push @wrong, "$where: left $left after $ended" if !$scenario->{any} && $left != ($ended eq '00000' ? 1 : 0);
		push @wrong, "$where: the same again ended with $again" unless $again eq '00000' || $scenario->{again};
		push @wrong, "$where: and left $then" if !$scenario->{any} && $then < 1;
	}
	push @wrong, "round $_: the session was gone" foreach grep { !$seen{$_} } @$rounds;
	is(join("\n", @wrong[ 0 .. ($#wrong < 9 ? $#wrong : 9) ]), '', "$what: an error and nothing done, or all of it")
	  or diag($err =~ s/\n.*?(?=\n.{0,60000}\z)//sr);
	return;
}

foreach my $scenario (@scenarios)
{
	next if %only && !$only{ $scenario->{name} };
	foreach my $class (qw(memory spi commit system))
	{
		my $what = "$scenario->{name}, $class";
		my ($out, $err) = run_rounds(round_script($scenario, $class, 0));
		my ($count) = $out =~ /^ROUND 0 00000 \S+ next \S+ \S+ (\d+) 0 /m;

		if (!defined $count)
		{
			fail("$what: is done when nothing fails");
			diag("$out\n$err");
			next;
		}
		next unless $count;
		my @rounds = $points->choose($what, $count);
		check_rounds($what, $scenario, \@rounds, run_rounds(map { round_script($scenario, $class, $_) } @rounds));
	}
}

# ---- what a session keeps ----

my %measured = map { $_ => 1 } 'wa_enqueue_message', 'wa_enqueue_bulk', 'webhook: text';
foreach my $scenario (grep { $measured{ $_->{name} } && (!%only || $only{ $_->{name} }) } @scenarios)
{
	my @rounds = map { 1 + int rand 60 } 1 .. 60;
	my $size = 'SELECT sum(total_bytes) AS size FROM pg_backend_memory_contexts \gset';
	my @scripts = map { round_script($scenario, 'memory', $_, 1) } @rounds;
	my ($out) = run_rounds(@scripts[ 0 .. 29 ], "$size before_\n", @scripts[ 30 .. 59 ], "$size after_\n",
		"\\echo KEPT :after_size :before_size\n");
	my ($after, $before) = $out =~ /^KEPT (\d+) (\d+)/m;
	ok(defined $after, "$scenario->{name}: a session has 60 failures behind it") or diag($out);
	cmp_ok(($after // 1e9) - ($before // 0), '<', 256 * 1024, "$scenario->{name}: and keeps nothing of the later ones");
}

# ---- the server ----

is($node->safe_psql('postgres', 'SELECT 1'), '1', 'the server is up');
my $log = slurp_file($node->logfile);
is(join("\n", grep { /PANIC|TRAP:|terminated by signal|server process .* exited/ } split /\n/, $log), '', 'nothing in it has crashed');
is(join("\n", sort keys %{ { map { $_ => 1 } grep { s/.*WARNING:  // } split /\n/, $log } }), '', 'nor warned of what it has kept');
$node->stop;

diag(sprintf 'sessions: %d of %d fail points, %d not reached', $points->total, $not_reached);
done_testing();
