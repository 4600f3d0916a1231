# WaSimulator: starts and steers src/bin/simulator/wa_simulator for a test.
#
#   my $sim = WaSimulator->start('--enforce-limits', '--numbers' => 3);
#   $sim->url;                          # for whatsapp_shared.graph_url
#   $sim->faults({ match => { first => 2 }, cut => 'accepted' });
#   is(scalar $sim->accepted, 10, 'ten messages arrived');
#
# Core modules only.  The program is stopped when the object goes away.
package WaSimulator;

use strict;
use warnings;

use Carp qw(croak);
use File::Basename qw(dirname);
use HTTP::Tiny;
use JSON::PP ();
use IO::Socket::INET;
use MIME::Base64 qw(decode_base64);

use lib dirname(__FILE__);
use Time::HiRes qw(time);
use parent qw(WaProgram);

my $json = JSON::PP->new->utf8->canonical;

# The program: $WA_SIMULATOR, or the one built in this source tree.
sub binary { return WaProgram::built('simulator', 'WA_SIMULATOR') }

# Starts it with these arguments and waits until it is ready.
sub start
{
	my ($class, @arguments) = @_;
	my $self = bless {}, $class;

	$self->launch($class->binary, qr/^listening on \S+\n/m, \*STDERR, @arguments);
	($self->{control}) = $self->{text} =~ /^control on (\S+)$/m;
	($self->{ca_file}) = $self->{text} =~ /^ca file (.+)$/m;
	$self->{http} = HTTP::Tiny->new(timeout => 60, keep_alive => 0);
	return $self;
}

sub ca_file { return $_[0]->{ca_file} }    # undef without --tls

# One control command: method, command with query, and a body to send as JSON.
sub control
{
	my ($self, $method, $command, $body) = @_;
	my %options;
	if (defined $body)
	{
		$options{content} = $json->encode($body);
		$options{headers} = { 'Content-Type' => 'application/json' };
	}
	my $response = $self->{http}->request($method, "$self->{control}/_control/$command", \%options);
	if ($response->{status} != 200)
	{
		my $answer = eval { $json->decode($response->{content}) } // {};
		croak "$method $command: $response->{status} " . ($answer->{error} // $response->{content});
	}
	return $json->decode($response->{content});
}

# Everything that happened to send requests after number $since: a list of hashes.
# Each has "message", the decoded body, if it was JSON.
sub requests
{
	my ($self, $since, %options) = @_;
	my @records;
	my $more = 1;
	my $all = $options{accepted} ? 0 : 1;
	$since //= 0;
	while ($more)
	{
		my $page = $self->control('GET', "log?since=$since&all=$all");
		croak 'the simulator forgot records: give it a larger --log-memory'
		  if $page->{forgotten} && !$options{incomplete};
		push @records, @{ $page->{records} };
		($since, $more) = ($page->{last}, $page->{more});
	}
	for my $record (@records)
	{
		next unless defined $record->{body};
		my $text = $record->{body};
		utf8::encode($text);
		$record->{message} = eval { $json->decode($text) };
	}
	return @records;
}

# The accepted messages only: those that would have reached a person.
sub accepted
{
	my ($self, $since) = @_;
	return $self->requests($since, accepted => 1);
}

sub stats { return $_[0]->control('GET', 'stats') }
sub reset_all { return $_[0]->control('POST', 'reset') }
sub release { return $_[0]->control('POST', 'release')->{released} }

# Puts these rules in place of the present ones; none clears them.
sub faults
{
	my ($self, @rules) = @_;
	return $self->control('POST', 'faults', \@rules);
}

sub fault_counts { return @{ $_[0]->control('GET', 'faults') } }

# Changes settings, numbers and templates; numbers are written as numbers.
sub config
{
	my ($self, %settings) = @_;
	return $self->control('POST', 'config', \%settings);
}

sub advance_clock
{
	my ($self, $ms) = @_;
	return $self->control('POST', 'clock', { advance_ms => $ms });
}

# Stops the clock, or lets it run on; advance_clock moves a stopped one, too.
sub stop_clock
{
	my ($self, $stopped) = @_;
	return $self->control('POST', 'clock',
		{ stopped => $stopped // 1 ? JSON::PP::true : JSON::PP::false });
}

# Delayed answers wait until answer() is called, however long the test takes to see that
# a request is on the wire: its clock stands still meanwhile.
sub hold_answers
{
	my ($self) = @_;
	$self->{held} = time;
	return $self->stop_clock;
}

# Those that were to come within $ms come now; its clock is right again, or ahead by no
# more than that.
sub answer
{
	my ($self, $ms) = @_;
	my $held = int(1000 * (time - delete $self->{held}));

	$self->advance_clock($held > $ms ? $held : $ms);
	return $self->stop_clock(0);
}

# Keeps the port for a successor, while nobody listens there: as long as the object lives.
sub reserve_port
{
	my ($self) = @_;
	return IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $self->port, Proto => 'tcp', ReuseAddr => 1)
	  // croak "could not keep the port: $@";
}

# Pull mode: up to $max webhook bodies, waiting up to $wait_ms for the first.
# Each is a hash with body (raw bytes), signature, and items.
sub webhooks
{
	my ($self, $max, $wait_ms) = @_;
	my $answer = $self->control('GET',
		sprintf('webhooks?max=%d&wait_ms=%d', $max // 1000, $wait_ms // 0));
	$_->{body} = decode_base64($_->{body}) for @{ $answer->{posts} };
	return @{ $answer->{posts} };
}

# Pull mode: all bodies, until no message has a status left to tell.
sub all_webhooks
{
	my ($self) = @_;
	my @posts;
	while (1)
	{
		push @posts, $self->webhooks(1000, 100);
		my $stats = $self->stats->{webhooks};
		return @posts unless $stats->{pending_messages} || $stats->{pending_posts};
	}
	return;
}

# A user writes; returns the id of the message.
sub inbound
{
	my ($self, %message) = @_;
	return $self->control('POST', 'inbound', \%message)->{id};
}

# The recipient of a message presses a button of it, or chooses a row.
sub press
{
	my ($self, $wamid, $button) = @_;
	return $self->control('POST', 'press', { wamid => $wamid, button => $button // 0 })->{id};
}

# Any webhook: field and value.
sub event
{
	my ($self, $field, $value) = @_;
	return $self->control('POST', 'event', { field => $field, value => $value });
}

# A user becomes known by another number or ID; returns the old ID and the new.
sub identity
{
	my ($self, %change) = @_;
	my $answer = $self->control('POST', 'identity', \%change);
	return @$answer{qw(previous current)};
}

# A user stops or resumes marketing messages.
sub preference
{
	my ($self, %preference) = @_;
	return $self->control('POST', 'preference', \%preference);
}

# Somebody else takes a conversation, or gives it back.
sub handover
{
	my ($self, %handover) = @_;
	return $self->control('POST', 'handover', \%handover);
}

# The business writes in its phone app; returns the id of the message.
sub echo
{
	my ($self, %message) = @_;
	return $self->control('POST', 'echo', \%message)->{id};
}

# The GET handshake with webhook_url: a hash with ok, status and error.
sub handshake { return $_[0]->control('POST', 'handshake') }

1;
