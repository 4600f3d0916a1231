# Files on their way to Meta: uploaded once, before the messages that send them;
# through deaths, refusals, changes of number and the end of Meta's ids.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use Digest::SHA qw(sha256_hex);
use HTTP::Tiny;
use JSON::PP ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use WaDelivery qw(new_delivery wait_for wait_status status_of settled invariants_hold);
use WaTest qw(sender_pids set_and_reload logged_nothing_bad);

my ($node, $sim) = new_delivery(
	'media',
	settings => [ 'restart_after_crash = on', "whatsapp_shared.max_attempts = 3" ]);
$sim->config(check_media => JSON::PP::true);
$node->safe_psql('postgres', <<'SQL');
INSERT INTO whatsapp_windows
    SELECT (100000000000000 + i)::text, '+34600112233', now() + interval '60 days' FROM generate_series(1, 6) AS i
SQL

my $http = HTTP::Tiny->new(timeout => 30);

sub sql { return $node->safe_psql('postgres', $_[0]) }

# A file of so many bytes, different for each seed, that has everything a body
# must survive: NUL, line ends, and what looks like a boundary.
sub file
{
	my ($seed, $size) = @_;
	my $bytes = "%PDF-1.7 $seed\r\n--whatsapp_shared-\r\n\0\xff--\r\n";
	return $bytes . chr(length $seed) x (($size // 5000) - length $bytes);
}

sub upload_call
{
	my ($tenant, $bytes, %options) = @_;
	my $type = $options{type} // 'application/pdf';
	my $name = $options{name} // 'factura.pdf';
	return "wa_upload_media('$tenant', decode('" . unpack('H*', $bytes) . "', 'hex'), '$type', '$name')";
}

sub upload { return sql('SELECT ' . upload_call(@_)) }

# A file and messages of it, one for each list of options, in one transaction.
sub upload_and_send
{
	my ($tenant, $bytes, @messages) = @_;
	my @calls = map {
		"SELECT wa_enqueue_media('$tenant', '+34600112233', 'document', media => :medium$_);"
	} @messages;
	return split /\n/, sql(join "\n", 'BEGIN;', 'SELECT ' . upload_call($tenant, $bytes) . ' AS medium \gset',
		'SELECT :medium;', @calls, 'COMMIT;');
}

sub document
{
	my ($tenant, $medium, %options) = @_;
	my $more = join '', map { ", $_ => $options{$_}" } sort keys %options;
	return sql("SELECT wa_enqueue_media('$tenant', '+34600112233', 'document', media => $medium$more)");
}

sub wait_medium
{
	my ($medium, $condition, $what) = @_;
	my $ok = $node->poll_query_until('postgres', "SELECT $condition FROM whatsapp_media WHERE id = $medium");
	ok($ok, $what)
	  or diag(sql("SELECT to_jsonb(m) - 'content' FROM whatsapp_media AS m WHERE id = $medium"));
	return $ok;
}

sub meta_id { return sql("SELECT media_id FROM whatsapp_media WHERE id = $_[0]") }

# What Meta has under this id.
sub at_meta
{
	my ($id) = @_;
	my $response = $http->get($sim->url . "/v25.0/$id",
		{ headers => { Authorization => 'Bearer SIMULATOR_TOKEN' } });
	return JSON::PP->new->decode($response->{content});
}

my $uploads = 0;

# How many uploads Meta has got since the last call: ids are given in sequence.
sub new_uploads
{
	my ($tell) = sort { $b <=> $a } split /\n/,
	  sql('SELECT DISTINCT media_id FROM whatsapp_media WHERE media_id IS NOT NULL');
	my $total = ($tell // 900000000000000) - 900000000000000;
	my $new = $total - $uploads;
	$uploads = $total;
	return $new;
}

# ---- the plain case --------------------------------------------------------------------

my $medium = upload('t1', file('one'), name => qq{Fáctura "17"\r\nX-Bad: 1.pdf});
my $message = document('t1', $medium, caption => "'Factura'", filename => "'F-17.pdf'");
wait_status($node, $message, 'accepted', 'a message that sends a new file is accepted');
my $id = meta_id($medium);
is(at_meta($id)->{sha256}, sha256_hex(file('one')), 'Meta has the bytes as they were given');
is(at_meta($id)->{mime_type}, 'application/pdf', 'and their type');
my ($sent) = $sim->accepted;
is_deeply($sent->{message}{document}, { id => $id, caption => 'Factura', filename => 'F-17.pdf' },
	"the message has Meta's id");
is(sql("SELECT expires_at - uploaded_at FROM whatsapp_media WHERE id = $medium"), '30 days', 'which is good for 30 days');
is(new_uploads(), 1, 'one upload');

is(upload('t1', file('one')), $medium, 'the same bytes again are the same file');
$message = document('t1', $medium);
is(sql("SELECT payload ->> 'id' FROM whatsapp_messages WHERE id = $message"), $id, 'of which the id is known at once');
wait_status($node, $message, 'accepted');
is(new_uploads(), 0, 'and which is not uploaded again');

# ---- of another tenant of the same number, and of another number --------------------------

sql("SELECT wa_configure_tenant('sin1', is_new => true), wa_configure_tenant('sin2', is_new => true)");
set_and_reload($node, phone_number_id => '100000000000006');
my ($first, $second) = map { upload($_, file('shared')) } 'sin1', 'sin2';
wait_medium($_, "status = 'uploaded'", "a file of a tenant of the default number is uploaded") foreach $first, $second;
isnt($first, $second, 'each tenant has a file of its own');
is(meta_id($first), meta_id($second), 'but Meta has one of it');
is(new_uploads(), 1, 'uploaded once');
my $other = upload('t2', file('shared'));
wait_medium($other, "status = 'uploaded'", 'the same bytes for another number');
is(new_uploads(), 1, 'are uploaded for it');

my $later = document('sin1', $first, scheduled_at => "now() + interval '1 hour'");
sql("SELECT wa_assign_phone('sin1', '100000000000005')");
wait_for($node, <<"SQL", 'a file is uploaded again for the number that its tenant gets');
SELECT f.phone_number_id = '100000000000005' AND m.payload ->> 'id' = f.media_id AND q.state = 'd'
FROM whatsapp_media f, whatsapp_messages m JOIN whatsapp_queue q ON q.message_id = m.id
WHERE f.id = $first AND m.id = $later
SQL
sql("SELECT wa_cancel_message($later)");
new_uploads();
set_and_reload($node, phone_number_id => undef);

# ---- refusals and failures ------------------------------------------------------------------

$sim->faults({ match => { edge => 'media', first => 1 }, code => 100, details => 'not a PDF' });
my ($bad, @refused) = upload_and_send('t1', file('bad'), '', ", scheduled_at => now() + interval '1 day'");
wait_medium($bad, "status = 'failed' AND content IS NULL", 'a file that Meta refuses has failed');
wait_status($node, $_, 'failed', 'and with it a message that waits for it') foreach @refused;
like(sql("SELECT explanation FROM wa_explain($refused[0])"), qr/file $bad could not be uploaded: .*not a PDF/,
	'which says why');
$node->psql('postgres', "SELECT wa_enqueue_media('t1', '+34600112233', 'document', media => $bad)", stderr => \my $stderr);
like($stderr, qr/file $bad could not be uploaded/, 'another message of it is refused');
$node->psql('postgres', "SELECT wa_retry_message($refused[0])", stderr => \$stderr);
like($stderr, qr/file $bad could not be uploaded/, 'and so is the message once more');
is(upload('t1', file('bad')), $bad, 'given again');
wait_medium($bad, "status = 'uploaded'", 'it is uploaded');
is(sql("SELECT wa_retry_message($refused[0])"), 't', 'and the message can be sent');
wait_status($node, $refused[0], 'accepted');

$sim->faults({ match => { edge => 'media', first => 1 }, code => 2 }, { match => { edge => 'media', nth => 2 }, cut => 'body', bytes => 500 });
my $shaky = upload('t1', file('shaky', 200000));
wait_medium($shaky, "status = 'uploaded' AND error IS NULL", 'an upload that fails in passing is repeated');
is(sql("SELECT attempts >= 2 FROM whatsapp_media WHERE id = $shaky"), 't', 'and the attempts are counted');

$sim->faults({ match => { edge => 'media' }, reply => 'html', status => 502 });
(my $hopeless, $message) = upload_and_send('t1', file('hopeless'), '');
wait_status($node, $message, 'failed', 'but not for ever');
is(sql("SELECT attempts FROM whatsapp_media WHERE id = $hopeless"), '3', 'after as many attempts as are allowed');
$sim->faults;

# ---- no number, switched off, explained ---------------------------------------------------------

sql("SELECT wa_configure_tenant('nuevo', is_new => true)");
my $early = upload('nuevo', file('early'));
$message = document('nuevo', $early);
is(sql("SELECT reason FROM wa_explain($message)"), 'no_number', 'without a number a message waits for that first');
sql("SELECT wa_assign_phone('nuevo', '100000000000004')");
wait_status($node, $message, 'accepted', 'with the number comes the upload, and then the message');

$sim->faults({ match => { edge => 'media' }, code => 190 });
my $waiting = upload('t3', file('waiting'));
$message = document('t3', $waiting);
wait_medium($waiting, "error_code = 190 AND attempts = 0 AND status = 'waiting'",
	'for a bad token the file is not to blame');
my $explained = sql("SELECT reason || ': ' || explanation FROM wa_explain($message)");
like($explained, qr/^media_upload: .*\(file $waiting, last attempt: Invalid OAuth access token/,
	'wa_explain says what the message waits for, and what went wrong');
is(sql("SELECT earliest IS NOT NULL FROM wa_explain($message)"), 't', 'and when it goes on');
$sim->faults;
sql("UPDATE whatsapp_media SET next_attempt_at = now() WHERE id = $waiting; SELECT wa_internal_wake_due(now())");
wait_status($node, $message, 'accepted', 'afterwards it goes out');
new_uploads();

# ---- death in the middle --------------------------------------------------------------------------

$sim->faults({ match => { edge => 'media' }, reply => 'hang' });
my $survivor = upload('t1', file('survivor', 300000));
my $orphan = document('t1', $survivor);
wait_medium($survivor, 'attempts = 1', 'an upload is on the wire');
is(sql(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'whatsapp_shared sender' AND xact_start IS NOT NULL}), '0',
	'and no transaction waits for it');
my ($pid) = sender_pids($node, 'postgres');
kill 'KILL', $pid;
$node->poll_query_until('postgres', 'SELECT 1', '1');
$sim->faults;
wait_status($node, $orphan, 'accepted', 'after kill -9 the file is uploaded and the message sent');
is(at_meta(meta_id($survivor))->{sha256}, sha256_hex(file('survivor', 300000)), 'with the right bytes');
is((grep { $_->{message}{document} && $_->{message}{document}{id} eq meta_id($survivor) } $sim->accepted), 1, 'once');

# ---- the end of Meta's id, and of our bytes -----------------------------------------------------------

new_uploads();
my $month = document('t1', $survivor, scheduled_at => "now() + interval '20 days'");
sql("SELECT wa_internal_clean_media('90 days')");
is(sql("SELECT content IS NOT NULL FROM whatsapp_media WHERE id = $survivor"), 't',
	'the bytes stay while a message waits');
sql("UPDATE whatsapp_media SET expires_at = now() - interval '1 hour', uploaded_at = now() - interval '30 days 1 hour' WHERE id = $survivor");
sql('SELECT wa_internal_wake_due(now())');
wait_for($node, <<"SQL", 'an id that has ended is replaced before its message is due');
SELECT f.expires_at > now() + interval '29 days' AND m.payload ->> 'id' = f.media_id AND q.state = 'd'
FROM whatsapp_media f, whatsapp_messages m JOIN whatsapp_queue q ON q.message_id = m.id
WHERE f.id = $survivor AND m.id = $month
SQL
is(new_uploads(), 1, 'by one more upload');
sql("SELECT wa_cancel_message($month)");

sql("UPDATE whatsapp_media SET uploaded_at = now() - interval '1 day', expires_at = now() + interval '29 days' WHERE id = $survivor; SELECT wa_internal_clean_media('90 days')");
is(sql("SELECT content IS NULL FROM whatsapp_media WHERE id = $survivor"), 't', 'then they are let go');
wait_status($node, document('t1', $survivor), 'accepted', "Meta's copy is still good");
$node->psql('postgres', "SELECT wa_enqueue_media('t1', '+34600112233', 'document', media => $survivor, scheduled_at => now() + interval '40 days')", stderr => \$stderr);
like($stderr, qr/file $survivor is not kept any longer/, 'but not for a message in 40 days');
sql("UPDATE whatsapp_media SET expires_at = now() WHERE id = $survivor");
is(upload('t1', file('survivor', 300000)), $survivor, 'given again after the end of its id');
wait_medium($survivor, "status = 'uploaded' AND expires_at > now()", 'it is uploaded anew');
is(new_uploads(), 1, 'once');

sql("UPDATE whatsapp_media SET expires_at = now() - interval '91 days'; SELECT wa_internal_clean_media('90 days')");
is(sql("SELECT count(*) FROM whatsapp_media WHERE id = $survivor"), '0', 'files long out of use are forgotten');

# ---- a tenant with many files does not keep the others waiting ---------------------------------------------

$sim->faults({ match => { edge => 'media', number => '100000000000001' }, reply => 'hang' });
my @many = map { upload('t1', file("many $_")) } 1 .. 10;
my $quick = upload('t2', file('quick'));
wait_medium($quick, "status = 'uploaded'", 'a file of another tenant passes a number that hangs');
is(sql('SELECT sum(attempts) FROM whatsapp_media WHERE id = ANY (ARRAY[' . join(',', @many) . '])'), '1',
	'of which one upload at a time is out');
$sim->faults;
$sim->release;
wait_medium($_, "status = 'uploaded'", 'the others follow') foreach @many;

settled($node);
invariants_hold($node);
logged_nothing_bad($node, 'nothing went wrong beside', qr/system is (?:in recovery mode|not yet accepting connections|starting up)|file \d+ (?:could not be uploaded|is not kept any longer)/);
$node->stop;
done_testing();
