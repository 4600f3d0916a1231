# The gateway's webhooks: Meta's handshake, signatures, and that nothing that was
# answered with 200 is missing from the tables, whatever dies in the middle of it.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib", "$FindBin::RealBin/../lib";

use Digest::SHA qw(hmac_sha256_hex);
use IO::Select;
use IO::Socket::INET;
use JSON::PP ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use WaGateway;
use WaLoad qw(patience stopwatch wait_until);
use WaTest qw(create_extension logged_nothing_bad new_node);

my $secret = 'the-app-secret';
my $node = new_node('gateway', "whatsapp_shared.databases = ''", "whatsapp_shared.app_secret = '$secret'");
create_extension($node, 'postgres');
my $installation = $node->safe_psql('postgres', 'SELECT installation_id FROM whatsapp_installation');
my $json = JSON::PP->new->utf8->canonical;

# ---- the gateway ---------------------------------------------------------------------

# Files that it takes: nobody else can read them.
my $files = PostgreSQL::Test::Utils::tempdir();

sub write_secret
{
	my ($name, $text) = @_;
	open my $fh, '>', "$files/$name.new" or die "$name: $!";
	chmod 0600, $fh;
	print $fh $text;
	close $fh;
	rename "$files/$name.new", "$files/$name" or die "$name: $!";
	return "$files/$name";
}
my @arguments = ('--app-secret-file' => write_secret('app_secret', "$secret\n"), '--verify-token-file' => write_secret('verify_token', "verify-me\n"),
	# Some of what follows holds a row, on a machine that may be slow.
	'--statement-timeout-ms' => 60_000, '--request-timeout-s' => 60);
my $gateway = WaGateway->start($node, arguments => \@arguments);

sub is_query
{
	my ($query, $expected, $name) = @_;
	return is($node->safe_psql('postgres', $query), $expected, $name);
}

sub sign { return 'sha256=' . hmac_sha256_hex($_[0], $_[1] // $secret) }

sub deliver
{
	my ($body, %options) = @_;
	my %headers = %{ $options{headers} // {} };
	$headers{'x-hub-signature-256'} = $options{signature} // sign($body);
	delete $headers{'x-hub-signature-256'} if exists $options{signature} && !defined $options{signature};
	return $gateway->request('POST', '/webhook', token => undef, content => $body, headers => \%headers);
}

my $first_second = time - 1000;

sub statuses_body
{
	my (@ids) = @_;
	my @statuses = map { { id => "wamid.$_", status => 'sent', timestamp => '' . int($first_second), recipient_id => sprintf('346%08d', $_), biz_opaque_callback_data => "wa1:$installation:$_:1" } } @ids;
	return envelope({ contacts => [ map { { profile => { name => "Cliente $_" }, wa_id => sprintf('346%08d', $_), user_id => "ES.$_" } } @ids ], statuses => \@statuses });
}

sub envelope
{
	my ($value) = @_;
	return $json->encode({ object => 'whatsapp_business_account', entry => [ { id => '3', changes => [ { field => 'messages', value => { metadata => { phone_number_id => '100000000000001' }, %$value } } ] } ] });
}

sub button
{
	my ($n, $payload) = @_;
	return envelope({ messages => [ { from => sprintf('346%08d', $n), id => "wamid.in.$n", timestamp => '' . int($first_second), type => 'button', button => { payload => $payload, text => 'x' } } ] });
}

sub new_messages
{
	my ($n) = @_;
	$node->safe_psql('postgres', qq{
		INSERT INTO whatsapp_tenants (tenant_id) VALUES ('panaderia') ON CONFLICT DO NOTHING;
		WITH m AS (INSERT INTO whatsapp_messages (tenant_id, phone_number_id, recipient_phone, message_type, payload, status, attempts, accepted_at, finished_at)
			SELECT 'panaderia', '100000000000001', '+346' || lpad(n::text, 8, '0'), 'text', '{}', 'accepted', 1, clock_timestamp(), clock_timestamp() FROM generate_series(1, $n) n RETURNING id)
		SELECT count(*) FROM m;
		UPDATE whatsapp_messages SET whatsapp_message_id = 'wamid.' || id, recipient_phone = '+346' || lpad(id::text, 8, '0')
			WHERE whatsapp_message_id IS NULL});
	my $last = $node->safe_psql('postgres', 'SELECT max(id) FROM whatsapp_messages');
	return $last - $n + 1 .. $last;
}

# ---- the handshake ---------------------------------------------------------------------

sub handshake
{
	my ($query) = @_;
	my $reply = $gateway->get("/webhook?$query", token => undef);
	return "$reply->{status} " . ($reply->{status} == 200 ? $reply->{content} : $reply->{json}{field} // '');
}
is(handshake('hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=verify-me'), '200 1158201444', 'the handshake gets its challenge back');
is(handshake('hub.mode=subscribe&hub.challenge=1&hub.verify_token=verify-m'), '403 ', 'for the right token alone');
is(handshake('hub.mode=subscribe&hub.challenge=1'), '403 ', 'not without one');
is(handshake('hub.mode=unsubscribe&hub.challenge=1&hub.verify_token=verify-me'), '400 hub.mode', 'in the right mode');
is(handshake('hub.mode=subscribe&hub.verify_token=verify-me'), '400 hub.challenge', 'with a challenge');
is(handshake('hub.mode=subscribe&hub.verify_token=verify-me&hub.challenge=' . 'x' x 1025), '400 hub.challenge', 'of some length');
is($gateway->request('PUT', '/webhook', token => undef)->{headers}{allow}, 'GET, HEAD, POST, OPTIONS', 'what the address takes');

# ---- one webhook -------------------------------------------------------------------------

my ($id) = new_messages(1);
my $body = statuses_body($id);
my $reply = deliver($body);
is("$reply->{status} $reply->{content}", '200 ', 'a webhook is taken in');
is_query("SELECT status FROM whatsapp_messages WHERE id = $id", 'sent', 'it is in the table');
is_query("SELECT name FROM whatsapp_contacts WHERE user_id = 'ES.$id'", "Cliente $id", 'as is whom it is about');
is(deliver($body)->{status}, 200, 'a repetition is as good');
foreach my $case ([ '<html>', 'not JSON: invalid value at byte 0' ], [ '', 'not JSON: invalid value at byte 0' ], [ "{\"a\": \"\xff\"}", 'not UTF-8' ])
{
	$node->safe_psql('postgres', 'DELETE FROM whatsapp_parked_events');
	is(deliver($case->[0])->{status}, 200, 'what is signed and cannot be read is taken in');
	is_query('SELECT reason FROM whatsapp_parked_events', $case->[1], 'and kept with the reason');
}
$node->safe_psql('postgres', 'DELETE FROM whatsapp_parked_events');
is(deliver('[' . ' ' x (3 * 1024 * 1024 - 2) . ']')->{status}, 200, 'three megabytes');
like($gateway->raw("POST /webhook HTTP/1.1\r\nHost: x\r\nX-Hub-Signature-256: sha256=" . '0' x 64 . "\r\nContent-Length: 3145729\r\n\r\n"), qr{^HTTP/1.1 413 }, 'and no more');

# ---- signatures ----------------------------------------------------------------------------

is(deliver($body, signature => $_->[0])->{status}, 401, $_->[1])
  foreach [ undef, 'no signature' ], [ 'sha256=' . '0' x 64, 'a wrong one' ], [ sign("$body "), "another body's" ], [ sign($body, 'another'), 'with another secret' ],
  [ 'sha1=' . '0' x 40, 'the older algorithm' ], [ sign($body) . '0', 'a digit too many' ], [ substr(sign($body), 0, -1), 'a digit too few' ];
is(deliver($body, signature => 'sha256=' . uc substr sign($body), 7)->{status}, 200, 'digits may be capitals');

# A connection that is kept, as Meta does; the response's status.
sub connection { return IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $gateway->port) // die "could not connect: $@" }

sub request_text
{
	my ($content, $signature) = @_;
	return "POST /webhook HTTP/1.1\r\nHost: x\r\nX-Hub-Signature-256: $signature\r\nContent-Type: application/json\r\nContent-Length: " . length($content) . "\r\n\r\n$content";
}

sub next_status
{
	my ($socket, $seconds) = @_;
	my ($text, $deadline) = ('', time + ($seconds // patience()));
	while (time < $deadline)
	{
		return (split / /, $text)[1] if $text =~ /\A(.*?)\r\n\r\n/s && length($text) >= length($1) + 4 + ($1 =~ /Content-Length: (\d+)/i ? $1 : 0);
		last unless IO::Select->new($socket)->can_read(0.2) ? sysread($socket, $text, 4096, length $text) : 1;
	}
	return 'lost';
}

# Nothing of it reaches the database, nor the log.
{
	my $lines = () = $gateway->access_log;
	my $activity = "SELECT string_agg(query_start::text, ' ' ORDER BY pid) FROM pg_stat_activity WHERE usename LIKE 'gateway%'";
	my $quiet = $node->safe_psql('postgres', $activity);
	my $socket = connection();
	my %answers;
	my $text = request_text($body, 'sha256=' . '1' x 64);
	foreach (1 .. 2000) { syswrite $socket, $text; $answers{ next_status($socket) }++ }
	is(join(' ', %answers), '401 2000', 'a flood of wrong signatures');
	isnt($quiet, '', 'there are sessions that could');
	is($node->safe_psql('postgres', $activity), $quiet, 'the database hears nothing of it');
	is(scalar(() = $gateway->access_log), $lines, 'nor does the log');
}

# ---- rotation ---------------------------------------------------------------------------------

sub becomes
{
	my ($status, $name, %options) = @_;
	my $got;
	wait_until(sub { ($got = deliver($body, %options)->{status}) == $status });
	return is($got, $status, $name);
}
write_secret('app_secret', "a-new-secret\n$secret\n");
becomes(503, 'a secret that the gateway knows and the server does not: Meta is to come again', signature => sign($body, 'a-new-secret'));
like($gateway->stderr, qr/webhooks are answered with 503: the server has another app secret/, 'as the log says');
is(deliver($body)->{status}, 200, 'the old one is valid meanwhile');
$node->append_conf('postgresql.conf', "whatsapp_shared.app_secret = 'a-new-secret,$secret'");
$node->reload;
becomes(200, 'once the server knows it, too, it is taken in', signature => sign($body, 'a-new-secret'));
write_secret('app_secret', "\n");
write_secret('verify_token', "another-token\n");
wait_until(sub { handshake('hub.mode=subscribe&hub.challenge=1&hub.verify_token=another-token') =~ /^200/ });
is(handshake('hub.mode=subscribe&hub.challenge=1&hub.verify_token=verify-me'), '403 ', 'a verify token is replaced, too');
like($gateway->stderr, qr/app_secret is empty; the app secret that it had before is still valid/, 'a file that is of no use is complained of');
is(deliver($body)->{status}, 200, 'and what it had before stays valid');
write_secret('app_secret', "$secret\n");
write_secret('verify_token', "verify-me\n");

# ---- slow handlers ------------------------------------------------------------------------------

$node->safe_psql('postgres', q{
	CREATE FUNCTION slow(reply jsonb) RETURNS void LANGUAGE sql AS 'SELECT pg_advisory_lock_shared(1), pg_advisory_unlock_shared(1)';
	SELECT wa_on_reply('SLOW', 'slow(jsonb)')});
{
	my $waiting = q{SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted};
	my $gate = $node->background_psql('postgres');
	$gate->query_safe('SELECT pg_advisory_lock(1)');
	my @slow = map { connection() } 1 .. 3;
	# A handler may take five seconds; on a busy machine fewer statuses come meanwhile.
	my $enough = time + 3;
	# Of people whom nothing else is about.
	foreach my $n (0 .. $#slow)
	{
		my $content = button(99_000_000 + $n, 'SLOW');
		syswrite $slow[$n], request_text($content, sign($content));
	}
	$node->poll_query_until('postgres', $waiting, '3');
	my @ids = new_messages(100);
	my (@times, %answers);
	my $socket = connection();
	foreach my $id (@ids)
	{
		last if @times && time > $enough;
		my $content = statuses_body($id);
		my $began = stopwatch($gateway, $node);
		syswrite $socket, request_text($content, sign($content));
		$answers{ next_status($socket) }++;
		push @times, $began->seconds;
	}
	@times = sort { $a <=> $b } @times;
	is(join(' ', %answers), '200 ' . scalar @times, 'statuses are taken in while handlers run');
	my $median = $times[ @times / 2 ];
	cmp_ok($median, '<', 0.1, sprintf('in the time that they always take (%.1f ms)', 1000 * $median));
	is(scalar(() = IO::Select->new(@slow)->can_read(0)), 0, 'and the handlers are still at it');
	$gate->query_safe('SELECT pg_advisory_unlock(1)');
	$gate->quit;
	is(join(' ', map { next_status($_) } @slow), '200 200 200', 'which end in their own time');
}

# ---- whatever dies -------------------------------------------------------------------------------

# Several connections that have a webhook each on its way, until the code, if any, has
# been called in the middle of it and everything is answered.  One message is locked until
# then, so that a transaction is under way for certain.  Returns, by message, the answers.
sub under_load
{
	my ($ids, $in_the_middle) = @_;
	my $holder = $node->background_psql('postgres');
	$holder->query_safe("SET application_name = 'holder'; BEGIN; SELECT FROM whatsapp_messages WHERE id = $ids->[0] FOR UPDATE") if $in_the_middle;
	my @todo = @$ids;
	my (%busy, %answers);
	my $select = IO::Select->new;
	my $done = 0;

	foreach my $socket (map { connection() } 1 .. 16)
	{
		$select->add($socket);
		$busy{ fileno $socket } = { socket => $socket, text => '' };
	}
	my $next = sub {
		my ($state) = @_;
		my $id = shift @todo;
		return $select->remove($state->{socket}) unless defined $id;
		my $content = statuses_body($id);
		@$state{qw(id text)} = ($id, '');
		syswrite $state->{socket}, request_text($content, sign($content));
	};
	local $SIG{PIPE} = 'IGNORE';
	$next->($_) foreach values %busy;
	while ($select->count)
	{
		foreach my $socket ($select->can_read(0.5))
		{
			my $state = $busy{ fileno $socket };
			if (!sysread($socket, $state->{text}, 4096, length $state->{text}))
			{
				push @{ $answers{ $state->{id} } }, 'lost';
				$select->remove($socket);
			}
			elsif ($state->{text} =~ m{\AHTTP/1.1 (\d+) .*?\r\n\r\n}s)
			{
				my $status = $1;
				next if $state->{text} =~ /Content-Length: (\d+)/i && length($state->{text}) < $+[0] + $1;
				push @{ $answers{ $state->{id} } }, $status;
				# Soon: that of the locked message must be waiting when the middle has come.
				unshift @todo, $state->{id} if $status != 200;
				if (++$done == 200 && $in_the_middle)
				{
					wait_until(sub { $node->safe_psql('postgres', "SELECT count(*) > 0 FROM pg_stat_activity WHERE usename = 'gateway_webhook' AND wait_event_type = 'Lock'") eq 't' });
					$in_the_middle->();
					$node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'holder'});
				}
				$next->($state);
			}
		}
	}
	$node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'holder'});
	eval { $holder->quit };
	return \%answers;
}

# What was answered with 200 and is not there.
sub missing
{
	my ($answers) = @_;
	my @taken = grep { grep { $_ eq '200' } @{ $answers->{$_} } } keys %$answers;
	return $node->safe_psql('postgres', 'SELECT count(*) FROM whatsapp_messages WHERE status <> \'sent\' AND id = ANY (\'{' . join(',', @taken) . "}')") . ' of ' . scalar @taken;
}

my @ids = new_messages(600);
my $answers = under_load(\@ids, sub { $node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'gateway_webhook'}) });
is(missing($answers), '0 of 600', 'backends are terminated: what was answered with 200 is there, and in the end all is');

@ids = new_messages(600);
$answers = under_load(\@ids, sub { $node->stop('immediate'); $node->start });
is(missing($answers), '0 of 600', 'the server crashes: what was answered with 200 is there, and in the end all is');
cmp_ok(scalar(grep { @$_ > 1 } values %$answers), '<', 100, 'nearly all of it at once, because the gateway waits for the server');

# The gateway itself: what it had not answered Meta sends again.
@ids = new_messages(600);
my $killed = 0;
$answers = under_load(\@ids, sub { kill 'KILL', $gateway->pid; $killed = 1 });
my @lost = grep { grep { $_ eq 'lost' } @{ $answers->{$_} } } keys %$answers;
ok($killed && @lost, 'the gateway is killed: some are lost to Meta');
like(missing($answers), qr/^0 of \d+$/, 'nothing that it had answered with 200 is missing');
$gateway->stop;
$gateway = WaGateway->start($node, arguments => \@arguments);
my %taken = map { $_ => 1 } grep { grep { $_ eq '200' } @{ $answers->{$_} } } keys %$answers;
$answers = under_load([ grep { !$taken{$_} } @ids ]);
like(missing($answers), qr/^0 of \d+$/, 'and Meta can send the others to its successor');
is_query("SELECT count(*) FROM whatsapp_messages WHERE status <> 'sent'", '0', 'so that nothing is missing at all');

# ---- what the server says of errors ------------------------------------------------------------------

# It may quote anything, so it is a line, and without details.
$node->safe_psql('postgres', q{
	ALTER FUNCTION wa_webhook_ingest_many(bytea[], text[]) RENAME TO ingest_many;
	CREATE FUNCTION wa_webhook_ingest_many(bytea[], text[], OUT ordinal int, OUT outcome text, OUT sqlstate text, OUT message text) LANGUAGE plpgsql AS
		$$BEGIN RAISE EXCEPTION E'out of\nspace' USING DETAIL = 'for +5215512345678'; END$$});
is(deliver($body)->{status}, 503, 'an error is 503');
like($gateway->stderr, qr/^wa_gateway: webhooks are answered with 503: out of space$/m, 'of which there is a line');
unlike($gateway->stderr, qr/5512345678|DETAIL|^(?!wa_gateway: )/m, 'and no more');
$node->safe_psql('postgres', q{
	DROP FUNCTION wa_webhook_ingest_many(bytea[], text[]);
	ALTER FUNCTION ingest_many(bytea[], text[]) RENAME TO wa_webhook_ingest_many});
is(deliver($body)->{status}, 200, 'it is over');

# ---- no database ---------------------------------------------------------------------------------

$node->stop;
my $began = time;
$reply = deliver($body);
is($reply->{status}, 503, 'without a database it is 503');
ok($reply->{headers}{'retry-after'}, 'with the advice to come again');
is(deliver($body, signature => 'sha256=' . '1' x 64)->{status}, 401, 'a wrong signature is wrong all the same');
$node->start;
$gateway->wait_until_ready;
becomes(200, 'and when it is back, so is everything else');

$gateway->stop;
$gateway = WaGateway->start($node);
is(deliver($body)->{status}, 503, 'without an app secret there are no webhooks');
is(handshake('hub.mode=subscribe&hub.challenge=1&hub.verify_token='), '503 ', 'nor a handshake without a token');

done_testing();
