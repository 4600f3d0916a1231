/*
 * The admin page, against a gateway whose database has: alba, trigal,
 * forn-sant-jordi and la-espiga with numbers, pan-de-oro (two messages wait) and
 * obrador-norte without, free numbers, three failures with 131026, one uncertain
 * message.
 */

import { accessible, done, fits, focused, gate, help, is, like, ok, open, picture, test, until, work } from './harness.mjs';

const PAGE = '/app/admin/whatsapp';
const API = '/api/v1/admin/whatsapp';
const admin = process.env.WA_ADMIN_TOKEN;
const viewer = process.env.WA_VIEWER_TOKEN;
const SECTIONS = ['overview', 'tenants', 'tenants&view=numbers', 'queue', 'failures', 'messages', 'templates', 'costs', 'timeline', 'health'];

const at = (query) => `${PAGE}?section=${query}`;
const api = async (page, path) => (await page.request.get(`${API}/${path}`)).json();
const row = (page, name) => page.locator('tbody tr', { has: page.getByRole('button', { name, exact: true }) });
const press = (page, key) => page.locator(`[data-action="${key}"]`).click();
const outcome = (page) => page.locator('.outcome p');
const loaded = (page) => page.locator('main[aria-busy="false"] .section > :not(.skeleton)').first().waitFor();

/* Waits for it, and says what was there instead. */
async function shows(locator, pattern, name, options = {}) {
	const found = await locator.filter({ hasText: pattern }).first().waitFor(options).then(() => true, () => false);

	ok(found, name, found ? '' : `     got: ${await locator.allInnerTexts()}\nexpected: ${pattern}`);
}

async function section(name, options = {}) {
	const page = await open(at(name), { token: admin, ...options });

	await loaded(page);
	return page;
}

await test('signing in', async () => {
	const page = await open(PAGE);
	const token = page.getByLabel('Access token');

	await token.fill('no-such-token');
	await page.getByRole('button', { name: 'Sign in' }).click();
	await shows(page.getByRole('alert'), /No file of the gateway has this token/, 'a wrong token is refused in words');
	await focused(page, '#token', 'and the field has the focus');
	await accessible(page, 'signing in');
	await token.fill(admin);
	await page.keyboard.press('Enter');
	await shows(page.getByRole('heading', { level: 1 }), /Needs you/, 'the right one opens the page');
	is(await page.evaluate(() => document.cookie), '', 'no script can read the cookie');
	await page.reload();
	await loaded(page);
	await page.getByRole('button', { name: 'Sign out' }).click();
	await token.waitFor();
	is((await page.request.get(`${API}/summary`)).status(), 401, 'signing out ends the session');
	is(page.complaints.join('\n'), '', 'the browser complains of nothing');
});

await test('what needs a person', async () => {
	const page = await section('overview');

	await shows(page.locator('.strip strong'), /\d+ things? needs? you/, 'the first line answers whether all is right');
	await shows(page.locator('.need'), /no number/, 'tenants without a number are named');
	await shows(page.locator('.need'), /uncertain|may or may not/i, 'messages in doubt are');
	/* In one look, for the next answer may change both. */
	const [listed, said] = await page.evaluate(() => [document.querySelectorAll('.need').length, document.querySelector('.strip strong').innerText]);

	is(listed, Number.parseInt(said, 10), 'the count is that of the list');
	for (const link of await page.locator('.need a').all()) ok((await link.getAttribute('href')).includes('section='), `a remedy is a button: ${await link.innerText()}`);
	is(await page.locator('.chart svg[role=img][aria-label]').count(), 3, 'three charts, each with words');
	is(page.complaints.join('\n'), '', 'the browser complains of nothing');
});

await test('assigning, and undoing', async () => {
	const page = await section('tenants');

	await press(page, 'assign-pan-de-oro');
	await shows(outcome(page), /pan-de-oro sends from \+[\d ]+ now/, 'one click assigns the best free number');
	await row(page, 'pan-de-oro').locator('[data-action="unassign-pan-de-oro"]').waitFor();
	await press(page, 'undo');
	await row(page, 'pan-de-oro').locator('select').waitFor();
	is((await api(page, 'tenants?q=pan-de-oro'))[0].phone_number_id, null, 'undo takes it away again');
});

await test('a conflict', async () => {
	const page = await section('tenants');
	const [{ display_phone_number: taken }] = await api(page, 'tenants?q=alba');
	const form = row(page, 'obrador-norte');
	const ask = async () => {
		if (await form.locator('select').count() > 0) await form.locator('select').selectOption('other');
		await form.locator('input').fill(taken);
		await page.keyboard.press('Enter');
	};

	await ask();
	await shows(page.locator('#question'), /belongs to alba/, 'the holder is named where it happened');
	await focused(page, '#question', 'the question has the focus');
	await accessible(page, 'a conflict');
	await picture(page, 'conflict');
	await page.getByRole('link', { name: 'Show alba' }).click();
	await page.waitForURL(/open=alba/);
	await row(page, 'alba').waitFor();
	ok(true, 'a button goes to the holder');
	await page.goBack();
	await row(page, 'obrador-norte').waitFor();
	await ask();
	await page.getByRole('button', { name: 'Take it away from alba' }).click();
	await shows(outcome(page), /obrador-norte sends from/, 'another takes the number away');
	is((await api(page, 'tenants?q=obrador-norte'))[0].display_phone_number, taken, 'it is there');
	is((await api(page, 'tenants?q=alba'))[0].phone_number_id, null, 'and no longer here');
	await press(page, 'undo');
	await row(page, 'alba').locator('[data-action="unassign-alba"]').waitFor();
	is((await api(page, 'tenants?q=alba'))[0].display_phone_number, taken, 'undo gives it back');
});

await test('somebody else was faster', async () => {
	const page = await section('tenants&q=obrador-norte');
	const answers = await gate(page, /\/tenants\?/);
	const headers = { Origin: process.env.WA_URL };

	const other = (await api(page, 'phone-numbers?assigned=false')).at(-1).phone_number_id;

	await page.locator('[data-action="assign-obrador-norte"]').waitFor();
	/* What the page shows is out of date when the button is pressed. */
	answers.hold();
	await page.request.post(`${API}/tenants/obrador-norte/assign-phone`, { data: { phone_number_id: other }, headers });
	await Promise.all([page.waitForRequest(/obrador-norte\/assign-phone/), press(page, 'assign-obrador-norte')]);
	answers.release();
	await shows(outcome(page), /obrador-norte has .* already/, 'a number that it has got meanwhile is not a conflict with itself');
	await page.unrouteAll({ behavior: 'ignoreErrors' });
	is((await page.request.delete(`${API}/tenants/obrador-norte/unassign-phone`, { headers })).status(), 200, 'it had one');
});

await test('unassigning', async () => {
	const page = await section('tenants&q=trigal');

	await press(page, 'unassign-trigal');
	await shows(page.locator('#question'), /away from trigal\?.*will wait/, 'what will wait is said before');
	await page.keyboard.press('Escape');
	await page.locator('#question').waitFor({ state: 'detached' });
	await focused(page, '[data-action="unassign-trigal"]', 'after a no, the focus is where it was');
	await press(page, 'unassign-trigal');
	await press(page, 'yes');
	await shows(outcome(page), /is free/, 'after a yes, the number is free');
	is((await api(page, 'tenants?q=trigal'))[0].phone_number_id, null, 'the tenant has none');
});

await test('assigning all', async () => {
	const page = await section('tenants&assigned=false&enabled=true');

	ok(await page.locator('tbody tr').count() >= 3, 'the filter shows those without');
	await press(page, 'assign-all-tenants');
	await press(page, 'yes');
	await shows(outcome(page), /\d numbers were assigned/, 'all get one, after a question');
	await shows(page.locator('.empty'), /Nothing matches/, 'and nobody is left in the list');
});

await test('switching WhatsApp off', async () => {
	const page = await section('tenants&q=la-espiga');
	const toggle = page.getByRole('switch', { name: 'WhatsApp for la-espiga' });

	await toggle.click();
	await shows(outcome(page), /switched off/, 'the outcome is said');
	await page.locator('.switch[aria-checked="false"]').waitFor();
	ok(true, 'the switch is off');
	is((await api(page, 'tenants?q=la-espiga'))[0].whatsapp_enabled, false, 'and so is the tenant');
	await press(page, 'undo');
	await page.waitForFunction(() => document.querySelector('.switch')?.getAttribute('aria-checked') === 'true');
	ok(true, 'undo switches it on');
});

await test('a group of failures', async () => {
	const page = await section('failures');
	const group = page.locator('.group', { hasText: '131026' });

	await shows(group, /3 messages/, 'failures are grouped by reason');
	await help('mend the recipients');
	await group.locator('[data-action^="group-retry"]').click();
	await shows(page.locator('#question'), /Send 3 messages again\?/, 'the count is said before');
	await press(page, 'yes');
	await group.waitFor({ state: 'detached' });
	is((await api(page, 'messages?status=failed')).length, 0, 'all of them were queued again');
});

/* The answers of a database with twelve hundred of them, which takes its time. */
await test('a large group, and stopping it', async () => {
	const page = await section('messages&status=failed');
	let calls = 0;
	const goOn = [];

	await page.route(/messages\/retry$/, async (route) => {
		const { dry_run: dry, cursor } = route.request().postDataJSON();

		if (dry) return route.fulfill({ json: { matched: 1200, done: 0, remaining: 1200 } });
		calls += 1;
		is(cursor, calls === 1 ? undefined : `after ${calls - 1}`, `call ${calls} goes on where the one before has ended`);
		await new Promise((resolve) => goOn.push(resolve));
		return route.fulfill({ json: { matched: 1200, done: 498, refused: 2, remaining: 1200 - 500 * calls, cursor: `after ${calls}` } });
	});
	await press(page, 'group-retry-messages');
	await press(page, 'yes');
	await shows(page.locator('.progress'), /0 of 1,200 done/, 'the progress is shown');
	await page.waitForFunction(() => document.querySelector('.progress progress')?.max === 1200);
	await until(page, () => goOn.length > 0, 'the next call');
	goOn.shift()();
	await shows(page.locator('.progress'), /498 of 1,200 done/, 'and goes on');
	await page.locator('.progress').getByRole('button', { name: 'Stop' }).click();
	await until(page, () => goOn.length > 0, 'the next call');
	goOn.shift()();
	await shows(page.locator('.progress'), /Stopped: 996 of 1,200/, 'stopping it says how far it came');
	is(calls, 2, 'and it asks no more');
});

await test('one message, and one in doubt', async () => {
	const page = await section('messages&status=uncertain');
	const [message] = await api(page, 'messages?status=uncertain');

	await page.locator('.opener').first().click();
	await page.waitForURL(new RegExp(`open=${message.id}`));
	await shows(page.locator('.detail .history'), /Enqueued/, 'its history is shown in its row');
	await accessible(page, 'a message');
	await press(page, `resolve-resend-${message.id}`);
	await shows(page.locator('#question'), /gets it twice/, 'sending again says what that risks');
	await press(page, 'no');
	await press(page, `resolve-sent-${message.id}`);
	await shows(outcome(page), new RegExp(`#${message.id} is decided`), 'it is decided');
	is((await api(page, `messages/${message.id}`)).status, 'sent', 'as was said');
	await page.goto(at(`messages&open=${message.id}`));
	await shows(page.locator('.detail'), new RegExp(`#${message.id}`), 'the address leads to it');
});

await test('pausing and resuming', async () => {
	const page = await section('tenants&open=alba');

	await shows(page.locator('.detail .checks'), /\w+/, 'what a tenant needs is checked');
	await press(page, 'pause-tenant-alba');
	await press(page, 'yes');
	await page.locator('[data-action="resume-tenant-alba"]').waitFor();
	await page.getByRole('link', { name: 'Queue' }).click();
	await shows(page.locator('.group'), /Tenant alba/, 'the pause is in the list');
	await press(page, 'resume-tenant-alba');
	await shows(outcome(page), /Resumed: Tenant alba/, 'a button resumes');
	is((await api(page, 'pauses')).filter((p) => p.key === 'alba').length, 0, 'it is gone');
	await page.getByRole('link', { name: 'Timeline' }).click();
	await shows(page.locator('.history li'), /alba[\s\S]*by/, 'the timeline says who did it');
});

await test('live', async () => {
	const page = await section('messages');
	const search = page.getByRole('searchbox');
	const before = (await page.locator('tbody tr').count());

	await search.focus();
	await help('enqueue a message');
	await page.waitForFunction((n) => document.querySelectorAll('tbody tr').length > n, before);
	ok(true, 'a new message appears by itself');
	ok(await search.evaluate((e) => e === document.activeElement), 'and whoever types goes on');
	let asked = 0;

	await page.evaluate(() => {
		Object.defineProperty(document, 'hidden', { configurable: true, get: () => true });
		document.dispatchEvent(new Event('visibilitychange'));
	});
	await until(page, () => page.unanswered === 0, 'what was asked before is answered');
	page.on('request', () => (asked += 1));
	await page.waitForTimeout(2600);
	is(asked, 0, 'a hidden tab asks nothing');
	await page.evaluate(() => {
		delete document.hidden;
		document.dispatchEvent(new Event('visibilitychange'));
	});
	await page.waitForResponse(/summary/);
	ok(true, 'and asks at once when it is seen');
});

await test('a viewer', async () => {
	const page = await section('tenants', { token: viewer });
	const button = page.locator('[data-action^="unassign-"]').first();

	is(await button.getAttribute('aria-disabled'), 'true', 'actions are disabled');
	like(await button.getAttribute('title'), /viewer's token/, 'with the reason');
	await button.click({ force: true });
	await shows(outcome(page), /viewer's token/, 'which is said when they are pressed all the same');
	is((await page.request.delete(`${API}/tenants/alba/unassign-phone`, { headers: { Origin: process.env.WA_URL } })).status(), 403, 'and the gateway would refuse');
	await accessible(page, 'a viewer');
});

await test('by keyboard alone', async () => {
	const page = await section('overview');
	const here = () => page.evaluate(() => document.activeElement.innerText?.replace(/\s+/g, ' ').trim() ?? '');
	const tabTo = async (pattern) => {
		for (let i = 0; i < 80 && !pattern.test(await here()); i++) await page.keyboard.press('Tab');
	};

	await page.keyboard.press('Tab');
	is(await here(), 'Skip to the content', 'the first stop skips to the content');
	await tabTo(/^Tenants and numbers$/);
	await page.keyboard.press('Enter');
	await focused(page, 'h1', 'a new section is announced by its heading');
	is(await here(), 'Tenants and numbers', 'which is this');
	await tabTo(/^alba$/);
	await page.keyboard.press('Enter');
	await shows(page.locator('.detail'), /needs for sending/, 'Enter opens a row');
	is(await here(), 'alba', 'and the focus stays');
	await tabTo(/^Unassign alba$/);
	await page.keyboard.press('Enter');
	await page.locator('#question').waitFor();
	await tabTo(/^No, leave it$/);
	await page.keyboard.press('Space');
	await page.locator('#question').waitFor({ state: 'detached' });
	await focused(page, '[data-action="unassign-alba"]', 'a no leads back');
});

/* With every string of the catalogues in brackets, what has none stands in the code. */
async function bracketed(page) {
	const bracket = (text) => (typeof text === 'string' ? `⟦${text}⟧` : Object.fromEntries(Object.entries(text).map(([k, v]) => [k, `⟦${v}⟧`])));

	await page.route(/\/en\.json$/, async (route) => {
		const words = await (await route.fetch()).json();

		await route.fulfill({ json: Object.fromEntries(Object.entries(words).map(([k, v]) => [k, bracket(v)])) });
	});
}

const bare = (page) => page.evaluate(() => {
	const walk = document.createTreeWalker(document.getElementById('app'), NodeFilter.SHOW_TEXT);
	const found = [];

	while (walk.nextNode()) {
		const { data, parentElement } = walk.currentNode;

		if (!/\p{L}{2}/u.test(data.replace(/⟦[^⟧]*⟧|WhatsApp/g, '')) || parentElement.closest('[translate=no], time, [hidden]')) continue;
		found.push(data);
	}
	return found.join(' | ');
});

await test('every section', async () => {
	const page = await section('overview');

	if (!process.env.WA_PICTURES) await bracketed(page);
	for (const name of SECTIONS) {
		await page.goto(at(name));
		await loaded(page);
		if (!process.env.WA_PICTURES) is(await bare(page), '', `${name} has no words but those of the catalogues`);
		await accessible(page, `${name}`);
		await picture(page, name);
		await page.emulateMedia({ colorScheme: 'dark' });
		await accessible(page, `${name} in the dark`, ['color-contrast']);
		await picture(page, `${name}-dark`);
		await page.emulateMedia({ colorScheme: 'light' });
		/* 640: the window at 200 %. */
		for (const width of [640, 320]) {
			await page.setViewportSize({ width, height: 700 });
			await fits(page, name);
			await picture(page, `${name}-${width}`, { fullPage: true });
		}
		await page.setViewportSize({ width: 1280, height: 800 });
	}
	is(page.complaints.join('\n'), '', 'the browser complains of nothing');
});

await test('in Spanish', async () => {
	const page = await section('overview', { locale: 'es-MX' });

	is(await page.evaluate(() => document.documentElement.lang), 'es', "a Spanish browser's page is Spanish");
	await shows(page.getByRole('heading', { level: 1 }), /Pendiente/, 'its words are');
	await picture(page, 'spanish');
	await page.getByRole('link', { name: 'English' }).click();
	await shows(page.getByRole('heading', { level: 1 }), /Needs you/, 'a link changes the language');
	await page.goto(at('tenants&lang=es'));
	await shows(page.getByRole('heading', { level: 1 }), /Clientes y números/, 'and so does the address');
});

await test('the database is away', async () => {
	const page = await section('tenants');

	await help('stop the database');
	/* The gateway waits for a connection before it refuses, and the page for the gateway. */
	await shows(page.locator('.strip strong'), /Not live since \d/, 'the page says since when it is not live');
	await shows(page.locator('.strip'), /is safe/, 'and what is safe');
	await shows(page.locator('tbody tr'), /alba/, 'what it knew stays');
	is(await page.locator('[data-action="assign-all-tenants"]').getAttribute('aria-disabled'), 'true', 'nothing can be changed');
	await accessible(page, 'the database is away');
	await picture(page, 'stale');
	await help('start the database');
	await page.locator('.strip strong', { hasNotText: 'Not live' }).waitFor();
	ok(true, 'it comes back by itself');
});

await test('three thousand tenants', async () => {
	const page = await section('overview');

	await help('make many tenants');
	await page.goto(at('tenants'));
	await page.locator('tbody tr').first().waitFor();
	/* Of the processor's time, which is the same on a busy machine; how long the answer takes is tested by the caller. */
	const ms = 1000 * await work(page);

	ok(ms < 1000, `the rows are there after ${Math.round(ms)} ms of work`, ms);
	await shows(page.locator('.pager'), /^50 (rows|of 3,\d\d\d) on this page/, 'one page of them is shown');
	await picture(page, 'many');
	const first = await page.locator('tbody th').first().innerText();

	await page.getByRole('button', { name: 'Next' }).click();
	await page.waitForFunction((text) => document.querySelector('tbody th').innerText !== text, first);
	await page.getByRole('button', { name: 'Previous' }).click();
	await page.waitForFunction((text) => document.querySelector('tbody th').innerText === text, first);
	ok(true, 'forward and back');
	await page.getByRole('searchbox').fill('2999');
	await page.waitForFunction(() => document.querySelectorAll('tbody tr').length === 1);
	ok(true, 'a search finds one');
});

await done();
