# docs/reference/metrics.md
package WaReference::Metrics;

use strict;
use warnings;
use utf8;

use WaReference::Markdown qw(rows title cell table);

# What an exposition in Prometheus's text format says: of each metric its type, help and labels.
sub metrics_of
{
	my ($exposition) = @_;
	my (%metrics, $current);

	foreach my $line (split /\n/, $exposition)
	{
		if ($line =~ /^# HELP (\w+) (.*)$/)
		{
			$current = $1;
			$metrics{$current}{help} = $2;
		}
		elsif ($line =~ /^# TYPE (\w+) (\w+)$/)
		{
			$metrics{$1}{type} = $2;
		}
		elsif ($line =~ /^\w+\{(.*)\} \S+$/)
		{
			$metrics{$current}{labels}{$_} = 1 foreach $1 =~ /(\w+)="/g;
		}
	}
	return %metrics;
}

sub section
{
	my ($metrics, @names) = @_;
	return table([ 'metric', 'type', 'labels', '' ],
		map { [ "`$_`", $metrics->{$_}{type}, join(', ', map { "`$_`" } sort keys %{ $metrics->{$_}{labels} }), cell($metrics->{$_}{help}) ] }
		sort @names);
}

sub page
{
	my ($node, $exposition) = @_;
	my %metrics = metrics_of($exposition);
	my %of = map { $_ => {} } qw(sql per_number costs health gateway);
	my %always = map { $_->{name} => 1 } rows($node, "SELECT DISTINCT regexp_replace(name, '_(bucket|sum|count)\$', '') AS name FROM wa_metrics()");
	my %from_sql = map { $_->{name} => 1 } rows($node, "SELECT DISTINCT regexp_replace(name, '_(bucket|sum|count)\$', '') AS name FROM wa_metrics(true)");
	my %costs = map { $_->{name} => 1 } rows($node, 'SELECT DISTINCT name FROM wa_metrics_costs()');
	my %health = map { $_->{name} => 1 } rows($node, 'SELECT DISTINCT name FROM wa_metrics_health()');

	foreach my $name (keys %metrics)
	{
		my $source = $always{$name} ? 'sql' : $from_sql{$name} ? 'per_number' : $costs{$name} ? 'costs' : $health{$name} ? 'health' : 'gateway';
		$of{$source}{$name} = 1;
	}
	return title('Metrics', <<'MD')
What `/metrics` of the gateway says. A histogram has `_bucket` (with the label `le`), `_sum` and `_count`; durations are in seconds. Counters of senders begin anew when
the server starts or `whatsapp_shared.senders` changes, those of the gateway with its process. No label grows with use, except where `--metrics-per-number` asks for it.
Without the gateway, `SELECT * FROM wa_metrics()` gives the first table to any exporter that runs SQL. How to scrape, alert rules and a dashboard:
[monitoring](../monitoring/README.md).
MD
	  . "\n## Of the installation\n\n`wa_metrics()`. It reads no history.\n\n" . section(\%metrics, keys %{ $of{sql} })
	  . "\n## Of each number\n\n`wa_metrics(true)`; the gateway asks for it with `--metrics-per-number`.\n\n" . section(\%metrics, keys %{ $of{per_number} })
	  . "\n## Costs\n\n`wa_metrics_costs()`; the gateway asks for it every ten minutes.\n\n" . section(\%metrics, keys %{ $of{costs} })
	  . "\n## Health\n\n`wa_metrics_health()`; the gateway asks for it every minute. [The lines](../operating.md#health) of `wa_health()` say more.\n\n"
	  . section(\%metrics, keys %{ $of{health} })
	  . "\n## Of the gateway\n\n" . section(\%metrics, keys %{ $of{gateway} });
}

1;
