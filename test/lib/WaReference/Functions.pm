# docs/reference/functions.md
package WaReference::Functions;

use strict;
use warnings;
use utf8;

use WaReference::Markdown qw(rows title prose);

my $functions = q{
	SELECT p.proname AS name, pg_get_function_arguments(p.oid) AS arguments, pg_get_function_result(p.oid) AS result,
		   obj_description(p.oid, 'pg_proc') AS comment, l.privileges
	FROM pg_depend AS d
		JOIN pg_extension AS e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
		JOIN pg_proc AS p ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
		JOIN wa_internal_privilege_list() AS l ON l.object_name = p.proname
	WHERE e.extname = 'whatsapp_shared' AND d.deptype = 'e' AND NOT starts_with(p.proname, 'wa_internal_')
		AND 'anyelement'::regtype <> ALL (p.proargtypes::oid[])
	ORDER BY p.proname COLLATE "C", p.pronargs, 2};

# Arguments that are given, and columns that come back: the catalog has both in one list.
sub signature
{
	my ($f) = @_;
	my (@in, @out);

	foreach my $argument (split /, (?=(?:OUT |INOUT |VARIADIC )?\w+ [a-z])/, $f->{arguments})
	{
		my ($mode) = $argument =~ s/^(OUT|INOUT) // ? $1 : 'IN';
		push @out, $argument =~ s/ DEFAULT .*//r if $mode ne 'IN';
		push @in, $argument =~ s/::[a-z "\[\]]+$//r if $mode ne 'OUT';
	}
	my $result = @out ? ($f->{result} =~ /^SETOF/ ? 'SETOF ' : '') . '(' . join(', ', @out) . ')' : $f->{result};
	my $call = sprintf '%s(%s)', $f->{name}, join ', ', @in;
	$call = sprintf "%s(\n    %s)", $f->{name}, join ",\n    ", @in if length $call > 100;
	$result =~ s/, /,\n    /g if length $result > 100;
	return "```text\n$call\n→ $result\n```\n";
}

sub whose
{
	my (@privileges) = @_;

	return 'Superusers only.' unless @privileges;
	return 'Privilege: ' . join(', ', map { "`$_`" } @privileges) . '.';
}

sub section
{
	my (@functions) = @_;
	my ($text, $last) = ('', '');

	foreach my $f (@functions)
	{
		$text .= "\n### $f->{name}\n" if $f->{name} ne $last;
		$last = $f->{name};
		$text .= "\n" . signature($f) . "\n" . prose($f->{comment}) . ' ' . whose(@{ $f->{privileges} }) . "\n";
	}
	return $text;
}

sub page
{
	my ($node) = @_;
	my @all = rows($node, $functions);

	return title('Functions', <<'MD')
Every function that somebody may call, with the comment that it has in the database (`\df+ wa_*`). Those with a `tenant_id text` or
`key text` also take it as `uuid`, `bigint` or any other type that has a text form. Who may call what is granted by
[`wa_grant`](#wa_grant). Examples, and how they belong together: [the guide](../sql-reference.md).
MD
	  . section(grep { $_->{name} !~ /^wa_gateway_/ } @all)
	  . "\n## The gateway's routes\n\nEach takes the request as `jsonb` and returns a status and a body: [openapi.yaml](../openapi.yaml).\n"
	  . section(grep { $_->{name} =~ /^wa_gateway_/ } @all);
}

1;
