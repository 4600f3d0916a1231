# The image for CloudNativePG: what "make oci" writes is an image layout in which
# every digest is right, and a server that has nothing of ours but the image runs it.

use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use FindBin;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $root = "$FindBin::RealBin/../..";
my $tmp = PostgreSQL::Test::Utils::tempdir_short;
my $pg_config = $ENV{PG_CONFIG};
my $digests = 0;

sub run_it
{
	my ($what, @command) = @_;
	my $done = IPC::Run::run(\@command, '>', \my $out, '2>', \my $err);
	ok($done, $what) or BAIL_OUT("$out$err");
	chomp $out;
	return $out;
}

sub ask { return run_it("pg_config $_[0]", $pg_config, $_[0]) }

# The JSON document or the bytes that a descriptor points to.
sub blob
{
	my ($layout, $descriptor) = @_;
	my ($digest) = $descriptor->{digest} =~ /\Asha256:([0-9a-f]{64})\z/;
	my $bytes = slurp_file("$layout/blobs/sha256/$digest");
	is(sha256_hex($bytes), $digest, 'its bytes have the digest of the descriptor');
	is(length $bytes, $descriptor->{size}, 'and its size');
	$digests++;
	return $descriptor->{mediaType} =~ /\+json\z/ ? decode_json($bytes) : $bytes;
}

$ENV{OCI_DIR} = "$tmp/oci";
my $printed = run_it('make oci', 'make', '-s', '--no-print-directory', '-C', $root, "PG_CONFIG=$pg_config", 'oci');
my ($major) = ask('--version') =~ /^PostgreSQL (\d+)/;
like($printed, qr{^\Q$tmp\E/oci:\d+\.\d+\.\d+-$major-\w+$}m, 'it says where the image is, and its tag');

# ---- the layout ----

my $layout = "$tmp/oci";
is_deeply(decode_json(slurp_file("$layout/oci-layout")), { imageLayoutVersion => '1.0.0' }, 'the layout is marked as one');
my $index = decode_json(slurp_file("$layout/index.json"));
is($index->{schemaVersion}, 2, 'its index has the version of the schema');
is(scalar @{ $index->{manifests} }, 1, 'and one image');
my $manifest = blob($layout, $index->{manifests}[0]);
is($manifest->{mediaType}, $index->{manifests}[0]{mediaType}, 'the manifest is what the index says');
my $config = blob($layout, $manifest->{config});
is($config->{os}, 'linux', 'the image is for Linux');
is($config->{architecture}, $index->{manifests}[0]{platform}{architecture}, 'and the architecture of the index');
is(scalar @{ $manifest->{layers} }, 1, 'it has one layer');
my $layer = blob($layout, $manifest->{layers}[0]);
is($digests, () = glob("$layout/blobs/sha256/*"), 'there is nothing else in it');

# ---- unpacked, as a node does that mounts it ----

my $image = "$tmp/image";
mkdir $image or die "$image: $!";
open my $archive, '>:raw', "$tmp/layer.tar.gz" or die $!;
print $archive $layer;
close $archive or die $!;
run_it('the layer can be decompressed', 'gunzip', "$tmp/layer.tar.gz");
is('sha256:' . sha256_hex(slurp_file("$tmp/layer.tar")), $config->{rootfs}{diff_ids}[0], 'the configuration has its digest without compression');
run_it('and unpacked', 'tar', '-C', $image, '-xf', "$tmp/layer.tar");
is_deeply([ sort map { s{.*/}{}r } glob "$image/*" ], [qw(lib licenses share system)], 'it has the directories that are mounted');
my ($version) = slurp_file("$image/share/extension/whatsapp_shared.control") =~ /^default_version = '(.*)'/m;
ok(-s "$image/$_", $_) foreach 'lib/whatsapp_shared.so', "share/extension/whatsapp_shared--$version.sql", 'licenses/whatsapp_shared/LICENSE';
my @bundled = map { s{.*/}{}r } glob "$image/system/*";
ok((grep { /^libcurl\.so/ } @bundled), 'libcurl is in it');
ok((grep { m{/libcurl[^/]*/copyright} } glob "$image/licenses/*/copyright"), 'and its copyright');
is(join(' ', grep { /^lib(?:c|m|pq|ssl|crypto)\.so/ } @bundled), '', 'what a server has loaded is not');

# ---- loaded by a server that has nothing of ours ----

# As the private PostgreSQL of the suites, without our files; the others are shared.
my $prefix = ask('--bindir') =~ s{/bin\z}{}r;
my ($libdir, $sharedir) = (ask('--pkglibdir'), ask('--sharedir'));
my $private = $prefix =~ s{/usr/lib/postgresql/\d+\z}{}r;
run_it('a server of its own', 'cp', '-al', $private, "$tmp/pg");
my ($own, $own_lib, $own_share) = map { "$tmp/pg" . substr $_, length $private } $prefix, $libdir, $sharedir;
foreach my $file (glob("$own_lib/whatsapp_shared*"), glob("$own_share/extension/whatsapp_shared*"))
{
	unlink $file or die "$file: $!";
}
my $paths = '';
if ($major >= 18)
{
	$paths = qq(extension_control_path = '$image/share:\$system'\ndynamic_library_path = '$image/lib:\$libdir'\n);
}
else
{
	# Before 18 there is one place for extensions.
	run_it('the library is copied', 'cp', "$image/lib/whatsapp_shared.so", $own_lib);
	run_it('the scripts are copied', 'cp', glob("$image/share/extension/*"), "$own_share/extension");
}

my $node = PostgreSQL::Test::Cluster->new('image', install_path => $own);
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'whatsapp_shared'\nwhatsapp_shared.databases = 'postgres'\n$paths");
{
	local $ENV{LD_LIBRARY_PATH} = "$image/system:" . ($ENV{LD_LIBRARY_PATH} // '');
	$node->start;
}
my ($pid) = slurp_file($node->data_dir . '/postmaster.pid') =~ /\A(\d+)/;
my $maps = slurp_file("/proc/$pid/maps");
like($maps, qr{\Q@{[ $major >= 18 ? "$image/lib" : $own_lib ]}\E/whatsapp_shared\.so}, 'the library of the image is loaded');
like($maps, qr{\Q$image\E/system/libcurl}, 'with the libcurl of the image');
$node->safe_psql('postgres', 'CREATE SCHEMA whatsapp; CREATE EXTENSION whatsapp_shared SCHEMA whatsapp');
is($node->safe_psql('postgres', 'SELECT whatsapp.wa_internal_library_version()'), $version, 'library and scripts are of one version');
unlike(slurp_file("/proc/$pid/maps"), qr{\Q$private\E/.*whatsapp_shared}, 'nothing of ours comes from elsewhere');
ok($node->poll_query_until('postgres', "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'whatsapp_shared sender')"),
	'and a sender starts');
$node->stop;

done_testing();
