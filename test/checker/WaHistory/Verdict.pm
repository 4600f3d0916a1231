# Compares what the tables say with what the simulator saw, message by message,
# and checks the invariants of src/README.md.
package WaHistory::Verdict;

use strict;
use warnings;

use JSON::PP ();
use WaHistory::Faults;
use WaHistory::Order;

# After an assignment has ended, requests that were claimed before may still
# leave: they wait for a connection at most this long.
my $claim_to_request_s = 5;

# A request that had begun when a person opted out may arrive this much later.
my $opt_out_slack_s = 0.2;

# The problems of a history, a sentence each.
sub problems
{
	my ($history) = @_;
	my $rows = rows($history);
	my $seen = seen($history);
	my @problems = @{ $history->{application}{complaints} // [] };

	foreach my $marker (sort keys %{ $history->{application}{messages} })
	{
		my $message = $history->{application}{messages}{$marker};
		my @records = @{ $seen->{$marker} // [] };

		push @problems,
		  map { "$marker ($message->{outcome}, $message->{on_uncertain}): $_" }
		  of_message($history, $message, $rows->{$marker} // [], \@records);
	}
	foreach my $marker (sort keys %$seen)
	{
		push @problems, "$marker: sent, but nobody wrote it"
		  unless $history->{application}{messages}{$marker};
	}
	push @problems, of_tables($history), of_assignments($history, $seen),
	  WaHistory::Order::problems($history, $rows, $seen);
	return @problems;
}

# The rows of whatsapp_messages by marker.
sub rows
{
	my ($history) = @_;
	my $json = $history->_sql(<<'SQL');
SELECT COALESCE(json_agg(m), '[]') FROM (
    SELECT id, tenant_id, phone_number_id, status, status_reason, attempts, error_code,
        whatsapp_message_id AS wamid, payload #>> '{components,0,parameters,0,text}' AS marker,
        accepted_at IS NOT NULL AS accepted,
        EXISTS (SELECT FROM whatsapp_attempts AS a
                WHERE a.message_id = m.id AND a.outcome = 'uncertain') AS was_uncertain
    FROM whatsapp_messages AS m) AS m
SQL
	my %rows;

	push @{ $rows{ $_->{marker} } }, $_ foreach @{ JSON::PP::decode_json($json) };
	return \%rows;
}

# The requests of the simulator's log by marker.
sub seen
{
	my ($history) = @_;
	my %seen;

	foreach my $record ($history->{simulator}->requests)
	{
		next unless $record->{message};
		my $marker = $record->{message}{template}{components}[0]{parameters}[0]{text};
		push @{ $seen{$marker} }, $record;
	}
	return \%seen;
}

sub of_message
{
	my ($history, $message, $rows, $records) = @_;
	my @accepted = grep { $_->{accepted} } @$records;
	my $times = @accepted;

	if ($message->{outcome} eq 'rolled back' || $message->{outcome} eq 'never begun')
	{
		return ((map { "has row $_->{id}" } @$rows),
			@$records ? 'was sent although it was rolled back' : ());
	}
	my $opted_out = grep { $_->{tenant} eq $message->{tenant} && $_->{recipient} eq $message->{recipient} }
	  @{ $history->{opt_outs} };
	if (!@$rows)
	{
		# The failover has lost the commit; what has left before cannot be called back.
		return if $history->{lossy}{ $message->{wave} };
		return @$records ? 'was sent, but has no row' : () if $message->{outcome} eq 'unknown';
		return 'is lost: its COMMIT had returned';
	}
	return 'has ' . @$rows . ' rows' if @$rows > 1;

	my ($row) = @$rows;
	my @problems;
	push @problems, "was accepted $times times: " . WaHistory::Order::requests($records)
	  if $times > 1 && $message->{on_uncertain} ne 'resend';
	push @problems, "is $row->{status} after all was mended"
	  if $row->{status} =~ /^(?:queued|sending|uncertain|accepted|expired|skipped)$/
	  && !($row->{status} eq 'skipped' && $opted_out && $row->{status_reason} eq 'opted_out');
	push @problems, map { sprintf('was requested (%.3f) after the person had opted out', $_->{time}) }
	  grep { after_opt_out($history, $message, $_) } @$records;
	push @problems, of_outcome($history, $message, $row, $records, \@accepted);
	push @problems, map { "a request had biz_opaque_callback_data \"$_\"" }
	  grep              { !/^wa1:[0-9a-f]{8}:$row->{id}:[0-9]+$/ }
	  map               { $_->{biz_opaque_callback_data} // '' } @$records;
	return @problems;
}

sub after_opt_out
{
	my ($history, $message, $record) = @_;

	return grep {
			 $_->{tenant} eq $message->{tenant}
		  && $_->{recipient} eq $message->{recipient}
		  && $record->{time} > $_->{from} + $opt_out_slack_s
		  && $record->{time} < $_->{to}
	} @{ $history->{opt_outs} };
}

# Does the status say what happened?
sub of_outcome
{
	my ($history, $message, $row, $records, $accepted) = @_;
	my $status = $row->{status};
	my %wamids = map { $_->{wamid} => 1 } @$accepted;

	if ($status eq 'cancelled')
	{
		return 'was cancelled, and accepted' if @$accepted;
		return 'was cancelled by nobody' unless $history->{cancelled}{ $row->{id} };
		return;
	}
	return 'was cancelled with success, but went on' if $history->{cancelled}{ $row->{id} };

	if (!@$accepted)
	{
		return if $status eq 'skipped';
		return "is $status, but was never accepted" if $status ne 'failed';
		return if $message->{on_uncertain} eq 'fail' && ($row->{status_reason} // '') eq 'uncertain';
		return
		  if @$records
		  && grep { ($_->{code} // 0) == $WaHistory::Faults::permanent_code } @$records;
		return "failed with code $row->{error_code}, which nothing explains: it is lost";
	}

	# It arrived, and every webhook was delivered.
	return 'has wamid ' . ($row->{wamid} // 'NULL') . ' which is none of its own'
	  unless defined $row->{wamid} && $wamids{ $row->{wamid} };
	my %told = map { %{ $history->{webhooks}{told}{$_} // {} } } keys %wamids;
	my ($expected) = grep { $told{$_} } qw(read delivered failed sent);
	return 'no webhook told of it' unless defined $expected;
	return if $status eq $expected || @$accepted > 1;
	return "is $status, but the webhooks said $expected";
}

# src/README.md, "Invariants".  Each query returns what breaks one.
sub of_tables
{
	my ($history) = @_;
	my %checks = (
		'a queue row without its message, or the reverse' => <<'SQL',
SELECT COALESCE(m.id, q.message_id), m.status, q.state
FROM whatsapp_messages AS m FULL JOIN whatsapp_queue AS q ON q.message_id = m.id
WHERE (q.message_id IS NOT NULL) IS DISTINCT FROM (m.status IN ('queued', 'sending', 'uncertain'))
SQL
		'a row left in the queue' => 'SELECT message_id, state, hold_reason FROM whatsapp_queue',
		'a lease left' => 'SELECT * FROM whatsapp_leases',
		'a wamid that is not in the map' => <<'SQL',
SELECT m.id, m.status, m.attempts FROM whatsapp_messages AS m
WHERE m.whatsapp_message_id IS NOT NULL AND NOT EXISTS (
    SELECT FROM whatsapp_wamids AS w
    WHERE w.message_id = m.id AND w.whatsapp_message_id = m.whatsapp_message_id)
SQL
		'an attempt that was not counted' => <<'SQL',
SELECT a.message_id, a.attempt, m.attempts
FROM whatsapp_attempts AS a JOIN whatsapp_messages AS m ON m.id = a.message_id
WHERE a.outcome = 'uncertain' AND a.attempt > m.attempts
SQL
		'a status without its time' => <<'SQL');
SELECT id, status FROM whatsapp_messages
WHERE (status = 'read' AND read_at IS NULL) OR (status = 'delivered' AND delivered_at IS NULL)
    OR (status = 'sent' AND sent_at IS NULL) OR (status = 'failed' AND failed_at IS NULL)
    OR (status IN ('read', 'delivered', 'sent', 'accepted') AND accepted_at IS NULL)
SQL
	my @problems;

	foreach my $what (sort keys %checks)
	{
		push @problems, map { "$what: $_" } split(/\n/, $history->_sql($checks{$what}));
	}
	return @problems;
}

# A message leaves from a number of its own tenant, at the time.
sub of_assignments
{
	my ($history, $seen) = @_;
	my %periods;
	my @problems;

	foreach my $line (split(/\n/, $history->_sql(<<'SQL')))
SELECT tenant_id, phone_number_id, extract(epoch FROM assigned_at),
    COALESCE(extract(epoch FROM unassigned_at), 'Infinity')
FROM whatsapp_phone_assignments
SQL
	{
		my ($tenant, $number, $from, $to) = split(/\|/, $line);
		push @{ $periods{"$tenant $number"} }, [ $from, $to ];
	}
	foreach my $marker (sort keys %$seen)
	{
		my $message = $history->{application}{messages}{$marker} or next;
		foreach my $record (@{ $seen->{$marker} })
		{
			next
			  if grep {
					 $record->{time} >= $_->[0]
				  && $record->{time} <= $_->[1] + $claim_to_request_s
			  } @{ $periods{"$message->{tenant} $record->{number}"} // [] };
			push @problems, "$marker: left from number $record->{number}, not its tenant's";
		}
	}
	return @problems;
}

1;
