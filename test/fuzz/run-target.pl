# Runs one fuzz target as a test: over its corpus, then on inputs of its own
# making for FUZZ_SECONDS.
#
#   perl run-target.pl build/fuzz_NAME
#
# What it finds goes to build/, never into the corpus by itself.  An input that
# fails is also printed, because a copy of the tree may be gone afterwards.

use strict;
use warnings;

use File::Basename qw(dirname);
use File::Path qw(make_path);
use MIME::Base64 qw(encode_base64);
use Test::More tests => 4;

my $program = shift // die "usage: run-target.pl PROGRAM\n";
my ($name) = $program =~ /fuzz_(\w+)$/ or die "$program is no fuzz target\n";
my $build = dirname($program);
my $dir = dirname($build);
my $seconds = $ENV{FUZZ_SECONDS} // 10;
my $seed = $ENV{FUZZ_SEED} // 1 + int rand 2**31;

my @corpus = glob "$dir/corpus/$name/*";
my @options = (
	'-max_len=16384', '-timeout=10', '-rss_limit_mb=2048', '-print_final_stats=1',
	'-verbosity=0', "-artifact_prefix=$build/$name-", "-seed=$seed");
push @options, "-dict=$dir/$name.dict" if -e "$dir/$name.dict";
$ENV{UBSAN_OPTIONS} = 'print_stacktrace=1';

# Runs it; true if nothing was found.  Fills in what its statistics say.
sub run_fuzzer
{
	my ($statistics, @arguments) = @_;
	my %before = map { $_ => 1 } glob "$build/$name-*";

	open my $out, '-|', "@{[ map { quotemeta } $program, @options, @arguments ]} 2>&1"
	  or die "$program: $!";
	my @lines = <$out>;
	my $clean = close $out;
	foreach (@lines)
	{
		$statistics->{$1} = $2 if /^stat::(\w+):\s+(\d+)/;
	}
	return 1 if $clean;
	diag(@lines > 60 ? @lines[ -60 .. -1 ] : @lines);
	foreach my $artifact (grep { !$before{$_} } glob "$build/$name-*")
	{
		open my $fh, '<:raw', $artifact or next;
		local $/;
		diag("$artifact (base64):\n" . encode_base64(<$fh>));
	}
	return 0;
}

my (%once, %long);
cmp_ok(scalar @corpus, '>', 0, "$name has a corpus");
ok(run_fuzzer(\%once, '-runs=0', "$dir/corpus/$name"), 'nothing is wrong with ' . @corpus . ' inputs of the corpus');
make_path("$build/found_$name");
ok(run_fuzzer(\%long, "-max_total_time=$seconds", "$build/found_$name", "$dir/corpus/$name"),
	"nor with others in $seconds seconds, seed $seed");
cmp_ok($long{number_of_executed_units} // 0, '>', 100 * @corpus, 'of which there were many');
note("$long{number_of_executed_units} inputs") if $long{number_of_executed_units};
