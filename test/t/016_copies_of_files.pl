# Copies of a data directory: base backups and file copies are silent, while the
# original goes on after whatever happens to it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaCopies qw(enqueue_some doubt is_silent is_at_home sent_once);
use WaDelivery qw(new_delivery enqueue wait_status);
use WaTest qw(set_and_reload wait_for_senders);

my ($node, $sim) = new_delivery('original', settings => [ 'wal_level = replica', 'max_wal_senders = 4' ]);
$node->append_conf('pg_hba.conf', 'local replication all trust');
$node->reload;

# A server on a copy of these files, beside the original.
sub start_copy
{
	my ($name, $backup) = @_;
	my $copy = PostgreSQL::Test::Cluster->new($name);
	$copy->init_from_backup($node, $backup);
	$copy->start;
	wait_for_senders($copy, 'postgres', 1);
	return $copy;
}

sub copy_files
{
	my ($from, $to) = @_;
	system('cp', '-a', $from, $to) == 0 or die "could not copy $from";
	return;
}

# ---- the original stays the original --------------------------------------------------

is_at_home($node, 'a new installation is at home');
$node->restart;
is_at_home($node, 'it is after a restart');
$node->stop('immediate');
$node->start;
is_at_home($node, 'and after a crash');
$node->stop;
rename($node->data_dir, $node->data_dir . '.moved') or die $!;
rename($node->data_dir . '.moved', $node->data_dir) or die $!;
$node->start;
is_at_home($node, 'and after its data directory was renamed');
sent_once($sim, 'the original');

# The mark is no slot, and nothing minds it.
ok(-f $node->data_dir . '/pg_replslot/whatsapp_shared.home', 'the mark of the data directory is where slots are');
is($node->safe_psql('postgres', 'SELECT count(*) FROM pg_replication_slots'), 0, 'and no slot');
unlike(slurp_file($node->logfile), qr/(?:WARNING|LOG|ERROR):.*pg_replslot/, 'the server has not a word about it');

# ---- a base backup that is simply started ------------------------------------------------

my @ids = enqueue_some($node);
$node->backup('base');
ok(!-e $node->backup_dir . '/base/pg_replslot/whatsapp_shared.home', 'a base backup has no mark');
my $clone = start_copy('base_backup', 'base');
is_silent($clone, qr/Its data directory is a copy/, 'a base backup on another port');
is_at_home($node, 'the original sends meanwhile', @ids);
sent_once($sim, 'base backup', @ids);

# One call away; the original has to be stopped for it.
$node->stop;
my ($waiting) = $clone->safe_psql('postgres', q{SELECT min(id) FROM whatsapp_messages WHERE recipient_phone LIKE '+34619%'});
$clone->safe_psql('postgres', q{DELETE FROM whatsapp_queue WHERE message_id <= } . $ids[-1]);
is($clone->safe_psql('postgres', 'SELECT wa_adopt()'), 't', 'it can be adopted');
wait_status($clone, $waiting, 'accepted', 'and sends then');
$clone->restart;
is(doubt($clone), '', 'and is at home from then on');
$clone->stop;

# ---- copies of the files -------------------------------------------------------------------

$node->start;
@ids = enqueue_some($node);
$node->stop;
copy_files($node->data_dir, $node->backup_dir . '/files');
ok(-e $node->backup_dir . '/files/pg_replslot/whatsapp_shared.home', 'a copy of all files has the mark');
$node->start;
$clone = start_copy('file_copy', 'files');
is_silent($clone, qr/Its data directory is a copy/, 'a copy of the files');
is_at_home($node, 'the original sends meanwhile', @ids);
sent_once($sim, 'file copy', @ids);
$clone->stop;

# The same where the original was: nobody can tell that it is not still somewhere else.
@ids = enqueue_some($node);
$node->stop;
rename($node->data_dir, $node->data_dir . '.old') or die $!;
copy_files($node->data_dir . '.old', $node->data_dir);
$node->start;
is_silent($node, qr/Its data directory is a copy/, 'files that were copied to where they had been');
is($node->safe_psql('postgres', 'SELECT wa_adopt()'), 't', 'it can be adopted');
is_at_home($node, 'and sends then', @ids);

# A mark that cannot be read is as good as none, and the log says so.
$node->stop;
my $mark = $node->data_dir . '/pg_replslot/whatsapp_shared.home';
chmod 0, $mark;
$node->start;
like(doubt($node), qr/Its data directory is a copy/, 'with a mark that cannot be read it is in doubt');
like(slurp_file($node->logfile), qr/could not read file "pg_replslot.whatsapp_shared.home"/, 'and the log says why');
chmod 0600, $mark;
$node->restart;
is_at_home($node, 'with it, it is not');
$node->stop;
done_testing();
