# What wa_gateway does for a real installation, in a few lines for the demo:
# fetches the signed webhooks that the simulated Meta has for us, and prints
# for each of them the call that takes it into the database.
#
#   perl webhooks.pl CONTROL_URL | psql
use strict;
use warnings;

use HTTP::Tiny;
use JSON::PP qw(decode_json);

my $url = "$ARGV[0]/_control/webhooks?max=100&wait_ms=60000";
my $http = HTTP::Tiny->new(timeout => 120);

$| = 1;
while (1)
{
	my $answer = $http->get($url);
	die "$url: $answer->{status} $answer->{content}\n" unless $answer->{success};
	foreach my $post (@{ decode_json($answer->{content})->{posts} })
	{
		# body is base64; neither it nor the signature can contain a quote
		print "SELECT wa_webhook_ingest(decode('$post->{body}', 'base64'), '$post->{signature}');\n";
	}
}
