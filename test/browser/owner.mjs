/*
 * The page of a tenant.  test/t/131_gateway_owner_page.pl has made what it shows: t1
 * with a history, t2 without, t3 paused, t4 without a number.
 */

import { accessible, done, fits, focused, gate, help, is, like, ok, open, picture, test, until, url } from './harness.mjs';

const link = (tenant) => process.env[`WA_LINK_${tenant.toUpperCase()}`];
const page = (tenant) => `/app/settings/notifications/${tenant}`;

const PHONE = { width: 360, height: 740, locale: 'es-ES' };
const visit = (tenant, options = {}) => open(link(tenant), { ...PHONE, ...options });

const theSwitch = (p) => p.getByRole('switch');
const turned = (p, on) => p.locator(`[role=switch][aria-checked="${on}"]:not([aria-busy])`).waitFor();
const card = (p, title) => p.locator('.card', { has: p.getByRole('heading', { name: title }) });
const text = (locator) => locator.innerText();
/* As if the connection came back: the page asks at once. */
const nudge = (p) => p.evaluate(() => dispatchEvent(new Event('online')));
const shows = (p, words) => p.getByText(words).first().waitFor();

async function quiet(p, name) {
	is(p.complaints.join('\n'), '', `nothing is complained about: ${name}`);
}

/* First of all: whatever shows t3's page to somebody would mark it. */
await test('reading', async () => {
	const behind = await open('about:blank', PHONE);
	const told = [];
	const watch = (p) => p.on('request', (request) => request.url().endsWith('/read') && told.push(request.url()));
	const aMoment = (p) => p.evaluate(() => new Promise((resolve) => setTimeout(resolve, 1500)));
	watch(behind);
	await behind.addInitScript(() => {
		Object.defineProperty(document, 'visibilityState', { get: () => (globalThis.seen ? 'visible' : 'hidden') });
		Object.defineProperty(document, 'hidden', { get: () => !globalThis.seen });
	});
	await behind.goto(link('t3'));
	await shows(behind, '¿Me apuntas dos hogazas?');
	await nudge(behind);
	await behind.mouse.move(10, 10);
	await aMoment(behind);
	is(told.length, 0, 'a page that nobody sees tells nothing');
	await help('nothing has been read');
	like(await text(behind.locator('.card').first()), /Número oculto \(…6354\).*Nuevo.*¿Me apuntas dos hogazas\?/s, 'somebody without a number is there by the end of the user ID, as new');

	/* Of three conversations those tell that are on the screen, each once and by its last message. */
	await behind.locator('[data-unread]').first().scrollIntoViewIfNeeded();
	await behind.evaluate(() => {
		globalThis.seen = true;
		document.dispatchEvent(new Event('visibilitychange'));
	});
	await until(behind, () => told.length >= 1, 'the first conversation is told');
	const first = told.length;
	ok(first < 3, 'what is further down has not been seen yet', `${first}`);
	await behind.getByRole('button', { name: 'Descargar' }).scrollIntoViewIfNeeded();
	await until(behind, () => told.length >= 2, 'the second, when it is scrolled to');
	await behind.getByText('carta.html').first().scrollIntoViewIfNeeded();
	await until(behind, () => told.length >= 3, 'and the third');

	/* What comes while nobody touches the page is not read by that. */
	const p = await visit('t3');
	const late = [];
	p.on('request', (request) => request.url().endsWith('/read') && late.push(request.url()));
	await shows(p, '¿Me apuntas dos hogazas?');
	await help('somebody else writes');
	await nudge(p);
	await shows(p, '¿Abrís mañana?');
	await p.evaluate(() => scrollTo(0, document.querySelector('[data-unread]').getBoundingClientRect().top + scrollY - 100));
	await aMoment(p);
	await help('the late message is unread');
	await p.mouse.move(100, 100);
	await help('the late message is read');
	await nudge(p);
	await p.locator('[data-unread]').waitFor({ state: 'detached' });
	await aMoment(p);
	is(new Set(late).size, late.length, 'each once');
	await quiet(p, 'reading');
	await picture(p, 'owner-files', { fullPage: true });
	await p.getByLabel('Que vean cuándo he leído sus mensajes').uncheck();
	await p.getByRole('button', { name: 'Guardar ajustes' }).click();
	await shows(p, 'Ajustes guardados.');
	await help('receipts are off in the database');
});

await test('what it says', async () => {
	const p = await visit('t1');

	await shows(p, 'Últimos mensajes');
	is(await p.title(), 'Pedidos por WhatsApp', 'it has a title');
	ok(!p.url().includes('wal_'), 'the key has left the address', p.url());
	is(await text(p.getByRole('heading', { level: 1 })), '¿Tus proveedores reciben los pedidos por WhatsApp?', 'one question');
	is(await theSwitch(p).getAttribute('aria-checked'), 'true', 'and one answer');
	is(await text(p.locator('.sender')), '+34 600 00 00 01', 'the number, as people read it');
	like(await text(p.locator('.head')), /Panadería Alba/, 'whose page it is');
	like(await text(card(p, 'ALB-2042')), /Leído.*Lo leyó (?:hoy|ayer).*50 kg de harina de fuerza.*Harinas Molino.*Confirmado\. El centeno/s, 'an order with what was answered');
	like(await text(card(p, 'ALB-2042')), /Puedes responder hasta (?:hoy|mañana) a las? \d+:\d\d/, 'and until when it can be answered');
	like(await text(card(p, 'ALB-2040')), /No entregado.*el número no tiene WhatsApp/s, 'why one did not arrive');
	like(await text(card(p, 'ALB-2038')), /Ya no puedes responder por aquí/, 'why one cannot be answered any more');
	ok(!/\b13\d{4}\b|uncertain|accepted|template/.test(await text(p.locator('main'))), 'no word of Meta');
	const small = await p.evaluate(() => [...document.querySelectorAll('main *')].filter((e) => parseFloat(getComputedStyle(e).fontSize) < 16).length);
	is(small, 0, 'no text is smaller than 16 pixels');
	const narrow = await p.evaluate(() =>
		[...document.querySelectorAll('main :is(button, a, input, select, textarea)')]
			.filter((e) => e.type !== 'checkbox' && e.getBoundingClientRect().height < 44)
			.map((e) => e.outerHTML));
	is(narrow.join('\n'), '', 'no target is lower than 44 pixels');
	await fits(p, 'the page');
	await accessible(p, 'light');
	await quiet(p, 'what it says');
	await picture(p, 'owner-phone', { fullPage: true });
	await picture(p, 'owner-first-screen');
});

await test('the switch', async () => {
	const p = await visit('t1');

	await theSwitch(p).click();
	await turned(p, false);
	await help('it is off in the database');
	await shows(p, 'Ahora no sale ningún aviso por WhatsApp.');
	await accessible(p, 'switched off');
	await picture(p, 'owner-off');
	await theSwitch(p).focus();
	await p.keyboard.press('Space');
	await turned(p, true);
	await help('it is on in the database');

	/* What cannot be saved is not shown as if it were. */
	await p.route('**/notification-settings', (route) => route.abort());
	await theSwitch(p).click();
	await shows(p, /No se ha podido guardar/);
	await turned(p, true);
	await help('it is on in the database');
});

await test('language and quiet hours', async () => {
	const p = await visit('t1');

	await p.getByLabel('Idioma de los mensajes').selectOption('en_GB');
	await p.getByLabel('No enviar por la noche').check();
	await p.getByLabel('Desde las').fill('22:30');
	await p.getByLabel('Hasta las').fill('22:30');
	await p.getByRole('button', { name: 'Guardar ajustes' }).click();
	await shows(p, 'Las dos horas tienen que ser distintas.');
	await p.getByLabel('Hasta las').fill('06:15');
	await accessible(p, 'settings');
	await p.getByRole('button', { name: 'Guardar ajustes' }).click();
	await shows(p, 'Ajustes guardados.');
	await help('quiet hours are in the database');
	await picture(p, 'owner-settings', { fullPage: true });
	await p.getByLabel('No enviar por la noche').uncheck();
	await p.getByLabel('Idioma de los mensajes').selectOption('es');
	await p.getByRole('button', { name: 'Guardar ajustes' }).click();
	await shows(p, 'Ajustes guardados.');
	await help('no quiet hours are in the database');
});

await test('a test message', async () => {
	const p = await visit('t1');

	await p.getByLabel('Número de móvil').fill('600 111 222');
	await p.getByRole('button', { name: 'Enviar prueba' }).click();
	await shows(p, /Escribe el número con \+ y el prefijo/);
	await focused(p, '#test-phone', 'what is wrong has the focus');
	await accessible(p, 'a wrong number');
	await p.getByLabel('Número de móvil').fill('+34 600 111 222');
	await p.getByRole('button', { name: 'Enviar prueba' }).dblclick();
	await shows(p, 'Prueba en camino a +34 600 111 222.');
	await help('one test has been sent');
	await shows(p, 'Prueba · +34 600 111 222');
	like(await text(card(p, 'Prueba')), /Alba te pide 50 kg de harina para el lunes\./, 'the message says what was sent');
});

await test('an answer', async () => {
	const p = await visit('t1');
	const order = card(p, 'ALB-2042');

	await order.getByRole('button', { name: 'Responder a Harinas Molino' }).click();
	await focused(p, 'textarea', 'one can write at once');
	await order.getByRole('button', { name: 'Enviar' }).click();
	await shows(p, 'Escribe algo antes de enviar.');
	await focused(p, 'textarea', 'and go on');
	await p.keyboard.type('Sí, el martes nos va bien.');
	await accessible(p, 'an answer');
	await picture(p, 'owner-answer');

	/* The connection breaks when the answer has arrived: the second press must not send a second one. */
	let broken = false;
	await p.route('**/replies', async (route) => {
		if (broken) return route.continue();
		broken = true;
		await route.fetch();
		await route.abort();
	});
	await order.getByRole('button', { name: 'Enviar' }).click();
	await shows(p, /Sin conexión\./);
	is(await order.getByRole('textbox').inputValue(), 'Sí, el martes nos va bien.', 'what was written is still there');
	await order.getByRole('button', { name: 'Enviar' }).click();
	await order.locator('.bubble.own', { hasText: 'Sí, el martes nos va bien.' }).waitFor();
	await help('one answer has been sent');

	/* And it goes on by itself. */
	await help('a supplier answers');
	await order.locator('.bubble', { hasText: 'Perfecto, hasta el martes' }).waitFor();
	is(await p.locator('#news').textContent(), 'Harinas Molino te ha contestado.', 'who does not see hears of it');
	await picture(p, 'owner-conversation');
	await quiet(p, 'an answer');
});

await test('somebody writes while it changes', async () => {
	const p = await visit('t1');
	const order = card(p, 'ALB-2042');

	await order.getByRole('button', { name: 'Responder' }).click();
	await focused(p, 'textarea', 'one writes');
	await p.keyboard.type('Otra');
	await Promise.all([p.waitForResponse((response) => response.url().includes('/messages')), nudge(p)]);
	await p.keyboard.type(' cosa');
	is(await order.getByRole('textbox').inputValue(), 'Otra cosa', 'what is being written survives');
	await focused(p, 'textarea', 'with the focus');
});

await test('English', async () => {
	const p = await open(`${page('t1')}?lang=en${new URL(link('t1'), url).hash}`, { ...PHONE, locale: 'fr-FR' });

	await shows(p, 'Do your suppliers get your orders by WhatsApp?');
	is(await p.evaluate(() => document.documentElement.lang), 'en', 'the document says so');
	await accessible(p, 'English');
	await picture(p, 'owner-english', { fullPage: true });
	await p.getByRole('link', { name: 'Español' }).click();
	await shows(p, '¿Tus proveedores reciben los pedidos por WhatsApp?');
	await p.reload();
	await shows(p, '¿Tus proveedores reciben los pedidos por WhatsApp?');
	ok(true, 'the choice stays, and so does the session');
});

await test('the browser\'s language', async () => {
	const english = await visit('t1', { locale: 'en-GB' });
	await shows(english, 'Last messages');
	const other = await visit('t1', { locale: 'de-DE' });
	await shows(other, 'Últimos mensajes');
	ok(true, 'Spanish, unless the browser asks for English');
});

await test('dark, wide, narrow, large', async () => {
	const dark = await visit('t1', { scheme: 'dark' });
	await shows(dark, 'Últimos mensajes');
	await accessible(dark, 'dark');
	await picture(dark, 'owner-dark', { fullPage: true });
	const wide = await visit('t1', { width: 1280, height: 900 });
	await shows(wide, 'Últimos mensajes');
	await picture(wide, 'owner-desktop');
	const narrow = await visit('t1', { width: 320, height: 640 });
	await shows(narrow, 'Últimos mensajes');
	await narrow.getByRole('button', { name: 'Responder a Harinas' }).click();
	await fits(narrow, '320 pixels');
	await picture(narrow, 'owner-narrow');
	await narrow.evaluate(() => (document.documentElement.style.fontSize = '200%'));
	await fits(narrow, '320 pixels and letters of twice the size');
});

await test('the keyboard alone', async () => {
	const p = await visit('t1');
	const reach = async (name) => {
		for (let i = 0; i < 40; i++) {
			await p.keyboard.press('Tab');
			const here = await p.evaluate(() => document.activeElement.getAttribute('aria-label') ?? document.activeElement.labels?.[0]?.innerText ?? document.activeElement.innerText);
			if (name.test(here ?? '')) return true;
		}
		return false;
	};

	await shows(p, 'Últimos mensajes');
	ok(await reach(/Sí, por WhatsApp|reciben/), 'the switch is reached');
	await p.keyboard.press('Enter');
	await turned(p, false);
	await p.keyboard.press('Enter');
	await turned(p, true);
	ok(await reach(/Responder a Harinas/), 'an answer');
	await p.keyboard.press('Enter');
	await p.keyboard.type('x');
	ok(await reach(/Cancelar/), 'the way back');
	await p.keyboard.press('Enter');
	await focused(p, '[aria-label="Responder a Harinas Molino"]', 'which leads to where one was');
	ok(await reach(/móvil/) && (await reach(/Enviar prueba/)) && (await reach(/noche/)) && (await reach(/Guardar ajustes/)), 'and everything else');
});

await test('files', async () => {
	const p = await visit('t3');
	const asked = [];
	p.on('request', (request) => request.url().endsWith('/media') && asked.push(`${request.method()} ${request.url()}`));
	const picture_ = p.getByRole('img', { name: 'Una foto de Harinas Molino: Así ha llegado la harina' });

	await picture_.waitFor();
	await p.waitForFunction(() => document.querySelector('.picture img').naturalWidth === 320);
	ok(true, 'a picture is shown');
	const talk = p.locator('.card', { has: picture_ });
	like(await text(talk), /Así ha llegado la harina/, 'with what was written to it');
	const box = await picture_.boundingBox();
	ok(box.width <= 256 && box.height <= 192, 'small', JSON.stringify(box));
	await Promise.all([p.waitForResponse((response) => response.url().includes('/messages')), nudge(p)]);
	await Promise.all([p.waitForResponse((response) => response.url().includes('/messages')), nudge(p)]);
	is(asked.filter((a) => a.startsWith('GET')).length, 1, 'and asked for once, however often the page looks');

	const voice = p.getByLabel('Un mensaje de voz de Harinas Molino');
	const heard = p.waitForResponse((response) => response.url().endsWith('/media') && response.status() === 206);
	await voice.evaluate((audio) => audio.play());
	await heard;
	await p.waitForFunction(() => document.querySelector('audio').currentTime > 0);
	ok(true, 'a voice is heard');

	const harm = p.getByRole('link', { name: /Abrir carta\.html\.bin/ });
	const download = p.waitForEvent('download');
	await harm.click();
	is((await download).suggestedFilename(), 'carta.html.bin', 'what means harm is saved, under a name that opens nothing');
	ok((await p.title()) === 'Pedidos por WhatsApp', 'and runs nothing');
	await accessible(p, 'files');
	await fits(p, 'files');
	await picture(p, 'owner-files', { fullPage: true });

	const tab = p.context().waitForEvent('page');
	await talk.locator('.picture').click();
	const alone = await tab;
	await alone.waitForFunction(() => document.images[0]?.naturalWidth === 320);
	ok(true, 'large in a tab of its own, under a policy that lets it do nothing');

	await p.getByRole('button', { name: 'Descargar, de Lácteos Sierra' }).click();
	await help('the file cannot be fetched, and then comes');
	await nudge(p);
	await p.getByRole('img', { name: 'Una foto de Lácteos Sierra' }).waitFor();
	ok(true, 'one that was asked for is there by itself');
	await quiet(p, 'files');

	for (const [name, options] of [['dark', { scheme: 'dark' }], ['desktop', { width: 1280, height: 900 }], ['narrow', { width: 320, height: 640 }]]) {
		const q = await visit('t3', options);
		await q.waitForFunction(() => document.querySelector('.picture img')?.naturalWidth === 320);
		await fits(q, name);
		await accessible(q, `files, ${name}`);
		await picture(q, `owner-files-${name}`, { fullPage: true });
	}
});

await test('files where no cookie is sent', async () => {
	const p = await open('about:blank', PHONE);
	await p.addInitScript(() => Object.defineProperty(navigator, 'cookieEnabled', { value: false }));
	await p.route('**/session', (route) => route.abort());
	await p.goto(link('t3'));
	await p.getByRole('button', { name: 'Ver la foto, de Harinas Molino' }).click();
	await p.waitForFunction(() => document.querySelector('.picture img')?.naturalWidth === 320);
	ok(true, 'the key fetches a picture');
	await p.getByRole('button', { name: 'Escuchar, de Harinas Molino' }).click();
	await p.locator('audio').evaluate((audio) => audio.play());
	await p.waitForFunction(() => document.querySelector('audio').currentTime > 0);
	await p.getByRole('button', { name: /Abrir carta/ }).click();
	const download = p.waitForEvent('download');
	await p.getByRole('link', { name: /Guardar carta/ }).click();
	is((await download).suggestedFilename(), 'carta.html.bin', 'and anything else');
	await quiet(p, 'files without a cookie');
});

await test('nothing yet, paused, no number', async () => {
	const empty = await visit('t2');
	await shows(empty, 'Todavía no hay mensajes.');
	await accessible(empty, 'empty');
	await picture(empty, 'owner-empty', { fullPage: true });
	const paused = await visit('t3');
	await shows(paused, 'Está encendido, pero ahora mismo no sale nada.');
	await accessible(paused, 'paused');
	await picture(paused, 'owner-paused');
	await paused.getByLabel('Número de móvil').fill('+34600111333');
	await paused.getByRole('button', { name: 'Enviar prueba' }).click();
	await shows(paused, 'Tu plataforma ha parado los envíos un momento.');
	ok(true, 'a test says that it would not leave');
	const without = await visit('t4');
	await shows(without, 'todavía no tienes número de WhatsApp');
	await accessible(without, 'no number');
});

await test('without scripts', async () => {
	const p = await open(page('t1'), { ...PHONE, script: false });

	await shows(p, 'Abre el enlace de tu plataforma');
	await p.getByLabel('Enlace o código').fill('wal_wrong');
	await p.getByRole('button', { name: 'Abrir' }).click();
	await shows(p, 'Este enlace ya no sirve');
	await picture(p, 'owner-plain-gone');
	await p.getByLabel('Enlace o código').fill(link('t1').split('key=')[1]);
	await p.getByRole('button', { name: 'Abrir' }).click();
	await shows(p, 'Sí: está encendido.');
	is(new URL(p.url()).pathname, page('t1'), 'one is on the page itself');
	await picture(p, 'owner-plain');
	await fits(p, 'without scripts');
	await p.getByRole('button', { name: 'Apagar WhatsApp' }).click();
	await shows(p, 'No: está apagado.');
	await help('it is off in the database');
	await p.getByRole('link', { name: 'English' }).click();
	await shows(p, 'No: it is off.');
	await p.getByRole('button', { name: 'Switch WhatsApp on' }).click();
	await shows(p, 'Yes: it is on.');
	await help('it is on in the database');
	const other = await p.goto(`${page('t2')}?plain=1`);
	is(other.status(), 403, 'the cookie opens no other page');
	await shows(p, 'Este enlace es de otro negocio');
	const q = await visit('t1');
	await shows(q, 'Últimos mensajes');
	await q.goto(`${page('t1')}?plain=1`);
	await shows(q, 'Sí: está encendido.');
	await accessible(q, 'the page without scripts');
	await quiet(q, 'the page without scripts');
});

await test('in a frame of another site', async () => {
	const p = await open(page('t1'), PHONE);
	const policy = (await p.request.get(page('t1'))).headers()['content-security-policy'];

	like(policy, /frame-ancestors https:\/\/panaderias\.example$/, 'the site that the option names may frame it');
	/* Where no cookie is kept, the key is enough. */
	const q = await visit('t1');
	await q.context().clearCookies();
	await theSwitch(q).click();
	await turned(q, false);
	await theSwitch(q).click();
	await turned(q, true);
	ok(true, 'the key works without a cookie');
});

await test('links that are not', async () => {
	const stranger = await open(page('t1'), PHONE);
	await shows(stranger, 'Abre el enlace de tu plataforma');
	await accessible(stranger, 'no link');
	await stranger.getByLabel('Enlace o código').fill(`  ${new URL(link('t1'), url).href} `);
	await stranger.getByRole('button', { name: 'Abrir' }).click();
	await shows(stranger, 'Últimos mensajes');
	ok(true, 'a pasted link opens the page');
	const other = await open(page('t2') + new URL(link('t1'), url).hash, PHONE);
	await shows(other, 'Este enlace es de otro negocio');
	await picture(other, 'owner-other');
	const p = await visit('t2');
	await shows(p, 'Todavía no hay mensajes.');
	await help('the link expires');
	await nudge(p);
	await shows(p, 'Este enlace ya no sirve');
	await p.getByText('Pide uno nuevo a tu plataforma').waitFor();
	await accessible(p, 'expired');
	await picture(p, 'owner-expired');
	const q = await visit('t1');
	await shows(q, 'Últimos mensajes');
	await help('the links are revoked');
	await nudge(q);
	await shows(q, 'Este enlace ya no sirve');
	const late = await open(link('t1'), PHONE);
	await shows(late, 'Este enlace ya no sirve');
	ok(true, 'a revoked link opens nothing');
});

await test('slow, and away', async () => {
	const p = await open(page('t3'), PHONE);
	const answers = await gate(p, '**/api/**');
	answers.hold();
	await p.goto('about:blank');
	await p.goto(link('t3'));
	await p.waitForFunction(() => {
		const waiting = document.querySelector('.skeleton');

		return waiting && getComputedStyle(waiting).opacity === '1';
	});
	ok(true, 'whoever waits sees that something comes');
	answers.release();
	await shows(p, 'Está encendido');
	await p.unrouteAll({ behavior: 'wait' });
	await help('the database goes away');
	await nudge(p);
	await shows(p, 'Ahora mismo no se puede consultar.');
	await p.getByText('Tus pedidos siguen saliendo').waitFor();
	await accessible(p, 'the database is away');
	await picture(p, 'owner-away');
	await theSwitch(p).click();
	await shows(p, /No se ha podido guardar/);
	await turned(p, true);
	const fresh = await visit('t3');
	await shows(fresh, 'Tus pedidos están guardados');
	await picture(fresh, 'owner-away-first');
	const plain = await open(`${page('t3')}?plain=1`, { ...PHONE, script: false });
	await shows(plain, 'Abre el enlace de tu plataforma');
	await help('the database comes back');
	await p.getByRole('button', { name: 'Probar ahora' }).click();
	await p.getByText('Ahora mismo no se puede consultar.', { exact: true }).waitFor({ state: 'detached' });
	ok(true, 'it comes back by itself');
	await p.context().setOffline(true);
	await nudge(p);
	await shows(p, 'Sin conexión.');
	await picture(p, 'owner-offline');
});

await done();
