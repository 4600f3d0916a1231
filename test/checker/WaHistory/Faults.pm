# What can go wrong between the sender and the Graph API, as rules of the
# simulator, chosen at random.
#
# The rules leave out what would end a message for good; that is "permanent",
# which the verdict knows about.
package WaHistory::Faults;

use strict;
use warnings;

use JSON::PP ();

our $permanent_code = 131026;

# One rule.  It is applied to a part of the requests only, so that the rest goes
# on; a few kinds hold up a connection and are rarer.
my %kinds = (
	delay => sub { return (delay_ms => $_[0]->between(20, 800)) },
	connect => sub { return (cut => 'connect', _how($_[0])) },
	headers => sub { return (cut => 'headers', _how($_[0])) },
	body => sub { return (cut => 'body', bytes => $_[0]->between(0, 100), _how($_[0])) },
	received => sub { return (cut => 'received', _how($_[0])) },
	accepted => sub { return (cut => 'accepted', _how($_[0])) },
	answer => sub { return (cut => 'answer', bytes => $_[0]->between(1, 60), _how($_[0])) },
	garbage => sub { return (reply => 'garbage', _accept($_[0])) },
	html => sub { return (reply => 'html', status => $_[0]->pick(500, 502, 503), _accept($_[0])) },
	empty => sub { return (reply => 'empty', status => $_[0]->pick(500, 503), _accept($_[0])) },
	truncated => sub { return (reply => 'truncated') },
	oversized => sub { return (reply => 'oversized', bytes => 8_000_000) },
	slow => sub { return (reply => 'slow', bytes => 40, interval_ms => 20) },
	hang => sub { return (reply => 'hang', _accept($_[0])) },
	throughput => sub { return (code => 130429) },
	pair => sub { return (code => 131056) },
	unknown => sub { return (code => 131000) },
	unavailable => sub { return (code => $_[0]->pick(2, 131016), transient => JSON::PP::true) },
	permanent => sub { return (code => $permanent_code) },
	# One number of the tenants': all of its requests hang, or get nonsense.
	number => sub {
		return ($_[0]->percent(50) ? (reply => 'hang') : (reply => 'html', status => 502), _accept($_[0]));
	});
my %percent = (delay => 60, hang => 5, oversized => 5, slow => 10, permanent => 5, pair => 10);

sub kinds
{
	return sort keys %kinds;
}

sub rule
{
	my ($random, $kind) = @_;
	my $percent = $kind eq 'number' ? 100 : $percent{$kind} // $random->pick(10, 25, 50);

	return {
		name => $kind,
		match => {
			probability => $percent / 100,
			seed => $random->between(1, 1_000_000),
			$kind eq 'connect' ? () : (edge => 'messages'),
			$kind eq 'number' ? (number => sprintf('%d', 100000000000000 + $random->between(1, $WaHistory::tenants))) : ()
		},
		$kinds{$kind}->($random)
	};
}

sub _how
{
	my ($random) = @_;
	return (how => $random->pick('reset', 'close'));
}

# Whether the message was sent although nobody could read so.
sub _accept
{
	my ($random) = @_;
	return (accept => $random->percent(50) ? JSON::PP::true : JSON::PP::false);
}

1;
