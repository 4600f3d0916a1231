# docs/reference/settings.md
package WaReference::Settings;

use strict;
use warnings;
use utf8;

use PostgreSQL::Test::Utils;
use WaReference::Markdown qw(rows title prose cell table);

my @times = ([ d => 86_400_000 ], [ h => 3_600_000 ], [ min => 60_000 ], [ s => 1000 ], [ ms => 1 ]);
my @sizes = ([ GB => 1_048_576 ], [ MB => 1024 ], [ kB => 1 ]);
my %unit = (ms => [ 1, \@times ], s => [ 1000, \@times ], min => [ 60_000, \@times ], kB => [ 1, \@sizes ]);

# A number of the setting's unit in the largest unit that has it as a whole number.
sub amount
{
	my ($value, $unit) = @_;

	return $value if !defined $unit || $value <= 0;
	my ($factor, $units) = @{ $unit{$unit} // die "unknown unit $unit" };
	foreach my $u (@$units)
	{
		return $value * $factor / $u->[1] . $u->[0] if $value * $factor % $u->[1] == 0;
	}
	return "$value$unit";
}

sub values_of
{
	my ($s) = @_;

	return 'on, off' if $s->{vartype} eq 'bool';
	return join ', ', @{ $s->{enumvals} } if $s->{vartype} eq 'enum';
	return 'text' if $s->{vartype} eq 'string';
	return amount($s->{min_val}, $s->{unit}) . ' to ' . amount($s->{max_val}, $s->{unit});
}

my %applies = (
	sighup => [ 'reload', 'server' ],
	superuser => [ 'reload, session', 'superuser' ],
	user => [ 'session', 'anybody' ],
	postmaster => [ 'restart', 'server' ]);

# The view shows these to nobody, so what they are is read where they are defined.
sub hidden
{
	my ($root, %known) = @_;
	my $source = slurp_file("$root/src/base/guc.c");
	my @hidden;

	my ($details) = $source =~ /define_secret\(.*?DefineCustomStringVariable\(name, description,(.*?)variable,/s;
	while ($source =~ /define_secret\("whatsapp_shared\.(\w+)",\s*((?:"[^"]*"\s*)+)/g)
	{
		my ($name, $description) = ($1, $2);
		push @hidden, { name => $name, short_desc => join('', $description =~ /"([^"]*)"/g), extra_desc => join('', $details =~ /"([^"]*)"/g),
			context => 'sighup', boot_val => '', vartype => 'string', shown => 'nobody' };
	}
	die 'what the view does not show is not what guc.c hides' if grep { $known{ $_->{name} } } @hidden;
	return @hidden;
}

sub page
{
	my ($node, $root) = @_;
	my $visible = q{SELECT array_agg(name) FROM pg_settings WHERE name LIKE 'whatsapp\_shared.%'};
	my %all = map { $_ => 1 } $node->safe_psql('postgres', $visible) =~ /\.(\w+)/g;
	my %to_all = map { $_ => 1 } $node->safe_psql('postgres', "SET ROLE nobody; $visible") =~ /\.(\w+)/g;
	my @settings = rows($node, q{
		SELECT substr(name, 17) AS name, short_desc, extra_desc, context, vartype, unit, boot_val, min_val, max_val, enumvals
		FROM pg_settings WHERE name LIKE 'whatsapp\_shared.%'});

	$_->{shown} = $to_all{ $_->{name} } ? 'all' : 'superusers, `pg_read_all_settings`' foreach @settings;
	push @settings, hidden($root, %all);
	my @rows = map {
		my $default = $_->{boot_val} eq '' ? 'empty' : '`' . amount($_->{boot_val}, $_->{unit}) . '`';
		[ "`$_->{name}`", $default, values_of($_), @{ $applies{ $_->{context} } }, $_->{shown},
		  cell(join ' ', grep { defined } $_->{short_desc}, $_->{extra_desc}) ]
	} sort { $a->{name} cmp $b->{name} } @settings;

	return title('Settings', <<'MD')
All are named `whatsapp_shared.…`; none needs a restart. Give times and sizes with their unit (`'5s'`, `'10min'`, `'16MB'`): a number alone is taken
in the setting's own, and what nobody means is rejected when it is set.

* **applies**: `reload`: in `postgresql.conf` or by `ALTER SYSTEM`, from `SELECT pg_reload_conf()` on. `session`: also by `SET`, `ALTER DATABASE`, `ALTER ROLE`.
* **set by**: `server`: whoever may change the server's configuration, that is superusers and roles with `GRANT ALTER SYSTEM ON PARAMETER`.
  `superuser`: these, and within a session superusers and roles with `GRANT SET ON PARAMETER`. `anybody`: each session for itself.
* **shown to**: by `SHOW` and `pg_settings`. No secret is shown to anybody.

MD
	  . table([ 'setting', 'default', 'values', 'applies', 'set by', 'shown to', '' ], @rows);
}

1;
