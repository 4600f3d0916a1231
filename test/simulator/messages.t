# Which messages are accepted, and with which error the others are refused.
use strict;
use warnings;
use utf8;

use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../lib";

use SimClient;
use Test::More;
use WaSimulator;

my $sim = WaSimulator->start;

sub accepts
{
	my ($message, $name, %options) = @_;
	my ($status, $answer) = send_message($sim, $message, %options);
	is("$status " . ($answer->{error}{code} // 'accepted'), '200 accepted', "accepted: $name")
	  or diag explain $answer;
	return $answer;
}

sub refuses
{
	my ($message, $wanted, $name, %options) = @_;
	my ($status, $answer) = send_message($sim, $message, %options);
	is("$status " . ($answer->{error}{code} // 'accepted'), $wanted, "refused: $name")
	  or diag explain $answer;
	return $answer->{error};
}

# A type and its object in place of the text.
sub typed
{
	my ($type, $object, %more) = @_;
	my $message = text_message(type => $type, $type => $object, %more);
	delete $message->{text} unless $type eq 'text';
	return $message;
}

sub template
{
	my ($name, $components, %more) = @_;
	my $object = { name => $name, language => { code => $more{language} // 'es' } };
	$object->{components} = $components if defined $components;
	delete $more{language};
	return typed('template', $object, %more);
}

sub body_of { return { type => 'body', parameters => [ map { { type => 'text', text => "$_" } } @_ ] } }

#
# The answer
#

my $answer = accepts(text_message(to => '+34 (600) 90-00 01'), 'number with spaces and punctuation');
is($answer->{contacts}[0]{wa_id}, '34600900001',          'wa_id is the digits');
is($answer->{contacts}[0]{input}, '+34 (600) 90-00 01',   'input is as given');
like($answer->{messages}[0]{id}, qr/^wamid\.[A-Za-z0-9+\/]+=*$/, 'wamid');
ok(!exists $answer->{messages}[0]{message_status}, 'no message_status without template');
is(accepts(template_message(), 'template')->{messages}[0]{message_status},
	'accepted', 'message_status with template');
my %ids;
$ids{ (send_message($sim, text_message()))[1]{messages}[0]{id} }++ for 1 .. 50;
is(scalar keys %ids, 50, 'ids are unique');

$answer = accepts(text_message(to => '600900002'), 'without calling code');
is($answer->{contacts}[0]{wa_id}, '34600900002', q(the business's calling code is put in front));

my $by_id = text_message(recipient => 'ES.7001234567890123');
delete $by_id->{to};
$answer = accepts($by_id, 'to a business-scoped user id');
is($answer->{contacts}[0]{user_id}, 'ES.7001234567890123', 'user_id in place of wa_id');
ok(!exists $answer->{contacts}[0]{wa_id}, 'no wa_id');
accepts(text_message(recipient => 'nonsense'), 'to wins over recipient');

is_deeply(
	(send_message($sim, { messaging_product => 'whatsapp', status => 'read', message_id => 'wamid.X' }))[1],
	{ success => JSON::PP::true }, 'read receipt');
my %receipt = (messaging_product => 'whatsapp', status => 'read', message_id => 'wamid.X');
is_deeply(
	[ map { (send_message($sim, { %receipt, typing_indicator => { type => $_ } }))[0] } qw(text dots) ],
	[ 200, 400 ], 'with a typing indicator');

#
# What all have in common
#

refuses('{"messaging_product"', '400 100', 'not JSON');
refuses('[]',                   '400 100', 'not an object');
refuses({ to => '+34600900001', type => 'text', text => { body => 'x' } }, '400 100', 'no messaging_product');
like(refuses(text_message(messaging_product => 'sms'), '400 100', 'other product')->{message},
	qr/\(#100\) Param messaging_product must be one of/, 'its message');
my $nobody = text_message();
delete $nobody->{to};
refuses($nobody, '400 100', 'no recipient');
refuses(text_message(to => $_), '400 131009', "recipient $_")
  for '+34', '+0346009000', '+1234567890123456', '+34600x00001', 'hola';
refuses(text_message(to => '+34600000001'), '400 131021', 'to itself');
delete $by_id->{recipient};
refuses({ %$by_id, recipient => $_ }, '400 131009', "recipient id $_") for 'es.123', 'ES.', 'ES.1-2';
refuses(text_message(recipient_type => 'list'), '400 100', 'recipient_type');
$answer = accepts(text_message(recipient_type => 'group', to => 'Y2FwaV9ncm91cDox'), 'group');
is($answer->{messages}[0]{group_id}, 'Y2FwaV9ncm91cDox', 'its id');
refuses(text_message(recipient_type => 'group'), '400 131009', 'a number as a group');
my $lost = accepts(text_message(to => 'ES.7001234567890123'), 'a user id in "to"');
my ($dropped) = grep { ($_->{wamid} // '') eq $lost->{messages}[0]{id} } $sim->requests;
ok($dropped->{status} == 200 && !$dropped->{accepted}, 'is answered as any other, and reaches nobody');
accepts(text_message(recipient_type => 'individual'), 'recipient_type individual');
refuses(text_message(type => 'telegram'), '400 100', 'unknown type');
refuses(text_message(type => 'image'), '400 100', 'object of another type');
refuses({ messaging_product => 'whatsapp', to => '+34600900001', type => 'image' },
	'400 131008', 'no object');
refuses(text_message(texto => 1), '400 100', 'unknown member');
accepts(text_message(biz_opaque_callback_data => 'ñ' x 512), 'opaque data of 512 characters');
refuses(text_message(biz_opaque_callback_data => 'x' x 513), '400 100', 'opaque data of 513 characters');
refuses(text_message(biz_opaque_callback_data => 7), '400 100', 'opaque data that is no text');
accepts(text_message(context => { message_id => 'wamid.X' }), 'reply');
refuses(text_message(context => {}), '400 100', 'reply to nothing');

#
# Text, media and the other plain types
#

accepts(text_message(text => { body => 'ñ' x 4096 }), 'text of 4096 characters');
like(
	refuses(text_message(text => { body => 'ñ' x 4097 }), '400 100', 'text of 4097 characters')->{message},
	qr/^\(#100\) Param text\['body'\] must be at most 4096 characters long\.$/, 'its message');
refuses(text_message(text => { body => '' }), '400 100', 'empty text');
refuses(text_message(text => {}),             '400 100', 'no text');
refuses(text_message(text => []),             '400 100', 'text that is no object');
refuses(text_message(text => { body => 'x', preview_url => 'si' }), '400 100', 'preview_url');

for my $type (qw(image video audio document sticker))
{
	accepts(typed($type, { link => 'https://example.es/f' }), "$type by link");
	accepts(typed($type, { id => '900000000000001' }), "$type by id");
	refuses(typed($type, {}), '400 100', "$type of nothing");
	refuses(typed($type, { id => '1', link => 'https://example.es/f' }), '400 100', "$type of both");
	refuses(typed($type, { link => 'ftp://example.es/f' }), '400 131009', "$type by another protocol");
	refuses(typed($type, { id => 'abc' }), '400 100', "$type by a wrong id");
	refuses(typed($type, { id => '1', caption => 'x' x 1025 }), '400 100', "$type caption");
}
accepts(typed('image', { id => '1', caption => 'x' x 1024 }), 'caption of 1024 characters');
refuses(typed('audio', { id => '1', caption => 'x' }), '400 100', 'caption on audio');

accepts(typed('location', { latitude => 41.65, longitude => -4.72, name => 'Obrador' }), 'location');
accepts(typed('location', { latitude => '41.65', longitude => '-4.72' }), 'location in strings');
refuses(typed('location', { latitude => 91, longitude => 0 }), '400 131009', 'latitude');
refuses(typed('location', { latitude => 1 }), '400 131009', 'no longitude');
refuses(typed('location', { latitude => '4x', longitude => 0 }), '400 131009', 'latitude in letters');
my $contact = { name => { formatted_name => 'Ana Ruiz', first_name => 'Ana' }, phones => [] };
accepts(typed('contacts', [$contact]), 'contacts');
refuses(typed('contacts', []), '400 100', 'no contacts');
refuses(typed('contacts', $contact), '400 100', 'contacts that are no array');
refuses(typed('contacts', [ { name => { formatted_name => 'Ana' } } ]), '400 100', 'contact with one name part');
accepts(typed('reaction', { message_id => 'wamid.X', emoji => "\x{1F44D}" }), 'reaction');
accepts(typed('reaction', { message_id => 'wamid.X', emoji => '' }), 'reaction removed');
refuses(typed('reaction', { message_id => 'wamid.X' }), '400 100', 'reaction without emoji');
refuses(typed('reaction', { emoji => 'x' }), '400 100', 'reaction to nothing');

#
# Interactive
#

sub button { return { type => 'reply', reply => { id => $_[0], title => $_[1] } } }
sub interactive { my (%object) = @_; return typed('interactive', { body => { text => 'x' }, %object }) }

accepts(
	interactive(
		type   => 'button',
		header => { type => 'text', text => 'Pedido' },
		footer => { text => 'Obrador' },
		action => { buttons => [ button('a', 'Sí'), button('b', 'No'), button('c', 'x' x 20) ] }),
	'reply buttons');
refuses(interactive(type => 'button', action => { buttons => [] }), '400 131009', 'no buttons');
refuses(interactive(type => 'button', action => { buttons => [ map { button($_, 'x') } 1 .. 4 ] }),
	'400 131009', 'four buttons');
refuses(interactive(type => 'button', action => { buttons => [ button('a', 'x'), button('a', 'y') ] }),
	'400 131009', 'two buttons with one id');
refuses(interactive(type => 'button', action => { buttons => [ button('a', 'x'), button('b', 'x') ] }),
	'400 131009', 'two buttons with one title');
refuses(interactive(type => 'button', action => { buttons => [ button('a', 'x' x 21) ] }),
	'400 100', 'button title of 21 characters');
refuses(interactive(type => 'button', action => { buttons => [ button('a' x 257, 'x') ] }),
	'400 100', 'button id of 257 characters');
refuses(
	interactive(type => 'button', body => { text => 'x' x 1025 }, action => { buttons => [ button('a', 'x') ] }),
	'400 100', 'body of 1025 characters');
refuses(
	interactive(type => 'button', header => { type => 'text', text => 'x' x 61 },
		action => { buttons => [ button('a', 'x') ] }),
	'400 100', 'header of 61 characters');
accepts(
	interactive(type => 'button', header => { type => 'image', image => { link => 'https://example.es/i' } },
		action => { buttons => [ button('a', 'x') ] }),
	'image header');

sub list
{
	my ($counts, %more) = @_;
	my $n = 0;
	return interactive(
		type   => 'list',
		action => {
			button   => 'Ver',
			sections => [
				map {
					{ title => 'Parte', rows => [ map { { id => 'r' . ++$n, title => "Fila $n" } } 1 .. $_ ] }
				} @$counts
			]
		},
		%more);
}
accepts(list([ 5, 5 ]), 'list of ten rows');
refuses(list([ 5, 6 ]), '400 131009', 'list of eleven rows');
refuses(list([]), '400 131009', 'list of nothing');
refuses(list([ 1, 0 ]), '400 131009', 'section without rows');
accepts(list([1], body => { text => 'x' x 4096 }), 'list body of 4096 characters');
refuses(list([1], header => { type => 'image', image => { id => '1' } }), '400 131009', 'list with image');
my $untitled = list([ 1, 1 ]);
delete $untitled->{interactive}{action}{sections}[0]{title};
refuses($untitled, '400 100', 'sections without titles');
accepts(
	interactive(type => 'cta_url', action => { name => 'cta_url',
			parameters => { display_text => 'Abrir', url => 'https://example.es/f' } }),
	'link');
refuses(
	interactive(type => 'cta_url', action => { name => 'cta_url',
			parameters => { display_text => 'Abrir', url => 'example.es' } }),
	'400 131009', 'link without protocol');
sub link_action { return { name => 'cta_url', parameters => { display_text => 'Ver', url => 'https://example.es/p' } } }
sub cards
{
	my ($count, %more) = @_;
	return interactive(
		type   => 'carousel',
		action => {
			cards => [
				map {
					{
						card_index => $_, type => 'cta_url', body => { text => "Pan $_" }, action => link_action(),
						header => { type => 'image', image => { link => 'https://example.es/i' } }, %more
					}
				} 0 .. $count - 1
			]
		});
}
accepts(cards(2), 'carousel of two cards');
accepts(cards(10), 'carousel of ten cards');
refuses(cards($_), '400 131009', "carousel of $_ cards") for 0, 1, 11;
refuses(interactive(type => 'carousel', action => {}), '400 131009', 'carousel without cards');
refuses(cards(2, header => { type => 'document', document => { id => '1' } }), '400 131009', 'card with a document');
refuses(cards(2, body => { text => 'x' x 161 }), '400 100', 'card text of 161 characters');
refuses(cards(2, card_index => 0), '400 131009', 'cards with one index');
my $uneven = cards(2);
$uneven->{interactive}{action}{cards}[1]{header} = { type => 'video', video => { id => '1' } };
refuses($uneven, '400 131009', 'cards with different headers');
my $choices = cards(2);
$choices->{interactive}{action}{cards}[$_]{action} = { buttons => [ button("c$_", 'Quiero') ] } for 0, 1;
accepts($choices, 'cards with reply buttons');
$choices->{interactive}{action}{cards}[1]{action}{buttons}[0]{reply}{id} = 'c0';
refuses($choices, '400 131009', 'cards whose buttons have one id');
refuses({ %{ cards(2) }, interactive => { %{ cards(2)->{interactive} }, footer => { text => 'x' } } },
	'400 131009', 'carousel with a footer');

accepts(interactive(type => 'request_contact_info', action => { name => 'request_contact_info' }), 'contact request');
refuses(interactive(type => 'request_contact_info', action => { name => 'contact' }), '400 131009', 'contact request by another name');
my %order = (reference_id => 'PO-17', total_amount => { value => 1100, offset => 100 }, order => { status => 'pending', items => [] });
accepts(interactive(type => 'order_details', action => { name => 'review_and_pay', parameters => {%order} }), 'order details');
refuses(interactive(type => 'order_details', action => { name => 'review_and_pay', parameters => { %order, order => undef } }),
	'400 131008', 'order details without an order');
accepts(interactive(type => 'order_status', action => { name => 'review_order', parameters => { reference_id => 'PO-17', order => {} } }),
	'order status');
accepts(interactive(type => 'product', action => { catalog_id => '1', product_retailer_id => 'pan' }), 'product');
refuses(interactive(type => 'product', action => { catalog_id => '1' }), '400 100', 'product of nothing');
my %products = (catalog_id => '1', sections => [ { title => 'x', product_items => [ { product_retailer_id => 'pan' } ] } ]);
accepts(interactive(type => 'product_list', header => { type => 'text', text => 'x' }, action => {%products}), 'products');
refuses(interactive(type => 'product_list', action => {%products}), '400 131008', 'products without a header');
refuses(interactive(type => 'product_list', header => { type => 'text', text => 'x' }, action => { %products, sections => [] }),
	'400 131009', 'product list without products');
refuses(interactive(type => 'poll', action => {}), '400 131009', 'unknown interactive type');
refuses(interactive(action => {}), '400 100', 'interactive without type');

#
# Templates
#

refuses(template('no_existe'), '404 132001', 'unknown template');
refuses(template('pedido_listo', undef, language => 'fr'), '404 132001', 'unknown language');
refuses(template('pendiente_revision'), '404 132001', 'template not approved');
refuses(typed('template', { name => 'saludo' }), '400 100', 'no language');
accepts(template('saludo'), 'template without parameters');
accepts(template('pedido_nuevo', [ body_of(1 .. 5) ], language => 'en'), 'other language');
like(refuses(template('pedido_nuevo', [ body_of(1 .. 4) ]), '400 132000', 'too few parameters')
	  ->{error_data}{details}, qr/params \(4\) does not match the expected number of params \(5\)/, 'details');
refuses(template('pedido_nuevo', [ body_of(1 .. 6) ]), '400 132000', 'too many parameters');
refuses(template('pedido_nuevo'), '400 132000', 'no parameters');
refuses(template('saludo', [ body_of(1) ]), '400 132000', 'a parameter for none');
refuses(template('pedido_listo', [ body_of('Ana', $_) ]), '400 132018', 'parameter with forbidden characters')
  for "a\nb", "a\tb", 'a     b', '';
accepts(template('pedido_listo', [ body_of('Ana', 'a    b') ]), 'four spaces');
my ($status, $old) = (HTTP::Tiny->new->post(
		$sim->url . '/v22.0/' . NUMBER . '/messages',
		{
			headers => { Authorization => 'Bearer ' . TOKEN },
			content => encode(template('pedido_listo', [ body_of('Ana', "a\nb") ]))
		}))->{content};
is(decode($status)->{error}{code}, 132012, 'the older code up to v22');
accepts(template('pedido_listo', [ body_of('Ana', 'x' x 1000) ]), 'a long text, in a template that is only a body');
refuses(template('pedido_listo', [ body_of('Ana', 'x' x 32768) ]), '400 132005', 'text too long even so');
refuses(template('pedido_nuevo', [ body_of(1 .. 4, 'x' x 1000) ]), '400 132005', 'text too long');
accepts(
	template('pedido_listo', [ {
				type       => 'body',
				parameters => [
					{ type => 'currency', currency => { fallback_value => '25,40 €', code => 'EUR', amount_1000 => 25400 } },
					{ type => 'date_time', date_time => { fallback_value => '3 de diciembre' } }
				] } ]),
	'currency and date');

my @named = map { { type => 'text', text => 'x', parameter_name => $_ } } qw(pedido proveedor cambio);
accepts(template('pedido_cambiado', [ { type => 'body', parameters => \@named } ]), 'named parameters, any order');
refuses(template('pedido_cambiado', [ body_of(1 .. 3) ]), '400 100', 'names missing');
refuses(template('pedido_cambiado', [ { type => 'body', parameters => [ @named[ 0, 1 ], { %{ $named[2] }, parameter_name => 'otro' } ] } ]),
	'400 100', 'wrong name');
refuses(template('pedido_listo', [ { type => 'body', parameters => [ @named[ 0, 1 ] ] } ]),
	'400 100', 'names for a positional template');

sub header_of { return { type => 'header', parameters => [ $_[0] ] } }
sub button_of { my ($sub, $index, $parameter) = @_; return { type => 'button', sub_type => $sub, index => $index, parameters => [$parameter] } }
my $pdf  = header_of({ type => 'document', document => { link => 'https://example.es/f.pdf', filename => 'f.pdf' } });
my $link = button_of('url', '0', { type => 'text', text => 'f/1' });
accepts(template('factura', [ $pdf, body_of(1, 2), $link ]), 'document header and link');
refuses(template('factura', [ body_of(1, 2), $link ]), '400 132000', 'header missing');
refuses(template('factura', [ header_of({ type => 'image', image => { id => '1' } }), body_of(1, 2), $link ]),
	'400 132012', 'header of another kind');
refuses(template('factura', [ $pdf, body_of(1, 2) ]), '400 131008', 'link parameter missing');
refuses(template('factura', [ $pdf, body_of(1, 2), button_of('quick_reply', '0', { type => 'payload', payload => 'x' }) ]),
	'400 132012', 'button of another kind');
refuses(template('factura', [ $pdf, body_of(1, 2), $link, button_of('url', '1', { type => 'text', text => 'x' }) ]),
	'400 132000', 'a button the template has not');
refuses(template('factura', [ $pdf, body_of(1, 2), { %$link, index => '12' } ]), '400 131008', 'button index');
accepts(template('aviso_horario', [ header_of({ type => 'text', text => 'Obrador' }), body_of('8:00') ]), 'header text');
accepts(template('pedido_nuevo', [ body_of(1 .. 5), button_of('quick_reply', '0', { type => 'payload', payload => 'OK:1' }) ]),
	'quick reply payload');
accepts(template('codigo_acceso', [ body_of('123456'), button_of('url', '0', { type => 'text', text => '123456' }) ]),
	'one-time password');
refuses(template('codigo_acceso', [ body_of('1' x 16), button_of('url', '0', { type => 'text', text => '1' x 16 }) ]),
	'400 131009', 'one-time password of 16 characters');
accepts(template('oferta_semanal', [ body_of('pan', '10 %'), button_of('copy_code', '0', { type => 'coupon_code', coupon_code => 'PAN10' }) ]),
	'coupon code');
refuses(template('oferta_semanal', [ body_of('pan', '10 %'), button_of('copy_code', '0', { type => 'coupon_code', coupon_code => 'x' x 16 }) ]),
	'400 132012', 'coupon code of 16 characters');
refuses(template('saludo', [ { type => 'footer' } ]), '400 100', 'component that takes no parameters');
refuses(template('saludo', {}), '400 100', 'components that are no array');
my $code_by_id = template('codigo_acceso', [ body_of('1'), button_of('url', '0', { type => 'text', text => '1' }) ],
	recipient => 'ES.7001');
delete $code_by_id->{to};
refuses($code_by_id, '400 131062', 'authentication to a user id');

#
# Templates with more than parameters
#

sub with_parts { my ($name, @parts) = @_; return { name => $name, language => 'es', category => 'MARKETING', components => [ { type => 'BODY', text => 'Vea.' }, @parts ] } }
sub with_button { my ($name, $type) = @_; return with_parts($name, { type => 'BUTTONS', buttons => [ { type => $type, text => 'x' } ] }) }
my @card = ({ type => 'HEADER', format => 'IMAGE' }, { type => 'BODY', text => 'Pan {{1}}' },
	{ type => 'BUTTONS', buttons => [ { type => 'URL', text => 'Ver', url => 'https://example.es/{{1}}' } ] });
$sim->config(templates => [
	with_parts('carrusel', { type => 'CAROUSEL', cards => [ { components => [@card] }, { components => [@card] } ] }),
	with_parts('oferta', { type => 'LIMITED_TIME_OFFER', limited_time_offer => { text => 'Hoy', has_expiration => JSON::PP::true } }),
	with_parts('oferta_abierta', { type => 'LIMITED_TIME_OFFER', limited_time_offer => { text => 'Hoy' } }),
	with_parts('producto', { type => 'HEADER', format => 'PRODUCT' }),
	with_parts('enlace', { type => 'BUTTONS', buttons => [ { type => 'URL', text => 'x', url => 'https://example.es' } ] }),
	with_button('varios', 'MPM'), with_button('catalogo', 'CATALOG'), with_button('formulario', 'FLOW'), with_button('pagar', 'ORDER_DETAILS') ]);

sub card_of
{
	my ($index, $image) = @_;
	return {
		card_index => $index,
		components => [ header_of({ type => 'image', image => $image // { id => '1' } }), body_of('blanco'),
			button_of('url', '0', { type => 'text', text => 'p' }) ]
	};
}
sub carousel_of { return { type => 'carousel', cards => [@_] } }
accepts(template('carrusel', [ carousel_of(card_of(0), card_of(1)) ]), 'cards');
refuses(template('carrusel'), '400 131008', 'no cards');
refuses(template('carrusel', [ carousel_of() ]), '400 132000', 'a carousel of none');
refuses(template('carrusel', [ carousel_of(card_of(0)) ]), '400 132000', 'one card of two');
refuses(template('carrusel', [ carousel_of(card_of(0), card_of(0)) ]), '400 131009', 'one card twice');
refuses(template('carrusel', [ carousel_of(card_of(0), { card_index => 1 }) ]), '400 132000', 'an empty card');
refuses(template('carrusel', [ carousel_of(card_of(0), card_of(1, {})) ]), '400 100', 'a card without its image');
refuses(template('enlace', [ carousel_of(card_of(0)) ]), '400 132000', 'cards for a template that has none');

sub offer_of { return { type => 'limited_time_offer', parameters => [ { type => 'limited_time_offer', limited_time_offer => $_[0] } ] } }
accepts(template('oferta', [ offer_of({ expiration_time_ms => 1_796_000_000_000 }) ]), 'offer');
refuses(template('oferta'), '400 131008', 'no offer');
refuses(template('oferta', [ offer_of({}) ]), '400 132012', 'offer that says nothing');
accepts(template('oferta_abierta'), 'offer that does not expire');

my $product = { type => 'product', product => { product_retailer_id => 'pan', catalog_id => '1' } };
accepts(template('producto', [ header_of($product) ]), 'product header');
refuses(template('producto'), '400 132000', 'no product');
refuses(template('producto', [ header_of({ type => 'product', product => { catalog_id => '1' } }) ]), '400 100', 'product without id');
sub action_of { my ($sub, $action) = @_; return button_of($sub, '0', { type => 'action', action => $action }) }
accepts(template('varios', [ action_of('mpm', { thumbnail_product_retailer_id => 'pan', sections => $products{sections} }) ]), 'products');
refuses(template('varios'), '400 131008', 'no products');
refuses(template('varios', [ action_of('mpm', { thumbnail_product_retailer_id => 'pan', sections => [] }) ]), '400 131009', 'no product in it');
accepts(template('catalogo'), 'catalogue');
accepts(template('catalogo', [ action_of('CATALOG', { thumbnail_product_retailer_id => 'pan' }) ]), 'catalogue with a picture');
accepts(template('formulario', [ { type => 'button', sub_type => 'flow', index => '0' } ]), 'form');
accepts(template('formulario', [ action_of('flow', { flow_token => 't' }) ]), 'form with a token');
refuses(template('formulario'), '400 131009', 'form without its button');
accepts(template('pagar', [ action_of('order_details', { order_details => {%order} }) ]), 'order');
refuses(template('pagar'), '400 131008', 'no order');

sub target_of { return { type => 'tap_target_configuration', parameters => [ { type => 'tap_target_configuration', tap_target_configuration => [ $_[0] ] } ] } }
accepts(template('enlace', [ target_of({ url => 'https://example.es', title => 'Oferta' }) ]), 'tap target');
refuses(template('enlace', [ target_of({ url => 'https://example.es' }) ]), '400 100', 'tap target without title');
refuses(template('enlace', [ target_of({ url => 'example.es', title => 'x' }) ]), '400 131009', 'tap target without address');

$sim->config(marketing_by_its_edge => JSON::PP::true);
refuses(template('enlace'), '400 131063', 'marketing by the common edge, if the account forbids it');
accepts(template('enlace'), 'by its own', edge => 'marketing_messages');
accepts(template('saludo'), 'utility by the common one');
$sim->config(marketing_by_its_edge => JSON::PP::false);

$sim->config(templates => [ { name => 'saludo', language => 'es', status => 'PAUSED' } ]);
refuses(template('saludo'), '400 132015', 'paused template');
$sim->config(templates => [ { name => 'saludo', language => 'es', status => 'DISABLED' } ]);
refuses(template('saludo'), '400 132016', 'disabled template');
$sim->config(templates => [ { name => 'saludo', language => 'es', removed => JSON::PP::true } ]);
refuses(template('saludo'), '404 132001', 'removed template');

my $marketing = template('oferta_semanal', [ body_of('pan', '10 %'), button_of('copy_code', '0', { type => 'coupon_code', coupon_code => 'PAN10' }) ]);
accepts($marketing, 'marketing edge', edge => 'marketing_messages');
refuses(template_message(), '400 134100', 'utility template on the marketing edge', edge => 'marketing_messages');
refuses(text_message(), '400 134100', 'text on the marketing edge', edge => 'marketing_messages');

#
# Who may send, and from where
#

is(refuses(text_message(), '401 190', 'wrong token', token => 'WRONG')->{type}, 'OAuthException', 'its type');
refuses(text_message(), '403 200', 'no token', token => undef);
$sim->config(expired_token => 'OLD');
is(refuses(text_message(), '401 190', 'expired token', token => 'OLD')->{error_subcode}, 463, 'its subcode');
$sim->config(token => 'NEW');
refuses(text_message(), '401 190', 'token after rotation');
accepts(text_message(), 'new token', token => 'NEW');
$sim->config(token => TOKEN);
my $error = refuses(text_message(), '400 100', 'unknown number', number => '42');
is($error->{error_subcode}, 33, 'its subcode');
like($error->{message}, qr/^Unsupported post request\. Object with ID '42' does not exist/, 'its message');
like($error->{fbtrace_id}, qr/^A[\w-]{22}$/, 'fbtrace_id');
$sim->config(numbers => [ { id => NUMBER, removed => JSON::PP::true } ]);
refuses(text_message(), '400 100', 'number that was taken away');
$sim->config(numbers => [ { id => NUMBER } ]);
accepts(text_message(), 'number that came back');
$sim->config(accept_any_number => JSON::PP::true, accept_any_template => JSON::PP::true);
accepts(text_message(), 'any number', number => '42');
refuses(text_message(), '400 100', 'not the account itself', number => WABA);
accepts(template('no_existe', [ body_of(1) ]), 'any template');
refuses(template('no_existe', [ body_of("a\nb") ]), '400 132018', 'forbidden characters in any template');

#
# The log
#

$sim->reset_all;
is(scalar $sim->requests, 0, 'nothing is left after a reset');
send_message($sim, template_message(biz_opaque_callback_data => 'a:1', context => { message_id => 'wamid.X' }));
send_message($sim, template_message(biz_opaque_callback_data => 'a:1'));
send_message($sim, text_message(to => 'nobody'));
my ($first) = $sim->requests;
is_deeply(
	[ @$first{qw(number to type template language biz_opaque_callback_data context status)} ],
	[ NUMBER, '34600900001', 'template', 'pedido_nuevo', 'es', 'a:1', 'wamid.X', 200 ], 'record');
ok($first->{accepted} && $first->{answered}, 'accepted and answered');
is($first->{message}{template}{name}, 'pedido_nuevo', 'body');
is_deeply([ map { $_->{accepted} ? 1 : 0 } $sim->requests ], [ 1, 1, 0 ], 'all requests');
is(scalar $sim->accepted, 2, 'accepted ones');
is(scalar $sim->requests($first->{seq}), 2, 'those after the first');
my $stats = $sim->stats;
is_deeply(
	[ @$stats{qw(send_requests accepted refused duplicates)} ],
	[ 3, 2, 1, 1 ], 'counters');
is_deeply($stats->{refused_by_code}, { 131009 => 1 }, 'refusals by code');
is_deeply($stats->{duplicate_examples}, ['a:1'], 'duplicates by opaque data');
$sim->config(log_bodies => JSON::PP::false, log_memory => 1);
send_message($sim, text_message());
my @kept = $sim->requests(0, incomplete => 1);
is(scalar @kept, 1, 'log_memory bounds the log');
ok(!exists $kept[0]{body}, 'log_bodies off');
ok(!eval { $sim->requests; 1 }, 'a log that forgot is not taken for whole');

is($sim->stop, 0, 'ends in good order');
done_testing();
