# docs/reference/tables.md
package WaReference::Tables;

use strict;
use warnings;
use utf8;

use WaReference::Markdown qw(rows title prose cell table);

my $relations = q{
	SELECT c.oid, c.relname AS name, c.relkind AS kind, obj_description(c.oid, 'pg_class') AS comment, l.privileges,
		   (SELECT json_agg(json_build_object('name', a.attname, 'type', format_type(a.atttypid, a.atttypmod),
						'needed', a.attnotnull, 'default', pg_get_expr(f.adbin, f.adrelid),
						'comment', col_description(c.oid, a.attnum)) ORDER BY a.attnum)
			FROM pg_attribute AS a
				LEFT JOIN pg_attrdef AS f ON f.adrelid = a.attrelid AND f.adnum = a.attnum
			WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns,
		   (SELECT json_agg(pg_get_constraintdef(k.oid) ORDER BY k.contype = 'p' DESC, k.contype = 'u' DESC, k.conname COLLATE "C")
			FROM pg_constraint AS k WHERE k.conrelid = c.oid AND k.contype IN ('p', 'u', 'f')) AS constraints
	FROM pg_depend AS d
		JOIN pg_extension AS e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
		JOIN pg_class AS c ON d.classid = 'pg_class'::regclass AND d.objid = c.oid
		JOIN wa_internal_privilege_list() AS l ON l.object_name = c.relname
	WHERE e.extname = 'whatsapp_shared' AND d.deptype = 'e' AND c.relkind IN ('r', 'p', 'v')
	ORDER BY c.relname COLLATE "C"};

sub whose
{
	my (@privileges) = @_;

	return 'Read by superusers only.' unless @privileges;
	return 'Read with: ' . join(', ', map { "`$_`" } @privileges) . '.';
}

sub section
{
	my ($r) = @_;
	my $table = $r->{kind} ne 'v';
	my @head = ('column', 'type', $table ? 'default' : (), '');
	my @rows = map {
		my $default = !$table ? () : defined $_->{default} ? '`' . ($_->{default} =~ s/^('[^']*')::[a-z "\[\]]+$/$1/r) . '`' : $_->{needed} ? 'required' : '';
		[ "`$_->{name}`", $_->{type}, $table ? ($default =~ s/\|/\\|/gr) : (), cell($_->{comment}) ]
	} @{ $r->{columns} };
	my @constraints = map { "`$_`" } @{ $r->{constraints} // [] };

	return "\n### $r->{name}\n\n" . prose($r->{comment}) . ' ' . whose(@{ $r->{privileges} }) . "\n\n"
	  . table(\@head, @rows) . (@constraints ? "\n" . join('; ', @constraints) . "\n" : '');
}

sub is_internal { return $_[0]->{comment} =~ /\bInternal\b/ }

sub page
{
	my ($node) = @_;
	my @all = rows($node, $relations);

	return title('Tables and views', <<'MD')
With the comments that they have in the database (`\d+`). `required`: a row must give it. Whoever has a privilege may
read; writing is the owner's, but through the functions.
MD
	  . "\n## Tables\n" . join('', map { section($_) } grep { $_->{kind} ne 'v' && !is_internal($_) } @all)
	  . "\n## Views\n" . join('', map { section($_) } grep { $_->{kind} eq 'v' } @all)
	  . "\n## Internal tables\n\nThe extension's own; any version may change them.\n\n"
	  . table([ 'table', '' ], map { [ "`$_->{name}`", cell($_->{comment}) ] } grep { $_->{kind} ne 'v' && is_internal($_) } @all);
}

1;
