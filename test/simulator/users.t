# Who the users are: forms of a number, IDs, names, numbers that are hidden, and
# every way in which a change of them is told; and what their messages cost.
use strict;
use warnings;
use utf8;

use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../lib";

use SimClient;
use Test::More;
use WaSimulator;

my $sim = WaSimulator->start('--webhook-pull');

# The changes of all that was told since: [field, value].
sub changes
{
	return map {
		map { map { [ @$_{qw(field value)} ] } @{ $_->{changes} } } @{ decode($_->{body})->{entry} }
	} $sim->all_webhooks;
}

# The last item of a list in it, and its contact.
sub last_of
{
	my ($list) = @_;
	my ($field, $value) = @{ (changes())[-1] };
	return ($value->{$list}[-1], $value->{contacts} && $value->{contacts}[-1], $field);
}

sub write_from { my (%more) = @_; return $sim->inbound(number => NUMBER, type => 'text', text => { body => 'Hola' }, %more) }
sub to_id { my ($id) = @_; my $message = text_message(recipient => $id); delete $message->{to}; return $message }

subtest 'another form of a number' => sub {
	$sim->config(users => [ { phone => '+5215512345678', forms => ['+525512345678'], wa_id => '5215512345678',
				user_id => 'MX.1', parent_user_id => 'MX.ENT.1', username => 'ana.pan', name => 'Ana' } ]);
	for my $form ('+525512345678', '+5215512345678')
	{
		my (undef, $answer) = send_message($sim, text_message(to => $form));
		is_deeply($answer->{contacts}, [ { input => $form, wa_id => '5215512345678' } ], "answer to $form");
	}
	my ($status, $contact) = last_of('statuses');
	is_deeply([ @$status{qw(recipient_id recipient_user_id recipient_parent_user_id)} ],
		[qw(5215512345678 MX.1 MX.ENT.1)], 'status');
	my $ana = { profile => { name => 'Ana', username => 'ana.pan' }, wa_id => '5215512345678',
		user_id => 'MX.1', parent_user_id => 'MX.ENT.1' };
	is_deeply($contact, $ana, 'contact');
	write_from(from => '+525512345678');
	(my $message, $contact) = last_of('messages');
	is_deeply([ @$message{qw(from from_user_id from_parent_user_id)} ], [qw(5215512345678 MX.1 MX.ENT.1)], 'message');
	is_deeply($contact, $ana, 'its contact');
	is(scalar @{ $sim->control('GET', 'config')->{users} }, 1, 'it is one user');
};

subtest 'hidden numbers' => sub {
	my %user = (phone => '+34600900010', user_id => 'ES.10');
	my $hidden;
	for my $case ([ JSON::PP::true, undef ], [ 'empty', '' ], [ 'user_id', 'ES.10' ])
	{
		($hidden, my $wanted) = @$case;
		$sim->config(users => [ { %user, hidden => $hidden } ]);
		write_from(from => $user{phone});
		my ($message, $contact) = last_of('messages');
		is_deeply([ $message->{from}, $contact->{wa_id} ], [ $wanted, $wanted ], "$hidden: message");
		is($message->{from_user_id}, 'ES.10', 'from the ID');
		(undef, my $answer) = send_message($sim, to_id('ES.10'));
		is($answer->{contacts}[0]{user_id}, 'ES.10', 'answer');
		my ($status) = last_of('statuses');
		is($status->{recipient_id}, $wanted, 'status');
		is($status->{recipient_user_id}, 'ES.10', 'of the ID');
	}
	$sim->config(users => [ { %user, hidden => JSON::PP::false } ]);
	send_message($sim, to_id('ES.10'));
	is((last_of('statuses'))[0]{recipient_id}, '34600900010', 'shown again');
	for my $case ([ { name => 'Ana' }, qr/"phone" or a "user_id"/ ], [ { phone => 'Ana' }, qr/"phone"/ ],
		[ { phone => '+34600900010', hidden => 'x' }, qr/"hidden"/ ], [ { phone => '+34600900010', forms => ['x'] }, qr/"forms"/ ],
		[ { user_id => 7 , phone => '+34600900010' }, qr/"user_id"/ ])
	{
		ok(!eval { $sim->config(users => [ $case->[0] ]); 1 }, 'wrong');
		like($@, $case->[1], 'reason');
	}
};

# Who changes, how it is told, and what is told.
sub change
{
	my ($shape, %more) = @_;
	state_user();
	my @ids = $sim->identity(number => NUMBER, user => '+34600900020', shape => $shape, user_id => 'ES.21', %more);
	is_deeply(\@ids, [qw(ES.20 ES.21)], "$shape: from and to");
	return last_of($shape eq 'user_id_update' ? 'user_id_update' : 'messages');
}
sub state_user { return $sim->config(users => [ { phone => '+34600900020', user_id => 'ES.20', name => 'Luis', hidden => $_[0] // JSON::PP::false } ]) }

subtest 'changes of identity' => sub {
	my ($message) = change('number', phone => '+34600900021');
	is_deeply([ @$message{qw(from from_user_id type)} ], [qw(34600900020 ES.20 system)], 'another number: told by the old one');
	is_deeply($message->{system}, { type => 'user_changed_number', wa_id => '34600900021', user_id => 'ES.21',
			body => 'User Luis changed from 34600900020 to 34600900021' }, 'what is new');

	($message) = change('user_id');
	is_deeply([ @$message{qw(from from_user_id)} ], [qw(34600900020 ES.21)], 'another ID: told by the new one');
	is_deeply($message->{system}, { type => 'user_changed_user_id', previous_user_id => 'ES.20', user_id => 'ES.21',
			body => 'User Luis changed from ES.20 to ES.21' }, 'both');

	($message) = change('user_id', sender => JSON::PP::false, timestamp => 1_764_000_000);
	ok(!exists $message->{from} && !exists $message->{from_user_id}, 'by nobody');
	is($message->{system}{previous_user_id}, 'ES.20', 'with the old ID');
	is($message->{timestamp}, '1764000000', 'at a given time');

	($message, my $contact) = change('user_id', sender => JSON::PP::false, previous => JSON::PP::false, place => 'contact');
	is_deeply($message->{system}, { type => 'user_changed_user_id', body => 'User Luis changed from ES.20 to ES.21' }, 'only in words');
	is($contact->{user_id}, 'ES.21', 'and the contact');
	($message, $contact) = change('user_id', sender => JSON::PP::false, previous => JSON::PP::false);
	is($message->{system}{user_id}, 'ES.21', 'the new one and words');
	($message, $contact) = change('user_id', sender => JSON::PP::false, previous => JSON::PP::false, place => 'body');
	is_deeply([ sort keys %{ $message->{system} } ], [qw(body type)], 'words alone');
	is($contact, undef, 'no contact');

	(my $update, $contact, my $field) = change('user_id_update');
	is($field, 'user_id_update', 'a field of its own');
	is_deeply($update->{user_id}, { previous => 'ES.20', current => 'ES.21' }, 'both');
	is_deeply($contact, { profile => { name => 'Luis' }, wa_id => '34600900020' }, 'contact');

	state_user(JSON::PP::true);
	$sim->identity(number => NUMBER, user => 'ES.20', shape => 'user_id', user_id => 'ES.22');
	($message) = last_of('messages');
	ok(!exists $message->{from}, 'a hidden number stays hidden');

	write_from(from => '+34600900020');
	is((last_of('messages'))[0]{from_user_id}, 'ES.22', 'afterwards it is the new one');
	send_message($sim, to_id('ES.20'));
	is((last_of('statuses'))[0]{recipient_user_id}, 'ES.20', 'and who still writes to the old one meets the old one');
	write_from(from => '+34600900020', from_user_id => 'ES.20', timestamp => 1_764_000_100);
	($message) = last_of('messages');
	is_deeply([ @$message{qw(from from_user_id timestamp)} ], [qw(34600900020 ES.20 1764000100)], 'what comes late, as given');

	for my $case (
		[ { shape => 'x' }, qr/"shape"/ ], [ { place => 'x' }, qr/"place"/ ], [ { user => 'x' }, qr/"user"/ ],
		[ { user_id => undef }, qr/"phone" or "user_id"/ ], [ { phone => 'x' }, qr/"phone"/ ], [ { number => '1' }, qr/"number"/ ])
	{
		ok(!eval {
				$sim->identity(number => NUMBER, user => 'ES.20', shape => 'number', user_id => 'ES.23', %{ $case->[0] });
				1;
			}, 'wrong');
		like($@, $case->[1], 'reason');
	}
};

subtest 'other applications and the phone app' => sub {
	write_from(from => '+34600900030', field => 'standby');
	my ($message, $contact, $field) = last_of('messages');
	is_deeply([ $field, $message->{from}, $contact->{wa_id} ], [ 'standby', ('34600900030') x 2 ], 'standby');
	$sim->handover(number => NUMBER, user => '+34600900030', control => 'control_taken', owner => 'ai_agent');
	my ($change) = changes();
	is($change->[0], 'messaging_handovers', 'handover');
	is_deeply([ $change->[1]{recipient}{phone_number_id}, $change->[1]{sender}{phone_number}, $change->[1]{control_taken} ],
		[ NUMBER, '34600900030', { new_owner_role => 'ai_agent' } ], 'of whom to whom');
	my $id = $sim->echo(number => NUMBER, to => '+34600900030', type => 'text', text => { body => 'Le llamo' });
	($message, undef, $field) = last_of('message_echoes');
	is_deeply([ $field, @$message{qw(id from to)}, $message->{text}{body} ],
		[ 'smb_message_echoes', $id, '34600000001', '34600900030', 'Le llamo' ], 'echo');
	$sim->preference(number => NUMBER, user => '+34600900030', value => 'stop', timestamp => 1_764_000_200);
	(my $preference, undef, $field) = last_of('user_preferences');
	is_deeply([ $field, @$preference{qw(wa_id category value timestamp)} ],
		[ 'user_preferences', '34600900030', 'marketing_messages', 'stop', 1_764_000_200 ], 'preference');
	for my $name (qw(business_username_update business_username_updates))
	{
		$sim->event($name, { display_phone_number => '34600000001', username => 'alba.pan', status => 'approved' });
		is((changes())[0][0], $name, $name);
	}
	ok(!eval { $sim->echo(number => NUMBER, to => 'x', type => 'text', text => {}); 1 }, 'echo to nobody');
	ok(!eval { $sim->echo(number => NUMBER, to => '+34600900030', type => 'text'); 1 }, 'echo of nothing');
	ok(!eval { $sim->preference(number => NUMBER, user => 'ES.1'); 1 }, 'no preference');
	ok(!eval { $sim->handover(number => NUMBER, user => 'ES.1', control => 'x'); 1 }, 'no owner');
	ok(!eval { write_from(from => '+34600900030', field => 'x'); 1 }, 'a field that has no messages');
};

subtest 'windows' => sub {
	$sim->config(enforce_window => JSON::PP::true, users => [ { phone => '+5491123456789', forms => ['+541123456789'] } ]);
	is((send_message($sim, text_message(to => '+541123456789')))[1]{error}{code}, 131047, 'closed');
	write_from(from => '+5491123456789', group_id => 'Y2FwaV9ncm91cDox');
	is((last_of('messages'))[0]{group_id}, 'Y2FwaV9ncm91cDox', 'a message in a group');
	is((send_message($sim, text_message(to => '+541123456789')))[1]{error}{code}, 131047, 'opens no window');
	write_from(from => '+5491123456789');
	is((send_message($sim, text_message(to => '+541123456789')))[0], 200, 'one of the same person does, by any form');
	$sim->config(enforce_window => JSON::PP::false);
	changes();
};

subtest 'prices' => sub {
	my $price = sub {
		my ($message, %options) = @_;
		send_message($sim, $message, %options);
		my ($sent) = grep { $_->{status} eq 'sent' } map { @{ $_->[1]{statuses} // [] } } changes();
		return join ' ', $sent->{pricing}{category}, $sent->{pricing}{type}, $sent->{pricing}{billable} ? 'billable' : 'free',
		  $sent->{conversation} ? $sent->{conversation}{origin}{type} : ();
	};
	my $code = sub {
		my ($to) = @_;
		my $message = template_message(to => $to);
		$message->{template} = { name => 'codigo_acceso', language => { code => 'es' }, components => [
				{ type => 'body', parameters => [ { type => 'text', text => '1' } ] },
				{ type => 'button', sub_type => 'url', index => '0', parameters => [ { type => 'text', text => '1' } ] } ] };
		return $message;
	};
	my $offer = template_message();
	$offer->{template} = { name => 'saldo', language => { code => 'es' } };
	$sim->config(templates => [ { name => 'saldo', language => 'es', category => 'MARKETING', components => [ { type => 'BODY', text => 'x' } ] } ],
		international_codes => '20,91');
	is($price->(text_message()), 'service regular billable', 'text');
	is($price->($offer), 'marketing regular billable', 'marketing');
	is($price->($offer, edge => 'marketing_messages'), 'marketing_lite regular billable', 'by its own edge');
	is($price->($code->('+34600900040')), 'authentication regular billable', 'authentication');
	is($price->($code->('+919800000001')), 'authentication-international regular billable', 'abroad');
	is($price->(text_message(recipient_type => 'group', to => 'Y2FwaV9ncm91cDox')), 'group_service regular billable', 'group');

	$sim->config(free_window => JSON::PP::true);
	is($price->(text_message()), 'service free_customer_service free', 'text, until September 2026');
	is($price->(template_message(to => '+34600900041')), 'utility regular billable', 'utility outside the window');
	write_from(from => '+34600900041');
	changes();
	is($price->(template_message(to => '+34600900041')), 'utility free_customer_service free', 'within it');
	$sim->config(free_window => JSON::PP::false);
	is($price->(template_message(to => '+34600900041')), 'utility regular billable', 'since October');

	$sim->stop_clock;
	write_from(from => '+34600900042', referral => { source_type => 'ad', source_id => '1' });
	$sim->advance_clock(23 * 3_600_000);
	my $free = sub { my $message = $_[0]; send_message($sim, $message); $sim->advance_clock(30); my ($sent) = map { @{ $_->[1]{statuses} // [] } } changes(); return $sent };
	my $sent = $free->(text_message(to => '+34600900042'));
	is_deeply($sent->{pricing}, { billable => JSON::PP::false, pricing_model => 'PMP', type => 'free_entry_point', category => 'referral_conversion' },
		'the answer to who came by an advertisement');
	is($sent->{conversation}{origin}{type}, 'referral_conversion', 'its conversation');
	cmp_ok($sent->{conversation}{expiration_timestamp} - $sent->{timestamp}, '>', 71 * 3600, 'ends in three days');
	$sim->advance_clock(71 * 3_600_000);
	is($free->($offer->{to} ? { %$offer, to => '+34600900042' } : $offer)->{pricing}{type}, 'free_entry_point', 'all is free until then');
	$sim->advance_clock(3_600_000);
	is($free->(template_message(to => '+34600900042'))->{pricing}{type}, 'regular', 'and nothing after');
	write_from(from => '+34600900043', referral => { source_type => 'ad' });
	$sim->advance_clock(25 * 3_600_000);
	changes();
	is($free->(template_message(to => '+34600900043'))->{pricing}{type}, 'regular', 'an answer after a day comes too late');
	$sim->stop_clock(0);

	$sim->config(webhook_conversations => JSON::PP::true);
	is($price->(template_message()), 'utility regular billable utility', 'older webhooks name a conversation');
};

is($sim->stop, 0, 'ends in good order');
done_testing();
