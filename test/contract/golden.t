# Every type of message that the extension builds, sent by a sender to the
# simulator: what arrives is golden/NAME.json, but for our own data in it.
# What is right by those files is openapi.t's concern.

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Spec;
use JSON::PP ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use lib map { File::Spec->catdir(dirname(abs_path(__FILE__)), '..', @$_) } ['lib'], [ 't', 'lib' ];
use WaDelivery qw(new_delivery wait_for);

my $golden = File::Spec->catdir(dirname(abs_path(__FILE__)), 'golden');
my $json   = JSON::PP->new->utf8->canonical;
my $to     = q('t1', '+34600112233');

# Templates with headers that the simulator's own do not have.
my @templates = map {
	{
		name       => $_->[0],
		language   => 'es',
		category   => 'UTILITY',
		status     => 'APPROVED',
		components => [
			{ type => 'HEADER', format => $_->[1] },
			{
				type => 'BODY',
				text => 'Sobre {{1}} y {{2}}, gracias.',
				example => { body_text => [ [ 'A', 'B' ] ] }
			}
		]
	}
} [ 'con_imagen', 'IMAGE' ], [ 'con_video', 'VIDEO' ], [ 'con_lugar', 'LOCATION' ];

# Templates that have more than these parts.
my $body = { type => 'BODY', text => 'Para {{1}}, con cariño.', example => { body_text => [ ['A'] ] } };
my $card = {
	components => [
		{ type => 'HEADER', format => 'IMAGE' },
		{ type => 'BODY', text => 'Pan.' },
		{ type => 'BUTTONS', buttons => [ { type => 'QUICK_REPLY', text => 'Pedir' } ] }
	]
};
push @templates, map { { name => shift @$_, language => 'es', category => 'MARKETING', status => 'APPROVED', components => $_ } } (
	[ 'con_flujo', $body, { type => 'BUTTONS', buttons => [ { type => 'FLOW', text => 'Abrir', flow_id => '900000000000003' } ] } ],
	[ 'con_catalogo', $body, { type => 'BUTTONS', buttons => [ { type => 'CATALOG', text => 'Ver' } ] } ],
	[ 'con_productos', { type => 'HEADER', format => 'TEXT', text => 'Hoy' }, $body, { type => 'BUTTONS', buttons => [ { type => 'MPM', text => 'Ver' } ] } ],
	[ 'con_producto', { type => 'HEADER', format => 'PRODUCT' }, $body, { type => 'BUTTONS', buttons => [ { type => 'SPM', text => 'Ver' } ] } ],
	[
		'con_oferta', { type => 'LIMITED_TIME_OFFER', limited_time_offer => { text => 'Roscones', has_expiration => JSON::PP::true } },
		$body, { type => 'BUTTONS', buttons => [ { type => 'COPY_CODE', text => 'Copiar' } ] }
	],
	[ 'con_toque',    $body ],
	[ 'con_carrusel', $body, { type => 'CAROUSEL', cards => [ $card, $card ] } ]);

# The name of the golden file, and the call that makes the message.
my @messages = (
	[ 'text', "wa_enqueue_text($to, 'Mañana abrimos a las 8 👋')" ],
	[ 'text_preview', "wa_enqueue_text($to, 'https://example.es/horno', true)" ],
	[ 'text_reply', "wa_enqueue_text($to, E'Sí:\\n\"dos\" barras\\t\\\\', context_message_id => 'wamid.ABC')" ],
	[ 'text_user_id', "wa_enqueue_text('t1', 'ES.7001234567890123', 'Hola')" ],
	[ 'image', "wa_enqueue_media($to, 'image', 'https://example.es/pan.jpg', caption => 'Pan')" ],
	[ 'video', "wa_enqueue_media($to, 'video', 'https://example.es/v.mp4')" ],
	[ 'audio', "wa_enqueue_media($to, 'audio', media_id => '900000000000001', voice => true)" ],
	[
		'document',
		"wa_enqueue_media($to, 'document', media_id => '900000000000001', caption => 'Factura', filename => 'F-17.pdf')"
	],
	[ 'sticker', "wa_enqueue_media($to, 'sticker', media_id => '900000000000001')" ],
	[ 'location', "wa_enqueue_location($to, 41.65, -4.72, 'Horno', 'Calle Mayor 1')" ],
	[
		'contacts',
		"wa_enqueue_contacts($to, '[{\"name\": {\"formatted_name\": \"Horno Ejemplo\", \"first_name\": \"Horno\"},
			\"phones\": [{\"phone\": \"+34600000001\", \"type\": \"WORK\"}], \"org\": {\"company\": \"Horno\"}}]')"
	],
	[ 'reaction', "wa_enqueue_reaction($to, 'wamid.ABC', '👍')" ],
	[ 'reaction_taken_back', "wa_enqueue_reaction($to, 'wamid.ABC', '')" ],
	[
		'interactive_button',
		"wa_enqueue_interactive($to, '{\"type\": \"button\", \"header\": {\"type\": \"text\", \"text\": \"Pedido\"},
			\"body\": {\"text\": \"¿Confirma?\"}, \"footer\": {\"text\": \"Horno\"}, \"action\": {\"buttons\": [
			{\"type\": \"reply\", \"reply\": {\"id\": \"si\", \"title\": \"Sí\"}},
			{\"type\": \"reply\", \"reply\": {\"id\": \"no\", \"title\": \"No\"}}]}}')"
	],
	[
		'interactive_list',
		"wa_enqueue_interactive($to, '{\"type\": \"list\", \"body\": {\"text\": \"Elija hora\"},
			\"action\": {\"button\": \"Ver horas\", \"sections\": [
			{\"title\": \"Mañana\", \"rows\": [{\"id\": \"h0930\", \"title\": \"09:30\", \"description\": \"Recogida\"}]},
			{\"title\": \"Tarde\", \"rows\": [{\"id\": \"h1730\", \"title\": \"17:30\"}]}]}}')"
	],
	[
		'interactive_cta_url',
		"wa_enqueue_interactive($to, '{\"type\": \"cta_url\", \"header\": {\"type\": \"image\", \"image\":
			{\"link\": \"https://example.es/a.jpg\"}}, \"body\": {\"text\": \"Su factura\"}, \"action\":
			{\"name\": \"cta_url\", \"parameters\": {\"display_text\": \"Abrir\", \"url\": \"https://example.es/f/17\"}}}')"
	],
	[ 'template', "wa_enqueue_message($to, 'saludo', language => 'es')" ],
	[ 'template_positional', "wa_enqueue_message($to, 'pedido_listo', '[\"Obrador\", 8841]')" ],
	[
		'template_named',
		"wa_enqueue_message($to, 'pedido_cambiado', '{\"proveedor\": \"Harinas\", \"pedido\": \"8841\", \"cambio\": \"dos sacos\"}')"
	],
	[
		'template_header_text',
		"wa_enqueue_message($to, 'aviso_horario', '{\"header\": \"Lunes\", \"body\": [\"8:00\"]}')"
	],
	[
		'template_header_document',
		"wa_enqueue_message($to, 'factura', '{\"header\": {\"document\": {\"link\": \"https://example.es/f.pdf\", \"filename\": \"F-17.pdf\"}},
			\"body\": [\"Obrador\", {\"currency\": {\"fallback_value\": \"25,40 €\", \"code\": \"EUR\", \"amount_1000\": 25400}}],
			\"buttons\": [\"f/17\"]}')"
	],
	[
		'template_header_image',
		"wa_enqueue_message($to, 'con_imagen', '{\"header\": {\"image\": {\"id\": \"900000000000001\"}},
			\"body\": [\"A\", {\"date_time\": {\"fallback_value\": \"3 de diciembre\"}}]}')"
	],
	[
		'template_header_video',
		"wa_enqueue_message($to, 'con_video', '{\"header\": {\"video\": {\"link\": \"https://example.es/v.mp4\"}}, \"body\": [\"A\", \"B\"]}')"
	],
	[
		'template_header_location',
		"wa_enqueue_message($to, 'con_lugar', '{\"header\": {\"location\": {\"latitude\": 41.65, \"longitude\": -4.72,
			\"name\": \"Horno\", \"address\": \"Calle Mayor 1\"}}, \"body\": [\"A\", \"B\"]}')"
	],
	[
		'template_quick_reply',
		"wa_enqueue_message($to, 'pedido_nuevo', '{\"body\": [\"A\", \"B\", \"C\", \"D\", \"E\"], \"buttons\": [\"CONFIRMAR:8841\"]}', language => 'es')"
	],
	[
		'template_copy_code',
		"wa_enqueue_message($to, 'oferta_semanal', '{\"body\": [\"A\", \"B\"], \"buttons\": [\"PAN10\"]}')"
	],
	[
		'template_one_time_password',
		"wa_enqueue_message($to, 'codigo_acceso', '{\"body\": [\"482913\"], \"buttons\": [\"482913\"]}')"
	],
	[ 'template_flow', "wa_enqueue_message($to, 'con_flujo', '[\"Ana\"]')" ],
	[ 'template_catalog', "wa_enqueue_message($to, 'con_catalogo', '{\"body\": [\"Ana\"], \"buttons\": [\"pan-1\"]}')" ],
	[
		'template_products',
		"wa_enqueue_message($to, 'con_productos', '{\"body\": [\"Ana\"], \"buttons\": [{\"thumbnail\": \"pan-1\",
			\"sections\": [{\"title\": \"Pan\", \"products\": [\"pan-1\", \"pan-2\"]}]}]}')"
	],
	[
		'template_product',
		"wa_enqueue_message($to, 'con_producto', '{\"header\": {\"product\": {\"product_retailer_id\": \"pan-1\",
			\"catalog_id\": \"900000000000002\"}}, \"body\": [\"Ana\"]}')"
	],
	[
		'template_offer',
		"wa_enqueue_message($to, 'con_oferta', '{\"body\": [\"Ana\"], \"buttons\": [\"PAN10\"], \"limited_time_offer\": \"2100-01-01 00:00:00+00\"}')"
	],
	[
		'template_tap_target',
		"wa_enqueue_message($to, 'con_toque', '{\"body\": [\"Ana\"], \"tap_target\": {\"title\": \"Ver\", \"url\": \"https://example.es/o\"}}')"
	],
	[
		'template_carousel',
		"wa_enqueue_message($to, 'con_carrusel', '{\"body\": [\"Ana\"], \"carousel\": [
			{\"header\": {\"image\": {\"id\": \"900000000000001\"}}, \"buttons\": [\"PEDIR:1\"]},
			{\"header\": {\"image\": \"https://example.es/p.jpg\"}, \"buttons\": [\"PEDIR:2\"]}]}')"
	],
);

my ($node, $sim) =
  new_delivery('golden', tenants => 1, settings => ["whatsapp_shared.business_account_id = '300000000000001'"]);

$sim->config(templates => \@templates);
$node->safe_psql('postgres', 'SELECT wa_sync_templates()');
wait_for($node, "SELECT finished_at IS NOT NULL FROM whatsapp_sync WHERE kind = 'templates'",
	'the templates are known');
$node->safe_psql('postgres', <<'SQL');
INSERT INTO whatsapp_windows VALUES ('100000000000001', '+34600112233', now()), ('100000000000001', 'ES.7001234567890123', now())
SQL

# One at a time, so that what has arrived is this one.
my $seen = 0;
foreach my $message (@messages)
{
	my ($name, $call) = @$message;
	my $id = $node->safe_psql('postgres', "SELECT $call");
	my $file = "$golden/$name.json";

	$node->poll_query_until('postgres', "SELECT status NOT IN ('queued', 'sending') FROM whatsapp_messages WHERE id = $id")
	  or die "waited in vain for the end of message \"$name\"";
	my @arrived = $sim->accepted($seen);
	is(scalar @arrived, 1, "$name: Meta takes it");
	next unless @arrived;
	$seen = $arrived[-1]{seq};

	my $got = $arrived[0]{message};
	like($got->{biz_opaque_callback_data}, qr/^wa1:[^:]+:$id:1$/, "$name: it says which message it is");
	$got->{biz_opaque_callback_data} = 'wa1:installation:1:1';
	is_deeply($got, $json->decode(slurp_file($file)), "$name: it is the golden message")
	  or diag($json->encode($got));
}

my @unknown =
  grep { my $file = $_; !grep { $file eq "$golden/$_->[0].json" } @messages } glob "$golden/*.json";
is("@unknown", '', 'every golden message is one of these');

$node->stop;
done_testing();
