# Who may include whom.  The rooms of src/README.md as a table, held against the
# #include lines themselves: nothing is taken from a list of files.

use strict;
use warnings;

use Test::More;

# Each folder with the folders, or single headers, that it may include.  A folder
# that is missing here fails: whoever makes one says what it may know.
my %may = (

	# Pure C, for the server and for programs: no SQL, no sockets.
	'common' => [],

	# libcurl, and nothing of ours.
	'http' => [],

	# The ground of everything that runs in a server.
	'base' => ['common'],

	# What the Graph API says.  Of the HTTP client it knows the result only.
	'graph' => ['common', 'http/result.h'],

	'shared'   => ['base', 'common'],
	'template' => ['base', 'common'],

	# What sessions call, what Meta calls, and the processes.  They meet in the
	# tables and in shared/, not in each other.
	'enqueue'  => ['template', 'shared',  'base', 'common'],
	'notify'   => ['enqueue',  'template', 'base', 'common'],
	'webhook'  => ['graph',    'shared',  'base', 'common'],
	'sender'   => ['graph',    'http',    'shared', 'base', 'common'],
	'launcher' => ['shared',   'base'],

	# Programs.
	'bin/httpd'     => ['common'],
	'bin/simulator' => ['common', 'bin/httpd'],
	'bin/gateway'   => ['common', 'bin/httpd'],

	# _PG_init registers what others have.
	'init.c' => ['base', 'shared', 'launcher'],

	# What everybody may include knows nobody.
	'compat.h' => [],
	'wa_c.h'   => [],
);
my @everybodys = ('compat.h', 'wa_c.h');

# Inside sender/ a file includes files of its own layer and of those beneath.  In
# a folder the layer is the folder's; a file without a layer fails.
my @layers = (
	[qw(worker session)],
	[qw(dispatch tasks wakes)],
	[qw(claim settle upkeep recovery sync upload receipts fetch forward withdraw events)],
	[qw(aside disposition due uncertain overdue reach consent config trust descriptors http_client task_client fetch_client forward_client home former_primary takeover
		  prepared clean_stop begin notice measure)],
	[qw(pace/)],
	[qw(store/ state/)],
);

my (%text, %include);
my @violations;

sub contents
{
	my ($path) = @_;
	open my $fh, '<', $path or die "$path: $!";
	local $/;
	return scalar <$fh>;
}

# ---- what is there ----

foreach my $file (map { s{^src/}{}r } sort split /\n/, `find src -name '*.[ch]'`)
{
	$text{$file} = contents("src/$file") =~ s{/\*.*?\*/}{}gsr;
}
ok(keys %text > 100, 'there are sources');

# An include of ours, as a path below src/: searched for as the compiler does,
# first beside the file that names it.
sub resolve
{
	my ($file, $name) = @_;
	my $beside = $file =~ m{^(.*/)} ? $1 : '';

	foreach my $path ($beside . $name, $name, "bin/$name", "bin/httpd/$name")
	{
		return $path if exists $text{$path};
	}
	return;
}

foreach my $file (sort keys %text)
{
	my @names = $text{$file} =~ /^[ \t]*#[ \t]*include[ \t]*["<]([^">\n]+)[">]/mg;

	$include{$file} = [ grep { defined } map { resolve($file, $_) } @names ];
}
ok((grep { $_ eq 'common/jsonscan.h' } @{ $include{'common/jsonscan.c'} }), 'their includes are found');

sub room
{
	my ($file) = @_;
	return $1 if $file =~ m{^(bin/[^/]+)/};
	return $1 if $file =~ m{^([^/]+)/};
	return $file;
}

# ---- between folders ----

foreach my $file (sort keys %include)
{
	my $room = room($file);

	if (!$may{$room})
	{
		push @violations, "src/$file is in no room of the table";
		next;
	}
	foreach my $header (@{ $include{$file} })
	{
		next if room($header) eq $room && $room =~ m{^[^.]+$};
		next if grep { $header eq $_ || room($header) eq $_ } @{ $may{$room} }, @everybodys;
		push @violations, "src/$file includes $header";
	}
}

# ---- inside sender/ ----

# 0 is the uppermost.
sub layer
{
	my ($file) = @_;

	foreach my $depth (0 .. $#layers)
	{
		foreach my $name (@{ $layers[$depth] })
		{
			return $depth if $name =~ m{/$} ? $file =~ m{^sender/\Q$name\E} : $file =~ m{^sender/\Q$name\E\.[ch]$};
		}
	}
	return;
}

foreach my $file (grep { room($_) eq 'sender' } sort keys %include)
{
	my $own = layer($file);

	if (!defined $own)
	{
		push @violations, "src/$file is in no layer of the sender";
		next;
	}
	foreach my $header (grep { room($_) eq 'sender' } @{ $include{$file} })
	{
		push @violations, "src/$file includes upwards, $header" if (layer($header) // $own) < $own;
	}
}

# The sender's SQL stands in one folder.
foreach my $file (grep { m{^sender/(?!store/)} } sort keys %text)
{
	my ($hit) = $text{$file} =~ /("\s*(?:SELECT|INSERT|UPDATE|DELETE|WITH|LOCK|CALL|MERGE|COPY|EXECUTE|SET)\b[^"\n]{0,30}|\bWaStatement\b|\bSPI_\w+|executor\/spi\.h)/;

	push @violations, "src/$file has SQL: $hit" if defined $hit;
}

# What SPI leaves in its globals is taken up where the statement is run, before
# anything else can run another.
foreach my $file (grep { !m{^base/} } sort keys %text)
{
	push @violations, "src/$file uses SPI's globals: $1" if $text{$file} =~ /\b(SPI_tuptable|SPI_processed)\b/;
}

# ---- libcurl ----

foreach my $file (grep { !m{^(?:http|bin)/} } sort keys %text)
{
	push @violations, "src/$file includes libcurl" if $text{$file} =~ /^\s*#\s*include\s*[<"]curl\//m;
}

# ---- circles ----

# Tarjan's strongly connected components of more than one node.
sub circles
{
	my (%next) = @_;
	my (%index, %low, %stacked, @stack, @found);
	my $count = 0;
	my $visit;

	$visit = sub {
		my ($node) = @_;

		$index{$node} = $low{$node} = $count++;
		push @stack, $node;
		$stacked{$node} = 1;
		foreach my $other (sort keys %{ $next{$node} // {} })
		{
			my $reached;

			if (!exists $index{$other})
			{
				$visit->($other);
				$reached = $low{$other};
			}
			elsif ($stacked{$other})
			{
				$reached = $index{$other};
			}
			$low{$node} = $reached if defined $reached && $reached < $low{$node};
		}
		if ($low{$node} == $index{$node})
		{
			my @component;

			do
			{
				push @component, pop @stack;
				delete $stacked{ $component[-1] };
			} while ($component[-1] ne $node);
			push @found, join ', ', sort @component if @component > 1;
		}
	};
	foreach my $node (sort keys %next)
	{
		$visit->($node) unless exists $index{$node};
	}
	return @found;
}

my (%modules, %folders);
foreach my $file (keys %include)
{
	foreach my $header (@{ $include{$file} })
	{
		# A module is the .c and the .h of one name.
		my ($from, $to) = map { s/\.[ch]$//r } $file, $header;
		$modules{$from}{$to} = 1 if $from ne $to;

		($from, $to) = map { m{^(.*)/} ? $1 : $_ } $file, $header;
		$folders{$from}{$to} = 1 if $from ne $to;
	}
}
push @violations, map { "circle of files: $_" } circles(%modules);
push @violations, map { "circle of folders: $_" } circles(%folders);

# ---- names that would hide somebody else's header ----

# -Isrc comes before the directories of PostgreSQL and of the system, and a
# quoted name is looked for beside its file before that: a header of ours must be
# found under neither its path below src/ nor its bare name anywhere else.
my %name = map { $_ => 1 } map { ($_, s{.*/}{}r) } grep { /\.h$/ } keys %text;
my $pg_config = $ENV{PG_CONFIG} // 'pg_config';
my @directories = split /\n/, `'$pg_config' --includedir-server --includedir`;
ok(@directories == 2 && -e "$directories[0]/postgres.h", "PostgreSQL's headers are there");

my $probe = '';
open my $cc, '|-', 'cc', (map { "-I$_" } @directories), '-E', '-P', '-o', 'build/hidden-headers', '-' or die "cc: $!";
print $cc map { "#if __has_include(<$_>)\n$_\n#endif\n" } 'limits.h', 'common/sha2.h', sort keys %name;
close $cc or die 'the compiler did not preprocess';
foreach my $hidden (split /\s+/, contents('build/hidden-headers'))
{
	next if $hidden eq 'limits.h' || $hidden eq 'common/sha2.h';
	push @violations, "the header $hidden hides one of PostgreSQL or the system";
}
like(contents('build/hidden-headers'), qr{limits\.h\s+common/sha2\.h}, 'theirs are seen');

# ---- folders that are too large to be taken in at once explain themselves ----

foreach my $folder (sort split /\n/, `find src -mindepth 1 -type d`)
{
	my $files = grep { -f } glob "$folder/*.[ch]";

	push @violations, "$folder has $files files and no README.md" if $files > 6 && !-s "$folder/README.md";
}

# ---- the result ----

ok(!@violations, 'everybody includes only what the table allows') or diag(join "\n", @violations);

done_testing();
