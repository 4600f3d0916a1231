# WaGateway: starts src/bin/gateway/wa_gateway for a test, and talks to it.
#
#   my $node = new_node('gateway');    # WaTest
#   create_extension($node, 'postgres');
#   my $gateway = WaGateway->start($node, arguments => ['--pool-size' => 2]);
#   my $reply = $gateway->get('/api/v1/admin/whatsapp/tenants');
#   is($reply->{status}, 200);
#   is($reply->{json}[0]{tenant_id}, 'alba');
#   $gateway->post('/api/v1/messages', { tenant_id => 'alba', ... }, headers => { 'idempotency-key' => 'k1' });
#   $gateway->get('/healthz', token => undef);         # or a token, or 'viewer'
#   my $answer = $gateway->raw("GET / HTTP/1.1\r\n\r\n");  # bytes to bytes
#
# start() makes the roles gateway_admin and gateway_webhook, if they are not there,
# with their privileges.  Core modules only.  The program is stopped when the object
# goes away.
package WaGateway;

use strict;
use warnings;

use Carp qw(croak);
use File::Basename qw(dirname);
use File::Temp ();
use HTTP::Tiny;
use IO::Select;
use IO::Socket::INET;
use JSON::PP ();

use lib dirname(__FILE__);
use WaLoad qw(patience);
use Time::HiRes qw(time usleep);
use parent qw(WaProgram);

my $json = JSON::PP->new->utf8->canonical->allow_nonref;

our %TOKEN = (
	admin => 'admin-token-of-the-tests-0123456789',
	viewer => 'viewer-token-of-the-tests-0123456789',
);

# The program: $WA_GATEWAY, or the one built in this source tree.
sub binary { return WaProgram::built('gateway', 'WA_GATEWAY') }

# The roles as which it connects, with the privileges of the extension in $db.
sub create_roles
{
	my ($class, $node, $db) = @_;

	foreach my $privilege (qw(admin webhook))
	{
		$node->safe_psql($db, <<"SQL");
DO \$\$
BEGIN
    IF to_regrole('gateway_$privilege') IS NULL THEN
        CREATE ROLE gateway_$privilege LOGIN;
    END IF;
END\$\$;
SQL
		my $schema = $node->safe_psql($db,
			"SELECT quote_ident(n.nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'whatsapp_shared'"
		);
		$node->safe_psql($db, "SELECT $schema.wa_grant('gateway_$privilege', '$privilege')") if $schema ne '';
	}
	return;
}

# How it connects to the node's database as this role; $db is "postgres" by default.
sub conninfo
{
	my ($class, $node, $role, $db) = @_;
	return sprintf "host=%s port=%d dbname=%s user=%s", $node->host, $node->port, $db // 'postgres', $role;
}

# Starts it and waits until it listens and, unless wait => 0, is ready.  Options: db,
# database (a conninfo of one's own), arguments (which come last, so they override),
# environment (a hash).  $node may be undef where database is given.
sub start
{
	my ($class, $node, %options) = @_;
	my $dir = File::Temp->newdir('gateway.XXXXXX', TMPDIR => 1);
	my $self = bless { dir => $dir, node => $node }, $class;
	my $db = $options{db} // 'postgres';

	$class->create_roles($node, $db) if defined $node && ($options{roles} // 1);
	$self->write_file($_, "$TOKEN{$_}\n") foreach sort keys %TOKEN;
	my @arguments = (
		'--listen' => '127.0.0.1:0',
		'--database' => $options{database} // $class->conninfo($node, 'gateway_admin', $db),
		'--webhook-database' => $options{webhook_database} // $options{database}
		  // $class->conninfo($node, 'gateway_webhook', $db),
		'--admin-token-file' => "$dir/admin",
		'--viewer-token-file' => "$dir/viewer",
		'--access-log' => "$dir/access.log",
		@{ $options{arguments} // [] });

	$self->run($options{environment} // {}, @arguments);
	$self->wait_until_ready unless defined $options{wait} && !$options{wait};
	return $self;
}

sub run
{
	my ($self, $environment, @arguments) = @_;
	local %ENV = (%ENV, %$environment);

	open(my $err, '>>', "$self->{dir}/stderr") or croak "could not open a log: $!";
	# All addresses are printed at once.
	$self->launch($self->binary, qr/^listening on \S+\n\z/m, $err, @arguments);
	$self->{http} = HTTP::Tiny->new(timeout => 60, keep_alive => 1, max_redirect => 0, verify_SSL => 0);
	return;
}

# Waits until /readyz says so.
sub wait_until_ready
{
	my ($self) = @_;
	my $deadline = time + patience();

	while (1)
	{
		return 1 if $self->get('/readyz', token => undef)->{status} == 200;
		croak 'wa_gateway does not become ready: ' . $self->stderr if time > $deadline;
		usleep(20_000);
	}
	return;
}

sub dir { return "$_[0]->{dir}" }

# A file beside its tokens: changes these, for example.
sub write_file
{
	my ($self, $name, $text) = @_;
	open my $fh, '>', "$self->{dir}/$name" or croak "$name: $!";
	chmod 0600, $fh or croak "$name: $!";    # it takes no token that others can read
	print $fh $text;
	close $fh or croak "$name: $!";
	return "$self->{dir}/$name";
}

sub read_file
{
	my ($self, $name) = @_;
	open my $fh, '<', "$self->{dir}/$name" or return '';
	local $/;
	return scalar <$fh> // '';
}

sub stderr { return $_[0]->read_file('stderr') }

# The lines of the access log, decoded.
sub access_log { return map { $json->decode($_) } split /\n/, $_[0]->read_file('access.log') }

sub reload { return kill 'HUP', $_[0]->{pid} }

sub last_signal { return 'QUIT' }

# One request.  Options: token ('admin' by default, 'viewer', any other text, undef),
# headers (a hash), body (sent as JSON), content (sent as it is).  The response is
# HTTP::Tiny's, with its JSON decoded in "json".
sub request
{
	my ($self, $method, $path, %options) = @_;
	my %headers = %{ $options{headers} // {} };
	my $token = exists $options{token} ? $options{token} : 'admin';
	my %request;

	$headers{authorization} = 'Bearer ' . ($TOKEN{$token} // $token) if defined $token;
	if (defined $options{body})
	{
		$request{content} = $json->encode($options{body});
		$headers{'content-type'} //= 'application/json';
	}
	$request{content} = $options{content} if defined $options{content};
	$request{headers} = \%headers;
	my $url = $path =~ m{^https?://} ? $path : $self->url . $path;
	my $response = $self->{http}->request($method, $url, \%request);
	$response->{json} = eval { $json->decode($response->{content}) }
	  if ($response->{headers}{'content-type'} // '') =~ m{^application/(?:problem\+)?json\b};
	return $response;
}

sub get     { my ($self, $path, %options) = @_; return $self->request('GET', $path, %options) }
sub head    { my ($self, $path, %options) = @_; return $self->request('HEAD', $path, %options) }
sub options { my ($self, $path, %options) = @_; return $self->request('OPTIONS', $path, %options) }
sub post { my ($self, $path, $body, %options) = @_; return $self->request('POST', $path, body => $body, %options) }
sub put  { my ($self, $path, $body, %options) = @_; return $self->request('PUT', $path, body => $body, %options) }
sub delete { my ($self, $path, %options) = @_; return $self->request('DELETE', $path, %options) }

sub connect
{
	my ($self) = @_;
	my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $self->port, Timeout => 10)
	  or croak "could not connect: $@";
	return $socket;
}

# Sends these bytes and returns what comes until the connection is closed, or until
# nothing has come for a while.
sub raw
{
	my ($self, $bytes, $seconds) = @_;
	my $socket = $self->connect;
	my $answer = '';

	local $SIG{PIPE} = 'IGNORE';
	syswrite $socket, $bytes;
	my $select = IO::Select->new($socket);
	while ($select->can_read($seconds // 5))
	{
		sysread($socket, $answer, 65536, length $answer) or last;
	}
	close $socket;
	return $answer;
}

1;
