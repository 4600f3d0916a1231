# What the simulator tells a business: statuses, users, events; in pull mode and
# in files.  webhook_push.t looks at delivery by HTTP.
use strict;
use warnings;
use utf8;

use Digest::SHA qw(hmac_sha256_hex);
use File::Temp qw(tempdir);
use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../lib";

use SimClient;
use Test::More;
use WaSimulator;

my $sim = WaSimulator->start('--webhook-pull', '--app-secret' => 'geheim ñ');

# Items of these posts, as [kind, item, change value].
sub items
{
	my @items;
	for my $post (@_)
	{
		for my $entry (@{ decode($post->{body})->{entry} })
		{
			for my $change (@{ $entry->{changes} })
			{
				for my $kind (qw(statuses messages))
				{
					push @items, map { [ $kind, $_, $change->{value} ] } @{ $change->{value}{$kind} // [] };
				}
			}
		}
	}
	return @items;
}

# Sends so many messages and returns the statuses that come of each, in order.
sub ways
{
	my ($count, %settings) = @_;
	$sim->reset_all;
	$sim->config(%settings);
	my %way;
	for my $i (1 .. $count)
	{
		my (undef, $answer) = send_message($sim, text_message(biz_opaque_callback_data => "m:$i"));
		$way{"m:$i"} = '';
	}
	my @items = items($sim->all_webhooks);
	for my $item (@items)
	{
		$way{ $item->[1]{biz_opaque_callback_data} } .= substr($item->[1]{status}, 0, 1);
	}
	$sim->config(map { $_ => $_ eq 'webhook_late_ms' ? 1000 : 0 } grep { /percent|late/ } keys %settings);
	return values %way;
}

subtest 'one message' => sub {
	$sim->stop_clock;
	my (undef, $answer) = send_message($sim,
		template_message(biz_opaque_callback_data => "a\"\\ñ:1"));
	my @names;
	for my $step (1 .. 3)
	{
		is(scalar $sim->webhooks, 0, 'nothing before its time');
		$sim->advance_clock(10);
		my @posts = $sim->webhooks;
		is(scalar @posts, 1, 'one post then');
		is($posts[0]{signature},
			'sha256=' . hmac_sha256_hex($posts[0]{body}, do { my $s = 'geheim ñ'; utf8::encode($s); $s }),
			'signature over the bytes');
		my ($item) = items(@posts);
		my ($kind, $status, $value) = @$item;
		push @names, $status->{status};
		is($status->{id}, $answer->{messages}[0]{id}, 'message id');
		is($status->{biz_opaque_callback_data}, "a\"\\ñ:1", 'opaque data, verbatim');
		is($status->{recipient_id}, '34600900001', 'recipient');
		like($status->{timestamp}, qr/\A\d{10}\z/, 'time is a string of seconds');
		is_deeply(
			$value->{metadata},
			{ display_phone_number => '34600000001', phone_number_id => NUMBER }, 'metadata');
		is($value->{contacts}[0]{wa_id}, '34600900001', 'contact');
		is($value->{contacts}[0]{user_id}, $status->{recipient_user_id}, 'user id');
		if ($status->{status} eq 'read')
		{
			ok(!exists $status->{pricing}, 'no price');
		}
		else
		{
			is_deeply(
				$status->{pricing},
				{ billable => JSON::PP::true, pricing_model => 'PMP', type => 'regular', category => 'utility' },
				'price');
		}
		my $body = decode($posts[0]{body});
		is($body->{object}, 'whatsapp_business_account', 'object');
		is($body->{entry}[0]{id}, WABA, 'account');
		ok(!exists $body->{entry}[0]{time}, 'no time in an entry of messages');
	}
	is("@names", 'sent delivered read', 'statuses');
	is($sim->stats->{webhooks}{pending_messages}, 0, 'that was all');
	$sim->stop_clock(0);
};

subtest 'kinds of messages' => sub {
	my %category = (codigo_acceso => 'authentication', oferta_semanal => 'marketing', saludo => 'utility');
	$sim->config(accept_any_template => JSON::PP::true);
	for my $name (sort keys %category)
	{
		my $message = template_message();
		$message->{template} = { name => $name, language => { code => 'es' } };
		$sim->config(templates => [ { name => $name, language => 'es', components => [ { type => 'BODY', text => 'x' } ] } ]);
		send_message($sim, $message);
		my ($item) = items($sim->all_webhooks);
		is($item->[1]{pricing}{category}, $category{$name}, "$name: category");
	}
	send_message($sim, text_message());
	my @items = items($sim->all_webhooks);
	is($items[0][1]{pricing}{category}, 'service', 'text: category');
	ok(!exists $items[0][1]{biz_opaque_callback_data}, 'no opaque data, none told');

	my $message = text_message(type => 'reaction', reaction => { message_id => 'wamid.X', emoji => 'x' });
	delete $message->{text};
	send_message($sim, $message);
	is(join(' ', map { $_->[1]{status} } items($sim->all_webhooks)), 'sent', 'reactions are only sent');
	$message = text_message(type => 'audio', audio => { id => '1', voice => JSON::PP::true });
	delete $message->{text};
	send_message($sim, $message);
	is(join(' ', map { $_->[1]{status} } items($sim->all_webhooks)), 'sent delivered read played', 'voice notes are played');

	$message = text_message(recipient => 'ES.7001');
	delete $message->{to};
	send_message($sim, $message);
	my ($item) = items($sim->all_webhooks);
	is($item->[1]{recipient_user_id}, 'ES.7001', 'user id');
	ok(!exists $item->[1]{recipient_id}, 'no phone number in the status');
	is_deeply([ sort keys %{ $item->[2]{contacts}[0] } ], [qw(profile user_id)], 'nor in the contact');

	send_message($sim, text_message(to => 'nobody'));
	is(scalar $sim->all_webhooks, 0, 'nothing about refused messages');
};

subtest 'failures' => sub {
	is_deeply([ ways(5, webhook_fail_percent => 100) ], [ ('f') x 5 ], 'all fail');
	is_deeply([ ways(5, webhook_fail_percent => 100, webhook_fail_after_sent => JSON::PP::true) ],
		[ ('sf') x 5 ], 'after they were sent');
	$sim->config(webhook_fail_after_sent => JSON::PP::false);
	my @some = ways(60, webhook_fail_percent => 50);
	my $failed = grep { $_ eq 'f' } @some;
	cmp_ok($failed, '>', 10, 'some fail');
	cmp_ok($failed, '<', 50, 'not all');

	$sim->faults({ webhook_code => 131050, match => { recipient => '34600900007' } });
	send_message($sim, text_message(to => '+34600900007'));
	my ($item) = items($sim->all_webhooks);
	is_deeply(
		$item->[1]{errors},
		[ {
				code       => 131050,
				title      => 'User has stopped receiving marketing messages from you',
				message    => 'User has stopped receiving marketing messages from you',
				error_data => { details => 'User has stopped receiving marketing messages from you' },
				href       => 'https://developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes/'
			} ],
		'by rule');
	ok(!exists $item->[2]{contacts}, 'no contact in a failure');
	$sim->faults({ webhook_none => JSON::PP::true, cut => 'accepted' });
	is(request($sim, text_message())->{end}, 'reset', 'cut after acceptance');
	is(scalar $sim->all_webhooks, 0, 'and no word about it');
	$sim->faults({ cut => 'accepted' });
	request($sim, text_message(biz_opaque_callback_data => 'lost:1'));
	is(join(' ', map { $_->[1]{biz_opaque_callback_data} } items($sim->all_webhooks)),
		'lost:1 lost:1 lost:1', 'webhooks tell what the answer could not');
	$sim->faults({ cut => 'received' });
	request($sim, text_message());
	is(scalar $sim->all_webhooks, 0, 'not accepted, not told');
	$sim->faults;
};

subtest 'disturbances' => sub {
	is_deeply([ ways(3) ], [ ('sdr') x 3 ], 'none');
	is_deeply([ ways(3, webhook_skip_delivered_percent => 100) ], [ ('sr') x 3 ], 'delivered skipped');
	is_deeply([ ways(3, webhook_no_read_percent => 100) ], [ ('sd') x 3 ], 'never read');
	is_deeply([ ways(3, webhook_lose_percent => 100) ], [ ('') x 3 ], 'all lost');
	my %ways = map { $_ => 1 } ways(60, webhook_reorder_percent => 100);
	is_deeply([ sort keys %ways ], [qw(drs dsr rds rsd sdr srd)], 'every order');
	%ways = map { $_ => 1 } ways(40, webhook_repeat_percent => 50, webhook_late_ms => 0);
	cmp_ok(scalar keys %ways, '>', 3, 'some twice');
	is(scalar(grep { !/^s+d+r+$/ } keys %ways), 0, 'in order all the same');
	is_deeply([ ways(3, webhook_repeat_percent => 100, webhook_late_ms => 200) ], [ ('sdrsdr') x 3 ], 'repeated later');
	%ways = map { $_ => 1 } ways(40, webhook_late_percent => 50, webhook_late_ms => 100);
	cmp_ok(scalar keys %ways, '>', 3, 'late ones change the order');
	is_deeply([ ways(3, webhook_repeat_post_percent => 100) ], [ ('ssddrr') x 3 ], 'whole posts twice');

	my $one = join ' ', ways(30, webhook_reorder_percent => 50);
	like($one, qr/sdr/, 'some in order');
	unlike($one, qr/^(sdr ?)+$/, 'some not');
};

subtest 'times' => sub {
	$sim->reset_all;
	$sim->stop_clock;
	$sim->config(webhook_delivered_ms => 60_000, webhook_read_ms => 60_000, webhook_reorder_percent => 100);
	send_message($sim, text_message(biz_opaque_callback_data => "m:$_")) for 1 .. 10;
	$sim->advance_clock(150_000);
	$sim->stop_clock(0);
	my %times;
	$times{ $_->[1]{biz_opaque_callback_data} }{ $_->[1]{status} } = $_->[1]{timestamp} for items($sim->all_webhooks);
	my @gaps = map { $_->{delivered} - $_->{sent}, $_->{read} - $_->{delivered} } values %times;
	is_deeply(\@gaps, [ (60) x 20 ], 'tell when it happened, in whichever order');
	$sim->config(webhook_delivered_ms => 10, webhook_read_ms => 10, webhook_reorder_percent => 0);
};

subtest 'batches' => sub {
	$sim->reset_all;
	$sim->config(webhook_batch => 50, webhook_batch_ms => 3_600_000);
	send_message($sim, text_message(), number => $_ % 2 ? NUMBER : '100000000000002') for 1 .. 16;
	my @posts = $sim->webhooks(1);
	@posts = $sim->webhooks(10, 100) until @posts || !$sim->stats->{webhooks}{pending_messages};
	is(scalar @posts, 0, 'not full, not sent');
	send_message($sim, text_message());
	@posts = $sim->webhooks(10, 10_000);
	is(scalar @posts, 1, 'full');
	is($posts[0]{items}, 50, 'fifty in one');
	is(scalar items(@posts), 50, 'all there');
	my $changes = decode($posts[0]{body})->{entry}[0]{changes};
	cmp_ok(scalar @$changes, '>', 1, 'several changes');
	for my $change (@$changes)
	{
		my $number = $change->{value}{metadata}{phone_number_id};
		my %wamid  = map { $_->{wamid} => $_->{number} } $sim->accepted;
		is(scalar(grep { $wamid{ $_->{id} } ne $number } @{ $change->{value}{statuses} }),
			0, 'each of one number');
	}
	$sim->config(webhook_batch => 1, webhook_batch_ms => 0);
	$sim->reset_all;
};

subtest 'users' => sub {
	my $id = $sim->inbound(number => NUMBER, from => '+34600900001', name => 'Ana', type => 'text', text => { body => 'BAJA' });
	my ($item) = items($sim->all_webhooks);
	my ($kind, $message, $value) = @$item;
	is($message->{id}, $id, 'id');
	is_deeply(
		[ $kind, @$message{qw(from type)}, $message->{text}{body}, $value->{contacts}[0]{profile}{name}, $value->{contacts}[0]{wa_id} ],
		[ 'messages', '34600900001', 'text', 'BAJA', 'Ana', '34600900001' ], 'text');
	my $user_id = $message->{from_user_id};
	like($user_id, qr/^ES\.\d{16}$/, 'user id');
	send_message($sim, text_message());
	is((items($sim->all_webhooks))[0][1]{recipient_user_id}, $user_id, 'the same in statuses');

	$sim->inbound(number => NUMBER, from_user_id => 'ES.7001', type => 'image', image => { id => '7', mime_type => 'image/jpeg' });
	($item) = items($sim->all_webhooks);
	is($item->[1]{from_user_id}, 'ES.7001', 'user without phone number');
	ok(!exists $item->[1]{from} && !exists $item->[2]{contacts}[0]{wa_id}, 'none told');
	is($item->[1]{image}{id}, '7', 'any type');
	$sim->inbound(number => NUMBER, from => '+34600900001', type => 'system',
		system => { type => 'user_changed_number', wa_id => '34600900009' });
	is((items($sim->all_webhooks))[0][1]{system}{wa_id}, '34600900009', 'system');
	$sim->inbound(number => NUMBER, from => '+34600900001', type => 'unsupported', errors => [ { code => 131051 } ]);
	is((items($sim->all_webhooks))[0][1]{errors}[0]{code}, 131051, 'unsupported');

	for my $case (
		[ { from => '+34600900001', type => 'text', text => {} }, qr/"number"/ ],
		[ { number => NUMBER, type => 'text', text => {} }, qr/"from"/ ],
		[ { number => NUMBER, from => 'Ana', type => 'text', text => {} }, qr/"from" is not/ ],
		[ { number => NUMBER, from => '+34600900001' }, qr/"type"/ ],
		[ { number => NUMBER, from => '+34600900001', type => 'text' }, qr/named after the type/ ])
	{
		ok(!eval { $sim->inbound(%{ $case->[0] }); 1 }, 'wrong');
		like($@, $case->[1], 'reason');
	}
};

subtest 'presses' => sub {
	my $message = template_message();
	push @{ $message->{template}{components} },
	  { type => 'button', sub_type => 'quick_reply', index => '0', parameters => [ { type => 'payload', payload => 'CONFIRM:7' } ] };
	my (undef, $answer) = send_message($sim, $message);
	my $wamid = $answer->{messages}[0]{id};
	$sim->all_webhooks;
	$sim->press($wamid);
	my ($item) = items($sim->all_webhooks);
	is_deeply($item->[1]{button}, { payload => 'CONFIRM:7', text => 'Confirmar pedido' }, 'quick reply');
	is_deeply($item->[1]{context}, { from => '34600000001', id => $wamid }, 'of that message');
	is($item->[1]{from}, '34600900001', 'by its recipient');
	ok(!eval { $sim->press($wamid, 1); 1 }, 'no such button');
	ok(!eval { $sim->press('wamid.X'); 1 }, 'no such message');

	(undef, $answer) = send_message($sim, template_message());
	$sim->press($answer->{messages}[0]{id});
	($item) = grep { $_->[0] eq 'messages' } items($sim->all_webhooks);
	is_deeply($item->[1]{button}, { payload => 'Confirmar pedido', text => 'Confirmar pedido' }, 'without payload');

	my $interactive = text_message(
		type        => 'interactive',
		interactive => {
			type => 'button', body => { text => 'x' },
			action => { buttons => [ map { { type => 'reply', reply => { id => "b$_", title => "B$_" } } } 0, 1 ] }
		});
	delete $interactive->{text};
	(undef, $answer) = send_message($sim, $interactive);
	$sim->press($answer->{messages}[0]{id}, 1);
	($item) = grep { $_->[0] eq 'messages' } items($sim->all_webhooks);
	is_deeply(
		$item->[1]{interactive},
		{ type => 'button_reply', button_reply => { id => 'b1', title => 'B1' } }, 'reply button');
	$interactive->{interactive} = {
		type   => 'list', body => { text => 'x' },
		action => { button => 'Ver', sections => [ map { { title => "S$_", rows => [ { id => "r$_", title => "R$_" } ] } } 0, 1 ] }
	};
	(undef, $answer) = send_message($sim, $interactive);
	$sim->press($answer->{messages}[0]{id}, 1);
	($item) = grep { $_->[0] eq 'messages' } items($sim->all_webhooks);
	is_deeply(
		$item->[1]{interactive},
		{ type => 'list_reply', list_reply => { id => 'r1', title => 'R1' } }, 'list row');
};

subtest 'events' => sub {
	my $value = { event => 'PAUSED', message_template_name => 'pedido_nuevo', reason => 'NONE' };
	$sim->event('message_template_status_update', $value);
	my ($post) = $sim->all_webhooks;
	my $entry = decode($post->{body})->{entry}[0];
	is_deeply($entry->{changes}, [ { field => 'message_template_status_update', value => $value } ], 'as given');
	like($entry->{time}, qr/\A\d{10}\z/, 'with a time');
	is(decode($post->{body})->{entry}[0]{id}, WABA, 'account');
	ok(!eval { $sim->event('x'); 1 }, 'no value');
};

subtest 'waiting for a webhook' => sub {
	my @posts = $sim->webhooks(1, 20);
	is(scalar @posts, 0, 'not for ever');
	$sim->event('account_update', { n => $_ }) for 1 .. 3;
	is(scalar($sim->webhooks(2)), 2, 'max');
	is(scalar($sim->webhooks(2)), 1, 'the rest');
};

is($sim->stop, 0, 'ends in good order');

subtest 'files' => sub {
	my $dir  = tempdir(CLEANUP => 1);
	my $sim2 = WaSimulator->start('--webhook-spool' => $dir, '--webhook-sent-ms' => 0,
		'--webhook-delivered-ms' => 0, '--webhook-read-ms' => 0);
	send_message($sim2, text_message());
	$sim2->event('account_update', {});
	is($sim2->stop, 0, 'ends in good order');
	my @files = map { s{.*/}{}r } sort glob "$dir/*";
	is_deeply(
		\@files,
		[ map { ("00000000$_.body", "00000000$_.signature") } 1 .. 4 ], 'a body and a signature each');
	for my $n (1 .. 4)
	{
		my ($body, $signature) = map {
			open my $f, '<:raw', "$dir/00000000$n.$_" or die $!;
			local $/;
			<$f>
		} qw(body signature);
		is($signature, 'sha256=' . hmac_sha256_hex($body, 'SIMULATOR_APP_SECRET'), "signature $n");
	}
};

my $silent = WaSimulator->start;
send_message($silent, text_message());
is($silent->stats->{webhooks}{items}, 0, 'no webhooks unless asked for');
ok(!eval { $silent->webhooks; 1 }, 'nor pull mode');
ok(!eval { $silent->inbound(number => NUMBER, from => '+34600900001', type => 'text', text => {}); 1 }, 'nor users');

done_testing();
