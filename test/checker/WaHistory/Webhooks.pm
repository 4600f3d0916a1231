# The statuses on their way from the simulator to wa_webhook_ingest(): late, out
# of order, repeated.
package WaHistory::Webhooks;

use strict;
use warnings;

use JSON::PP ();

sub new
{
	my ($class, %arguments) = @_;
	return bless { %arguments, waiting => [], told => {}, last_told => {}, ingested => 0 }, $class;
}

# Takes what the simulator has to tell by now.
sub collect
{
	my ($self) = @_;
	push @{ $self->{waiting} }, $self->{simulator}->webhooks(1000, 0);
	return;
}

# Delivers a part of what is waiting, in any order, some of it twice.
sub deliver_some
{
	my ($self) = @_;
	my $random = $self->{random};

	$self->collect;
	my @posts = $random->shuffle(splice(@{ $self->{waiting} }));
	my @later = splice(@posts, $random->below(@posts + 1));
	push @posts, $random->pick(@posts) if @posts && $random->percent(50);
	$self->{waiting} = \@later;
	$self->{hits}->add('status late', scalar @later);
	$self->_ingest(@posts);
	return;
}

# Delivers everything, also what the simulator has not told yet.
sub deliver_all
{
	my ($self) = @_;
	my @posts = (splice(@{ $self->{waiting} }), $self->{simulator}->all_webhooks);

	$self->_ingest($self->{random}->shuffle(@posts));
	return;
}

# A server that is down gets them again later, as Meta does it.
sub _ingest
{
	my ($self, @posts) = @_;
	my $node = $self->{node};

	while (my @some = splice(@posts, 0, 50))
	{
		my $sql = '';
		foreach my $post (@some)
		{
			my $body = unpack('H*', $post->{body});
			$sql .= "SELECT wa_webhook_ingest('\\x$body', '$post->{signature}');\n";
		}
		my ($status, $out, $error) = $node->psql('postgres', $sql);
		if ($status != 0)
		{
			die "could not ingest: $error" if $error =~ /^(?:psql:[^:]*:\d+: )?ERROR/m;
			push @{ $self->{waiting} }, @some, @posts;
			return;
		}
		$self->_remember($_) foreach @some;
	}
	return;
}

# Which statuses have been told of each message.
sub _remember
{
	my ($self, $post) = @_;
	my $body = JSON::PP::decode_json($post->{body});

	foreach my $change (map { @{ $_->{changes} } } @{ $body->{entry} })
	{
		foreach my $status (@{ $change->{value}{statuses} // [] })
		{
			my ($wamid, $what) = @$status{qw(id status)};
			$self->{hits}->met('status repeated') if $self->{told}{$wamid}{$what};
			$self->{hits}->met('status reordered')
			  if ($self->{last_told}{$wamid} // 0) > $status->{timestamp}
			  || ($self->{told}{$wamid}{read} && $what ne 'read')
			  || ($self->{told}{$wamid}{delivered} && $what eq 'sent');
			$self->{told}{$wamid}{$what} = 1;
			$self->{last_told}{$wamid} = $status->{timestamp};
			$self->{ingested}++;
		}
	}
	return;
}

1;
