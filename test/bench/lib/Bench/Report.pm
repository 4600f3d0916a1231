# The table of results, misses first, and the machine it was measured on.
package Bench::Report;

use strict;
use warnings;

use Bench::Stat qw(median spread);
use IO::Handle;
use POSIX       qw(strftime);
use Time::HiRes ();

my ($begin, $end) = ('<!-- figures: begin -->', '<!-- figures: end -->');

# kind: "least" or "most" of the goal, undef if there is none.
sub row
{
	my ($name, $kind, $goal, $values, $detail) = @_;
	my $value = median(@$values);
	my $met = !defined $kind ? undef : $kind eq 'least' ? $value >= $goal : $value <= $goal;
	my $sign = ($kind // '') eq 'least' ? '≥' : '≤';

	return {
		name => $name,
		met => $met,
		value => $value,
		values => $values,
		detail => $detail,
		goal => defined $kind ? "$sign $goal" : '',
		text => spread('%.2f', @$values)
	};
}

sub table
{
	my (@rows) = @_;
	my $text = "| measure | goal | measured | | figures |\n|---|---|---|---|---|\n";

	my $order = sub { !defined $_[0]{met} ? 2 : $_[0]{met} ? 1 : 0 };
	foreach my $row (sort { $order->($a) <=> $order->($b) } @rows)
	{
		my $verdict = !defined $row->{met} ? '' : $row->{met} ? 'met' : '**missed**';
		$text .= "| $row->{name} | $row->{goal} | $row->{text} | $verdict | $row->{detail} |\n";
	}
	return $text;
}

sub first_line
{
	my ($command, $pattern) = @_;
	my $text = `$command 2>&1` // '';
	return $text =~ $pattern ? $1 : 'unknown';
}

# How often a second a page can be written and forced to the disk in question.
sub sync_rate
{
	my ($dir) = @_;
	my $file = "$dir/sync_rate";

	open(my $out, '+>', $file) or die "$file: $!\n";
	my $start = Time::HiRes::time();
	foreach (1 .. 300)
	{
		sysseek($out, 0, 0);
		syswrite($out, 'x' x 8192);
		$out->sync;
	}
	my $rate = 300 / (Time::HiRes::time() - $start);
	close($out);
	unlink($file);
	return $rate;
}

sub machine
{
	my ($bench) = @_;
	my $cpu = first_line('cat /proc/cpuinfo', qr/^model name\s*:\s*(.*)$/m);
	my $cores = () = `cat /proc/cpuinfo` =~ /^processor/mg;
	my $gb = first_line('cat /proc/meminfo', qr/^MemTotal:\s+(\d+)/) / 1048576;

	return sprintf(
		"%s, %d cores, %.0f GB memory, Linux %s, %.0f fsync/s.\n"
		  . "PostgreSQL %s, libcurl %s, nginx %s, Node.js %s. Measured on %s, %s, %d rounds.\n",
		$cpu,
		$cores,
		$gb,
		first_line('uname -r', qr/^(\d+\.\d+)/),
		sync_rate($bench->{dir}),
		first_line("$bench->{cluster}{bindir}/postgres --version", qr/([0-9]+\.[0-9]+)/),
		first_line('curl-config --version', qr/([0-9.]+)/),
		first_line('nginx -v', qr/nginx\/([0-9.]+)/),
		first_line('node --version', qr/v([0-9.]+)/),
		strftime('%Y-%m-%d', gmtime),
		"mode $bench->{mode}",
		$bench->count('rounds'));
}

# Puts the text between the marks of the document.
sub into_document
{
	my ($file, $text) = @_;

	open(my $in, '<', $file) or die "$file: $!\n";
	local $/;
	my $document = <$in>;
	close($in);
	$document =~ s/\Q$begin\E.*\Q$end\E/$begin\n$text$end/s or die "$file has no marks\n";
	open(my $out, '>', $file)                               or die "$file: $!\n";
	print $out $document;
	close($out);
	return;
}

1;
