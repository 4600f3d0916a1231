# docs/reference/error-codes.md
package WaReference::Errors;

use strict;
use warnings;
use utf8;

use Encode qw(decode);
use PostgreSQL::Test::Utils;
use WaReference::Markdown qw(rows title prose cell table);

# ---- Meta's codes ---------------------------------------------------------------------

my %consequence = (
	permanent => 'it fails',
	retry => 'it is sent again',
	throttle_number => 'the number is slowed down, and it is sent again',
	throttle_pair => 'the recipient waits, and it is sent again',
	pause_account_short => 'the account pauses for a while',
	pause_account => 'the account pauses',
	pause_number => 'the number pauses',
	pause_template => 'the template pauses',
	not_applicable => 'not of sending');

sub consequence
{
	my ($c) = @_;
	my $text = $consequence{ $c->{class} } // die "what is the class $c->{class}?";

	$text .= " ($c->{pause})" if defined $c->{pause};
	$text .= $c->{max_retries} == 1 ? ', once at most' : ", $c->{max_retries} times at most" if defined $c->{max_retries};
	$text .= '; the recipient has opted out' if $c->{opts_out};
	return $text;
}

# Neighbours that differ in nothing but their code are one row.
sub codes
{
	my ($node) = @_;
	my @rows;

	foreach my $c (rows($node, 'SELECT code, title, class, pause, max_retries, opts_out, remedy FROM wa_error_codes ORDER BY code'))
	{
		my @cells = (cell($c->{title}), "`$c->{class}`", cell(consequence($c)), cell($c->{remedy}));
		if (@rows && $rows[-1]{last} == $c->{code} - 1 && "@{ $rows[-1]{cells} }" eq "@cells")
		{
			$rows[-1]{last} = $c->{code};
			next;
		}
		push @rows, { first => $c->{code}, last => $c->{code}, cells => \@cells };
	}
	return table([ 'code', 'it means', 'class', 'what happens to the message', 'what to do' ],
		map { [ $_->{first} == $_->{last} ? $_->{first} : "$_->{first}–$_->{last}", @{ $_->{cells} } ] } @rows);
}

# ---- our own -------------------------------------------------------------------------

# Names of conditions, as C and PL/pgSQL write them, with their SQLSTATE.
sub conditions
{
	my ($sharedir) = map { chomp; $_ } `$ENV{PG_CONFIG} --sharedir`;
	my (%by_macro, %by_name);

	foreach my $line (split /\n/, slurp_file("$sharedir/errcodes.txt"))
	{
		my ($state, undef, $macro, $name) = split ' ', $line;
		next unless defined $macro && $state =~ /^\w{5}$/;
		$by_macro{$macro} = $state;
		$by_name{ $name // '' } //= $state;
	}
	return (\%by_macro, \%by_name);
}

# The literal that stands there, with what is put in when it is raised as "…"; undef if there is none.
sub literal
{
	my ($text) = @_;

	return undef unless $text =~ /^\s*((?:"(?:[^"\\]|\\.)*"\s*(?:PRI\w+\s*)?)+)/;
	my $literal = join '', map { /^"(.*)"$/s ? $1 : 'd' } $1 =~ /("(?:[^"\\]|\\.)*"|PRI\w+)/g;
	$literal =~ s/\\n/ /g;
	$literal =~ s/\\(.)/$1/g;
	$literal =~ s/%(?:[-+ #0]*(?:\*|\d+)?(?:\.(?:\*|\d+))?(?:hh|h|ll|l|z|j)?[diouxXeEfgGcspm])/…/g;
	$literal =~ s/%%/%/g;
	return $literal;
}

# Errors that C raises.
sub of_sources
{
	my ($root, $add, $by_macro) = @_;

	foreach my $file (sort split /\n/, `cd $root && find src -path src/bin -prune -o -name '*.c' -print`)
	{
		my $source = decode('UTF-8', slurp_file("$root/$file"));
		while ($source =~ /\bereport\((?:ERROR|FATAL),/g)
		{
			my $call = substr $source, $-[0], 2000;
			$call =~ s/\)\s*;.*//s;
			my ($macro) = $call =~ /errcode\((ERRCODE_\w+)\)/ or next;
			my ($message) = $call =~ /errmsg(?:_plural)?\(\s*(".*)/s or next;
			my ($hint) = $call =~ /errhint\(\s*(".*)/s;
			$add->($by_macro->{$macro} // die("$file: what is $macro?"), literal($message), defined $hint ? literal($hint) : undef);
		}
	}
	return;
}

# Errors that PL/pgSQL raises, as the functions in the catalog have them.
sub of_functions
{
	my ($node, $add, $by_name) = @_;

	foreach my $f (rows($node, q{
		SELECT p.prosrc FROM pg_depend AS d
			JOIN pg_extension AS e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
			JOIN pg_proc AS p ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
		WHERE e.extname = 'whatsapp_shared' AND d.deptype = 'e' AND p.prosrc ~ 'RAISE EXCEPTION'
		ORDER BY p.proname COLLATE "C", p.oid}))
	{
		while ($f->{prosrc} =~ /\bRAISE EXCEPTION\s+'((?:[^']|'')*)'(.*?);\s*$/msg)
		{
			my ($message, $rest) = ($1, $2);
			my ($name) = $rest =~ /ERRCODE = '(\w+)'/;
			my ($hint) = $rest =~ /HINT = '((?:[^']|'')*)'\s*(?:,|$)/;
			my $state = !defined $name ? 'P0001' : $name =~ /^\w{5}$/ && $name =~ /\d/ ? $name : $by_name->{$name};
			$add->($state // die("what is $name?"), map { defined $_ ? s/''/'/gr =~ s/%/…/gr : undef } $message, $hint);
		}
	}
	return;
}

sub sqlstates
{
	my ($node, $root) = @_;
	my ($by_macro, $by_name) = conditions();
	my (%hints, %name_of);

	$name_of{ $by_name->{$_} } = $_ foreach sort keys %$by_name;
	my $add = sub {
		my ($state, $message, $hint) = @_;
		# A message that is all put in, and what our own functions catch, is nobody's to look up.
		return if !defined $message || $message !~ /\w/ || $state !~ /^[0-9A-F][0-9A-Z]{4}$|^[PX]/;
		$hints{$state}{$message} //= $hint // '';
	};
	of_sources($root, $add, $by_macro);
	of_functions($node, $add, $by_name);
	return join '', map {
		my $state = $_;
		"\n### $state\n\n`$name_of{$state}`\n\n"
		  . table([ 'message', 'hint' ], map { [ cell($_), cell($hints{$state}{$_}) ] } sort keys %{ $hints{$state} })
	} sort keys %hints;
}

# ---- the page ---------------------------------------------------------------------

sub page
{
	my ($node, $root) = @_;

	return title('Errors and reasons', <<'MD')
## Meta's error codes

`error_code` in `whatsapp_messages` and `whatsapp_attempts`; the view `wa_error_codes` says the same. A negative one is a failure of our own connection (`-1`: the sender died,
else libcurl's code with a minus sign). A code that is not here is permanent, unless Meta says that it is transient or responds with 5xx. A wait for a
pause or a rate is no attempt.

MD
	  . codes($node)
	  . <<'MD'

## Reasons

`reason` of `wa_explain()`, and `status_reason` of messages; the view `wa_reason_codes`.

MD
	  . table([ 'reason', 'meaning', 'what to do' ],
		map { [ "`$_->{reason}`", cell($_->{meaning}), cell($_->{remedy}) ] }
		  rows($node, 'SELECT reason, meaning, remedy FROM wa_reason_codes ORDER BY reason COLLATE "C"'))
	  . <<'MD'

## SQLSTATEs

What functions raise, with the messages that come with each; … stands for what the case puts in. What is written to the
log by senders is not here, and neither are errors of PostgreSQL itself, such as those of an expression in a notification.
MD
	  . sqlstates($node, $root);
}

1;
