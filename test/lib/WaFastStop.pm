# For coverage: what PostgreSQL::Test::Cluster stops at the end of a test it stops
# at once, and a process that ends at once writes no counters.  So they are asked to
# end first.  test/tools/run-tests.sh loads this into every test
# where WA_MEASURED says that somebody measures.

package WaFastStop;

use strict;
use warnings;

INIT
{
	if (my $at_once = PostgreSQL::Test::Cluster->can('teardown_node'))
	{
		no warnings qw(redefine once);
		*PostgreSQL::Test::Cluster::teardown_node = sub {
			my ($self) = @_;

			local $ENV{PGCTLTIMEOUT} = 20;
			$self->stop('fast', fail_ok => 1);
			$at_once->($self);
		};
	}
	if (WaGateway->can('stop'))
	{
		no warnings qw(redefine once);
		*WaGateway::DESTROY = sub { local ($?, $@, $!); $_[0]->stop('TERM'); return };
	}
}

1;
