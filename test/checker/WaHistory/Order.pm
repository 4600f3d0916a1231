# Order: what src/README.md promises under "Order".
#
# Of two messages of one tenant to one person with equal priority, neither of
# them scheduled, the one whose transaction began later, after the COMMIT of the
# other had returned, or that was written later in the same transaction, is
# not requested before the other has been accepted.  Excused is whoever was
# passed because
#
#   - it had been in doubt, or a person has put it back into the queue;
#   - it was cancelled, has failed, or was requested from another number, too;
#   - its transaction was prepared: no commit hook, so the sweep finds it later;
#   - somebody else had its row locked when its turn came;
#   - the other goes to a form of the person's address that was not known yet.
package WaHistory::Order;

use strict;
use warnings;

# How long after a lock was given back somebody may still have been passed by:
# what waited for it is looked at again after the commit hook, or by the sweep.
my $lock_slack_s = 0.5;

# The problems, a sentence each; seen: the simulator's records by marker.
sub problems
{
	my ($history, $rows, $seen) = @_;
	my %groups;
	my @problems;

	foreach my $marker (sort keys %{ $history->{application}{messages} })
	{
		my $message = $history->{application}{messages}{$marker};
		next
		  if $message->{delay_ms} > 0 || $message->{outcome} ne 'committed' || !$seen->{$marker};
		push @{ $groups{"$message->{tenant} $message->{recipient} $message->{priority}"} }, $message;
	}
	$history->{pairs_in_order} = 0;
	foreach my $group (sort keys %groups)
	{
		my @messages = sort { _place($a) cmp _place($b) } @{ $groups{$group} };
		foreach my $i (1 .. $#messages)
		{
			push @problems,
			  map { _judge($history, $rows, $seen, $messages[$_], $messages[$i]) } 0 .. $i - 1;
		}
	}
	return @problems;
}

# Sorts messages of one session as they were written.
sub _place
{
	my ($message) = @_;
	return sprintf('%06d %08d %04d', @$message{qw(wave tx position)});
}

# Had the first been committed before the transaction of the second began?
sub _certainly_before
{
	my ($first, $second) = @_;

	return 1 if $first->{wave} < $second->{wave};
	return 0 if $first->{wave} > $second->{wave} || $first->{session} != $second->{session};
	return _place($first) lt _place($second);
}

sub _judge
{
	my ($history, $rows, $seen, $first, $second) = @_;

	return unless _certainly_before($first, $second);
	my ($accepted) = grep { $_->{accepted} } @{ $seen->{ $first->{marker} } };
	my ($request) = @{ $seen->{ $second->{marker} } };
	return if !$accepted || grep { $_->{number} ne $request->{number} } @{ $seen->{ $first->{marker} } };
	$history->{pairs_in_order}++;
	return if $accepted->{seq} < $request->{seq} || _excused($history, $rows, $first, $second, $request);
	return sprintf(
		'%s was requested before %s (%s), which had been written earlier to the same recipient, was accepted: %s; %s',
		$second->{marker}, $first->{marker}, $first->{how},
		map { requests($seen->{ $_->{marker} }) } $second, $first);
}

# The requests of a message: when, for which attempt, and what came of each.
sub requests
{
	my ($records) = @_;
	return join ', ', map {
		sprintf '%.3f (%s) %s', $_->{time}, $_->{biz_opaque_callback_data} // '',
		  $_->{accepted} ? 'accepted' : $_->{code} // 'not answered'
	} @$records;
}

sub _excused
{
	my ($history, $rows, $first, $second, $request) = @_;
	my ($row) = @{ $rows->{ $first->{marker} } };

	return 1
	  if $first->{form} ne $second->{form} && $first->{wave} <= ($history->{told}{ $second->{form} } // 0);
	return 1 if $first->{how} eq 'prepare' || $row->{was_uncertain} || $history->{put_back}{ $row->{id} };
	return grep {
			 $_->{from} <= $request->{time}
		  && $request->{time} <= $_->{to} + $lock_slack_s
		  && ($_->{what} eq 'all' || $_->{what} eq $row->{id} || $_->{what} eq $first->{tenant})
	} @{ $history->{locks} };
}

1;
