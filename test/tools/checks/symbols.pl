# Before PostgreSQL 16 every symbol of the library is visible to the whole
# server, so all of ours must have our prefix.

use strict;
use warnings;

use Test::More;

my @symbols = map { (split)[2] } `nm -D --defined-only --extern-only whatsapp_shared.so`;

is($?, 0, 'nm reads the library');
ok(scalar(grep { $_ eq '_PG_init' } @symbols), 'it is a module');
foreach my $symbol (sort @symbols)
{
	like($symbol, qr/^(?:wa_\w+|pg_finfo_wa_\w+|_PG_init|Pg_magic_func|_init|_fini)$/,
		"$symbol has our prefix");
}
done_testing();
