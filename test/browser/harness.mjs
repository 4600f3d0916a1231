/*
 * A browser, and what every test of a page needs.  Writes TAP.
 *
 * The environment says where the gateway is (WA_URL) and, if pictures are wanted,
 * where they go (WA_PICTURES).  WA_CHROMIUM names another browser than Debian's.
 */

import { createRequire } from 'node:module';
import { mkdirSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { chromium } from 'playwright-core';
import { count, finish, ok } from './tap.mjs';

export { is, like, ok } from './tap.mjs';

export const url = process.env.WA_URL;
const pictures = process.env.WA_PICTURES;
const axeFile = createRequire(import.meta.url).resolve('axe-core/axe.min.js');

/* How long what should happen at once may take, on a machine that has other things to do. */
export const patience = 1000 * Number(process.env.PG_TEST_TIMEOUT_DEFAULT ?? 60);

const browser = await chromium.launch({
	executablePath: process.env.WA_CHROMIUM ?? '/usr/bin/chromium',
	args: ['--no-sandbox', '--disable-dev-shm-usage'],
});

const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/* Something that only the caller can do: the database is his. */
export async function help(what) {
	console.log(`help: ${what}`);
	await answers.next();
}

/* One test: an exception is its failure, with a picture, and the others go on. */
export async function test(name, body) {
	try {
		await body();
	} catch (error) {
		const pages = browser.contexts().flatMap((context) => context.pages());

		ok(false, name, [error.stack, ...pages.flatMap((page) => page.complaints ?? [])].join('\n'));
		for (const page of pages) await picture(page, `failed-${count()}`);
	}
	await Promise.all(browser.contexts().map((context) => context.close()));
}

export async function done() {
	await browser.close();
	finish();
}

/*
 * A page of a browser of its own (no cookies of others).  What it complains about
 * is in page.complaints: errors, what the policy has refused, other hosts.
 */
export async function open(path, { width = 1280, height = 800, scheme = 'light', locale = 'en-GB', script = true, token } = {}) {
	const context = await browser.newContext({
		baseURL: url,
		viewport: { width, height },
		colorScheme: scheme,
		locale,
		javaScriptEnabled: script,
		reducedMotion: 'reduce',
		deviceScaleFactor: pictures ? 2 : 1,
	});
	const page = await context.newPage();

	page.setDefaultTimeout(patience);
	page.complaints = [];
	page.on('console', (message) => {
		/* A refused request is reported by the page itself, in words. */
		if (message.type() === 'error' && !/^Failed to load resource/.test(message.text())) page.complaints.push(message.text());
	});
	page.on('pageerror', (error) => page.complaints.push(`${error.message} ${error.stack}`));
	page.unanswered = 0;
	page.on('request', () => (page.unanswered += 1));
	for (const end of ['requestfinished', 'requestfailed']) page.on(end, () => (page.unanswered -= 1));
	page.on('request', (request) => {
		if (!request.url().startsWith(url) && !request.url().startsWith('data:')) page.complaints.push(`asks ${request.url()}`);
	});
	if (token) {
		await context.request.post('/app/admin/whatsapp/session', { data: { token }, headers: { Origin: url } });
	}
	await page.goto(path);
	return page;
}

/* What axe-core finds wrong with the page as it is now, by these rules or all: [] if nothing. */
export async function axe(page, rules) {
	/* By the debugger, so that the page's policy stays as it is. */
	const client = await page.context().newCDPSession(page);

	await client.send('Runtime.evaluate', { expression: readFileSync(axeFile, 'utf8') });
	return page.evaluate(async (only) => {
		const { violations } = await globalThis.axe.run(document, {
			runOnly: only ?? ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
			resultTypes: ['violations'],
		});

		return violations.map((v) => `${v.id}: ${v.help}: ${v.nodes.map((n) => n.html.slice(0, 200)).join(' | ')}`);
	}, rules);
}

export async function accessible(page, name, rules) {
	const found = await axe(page, rules);

	ok(found.length === 0, `axe finds nothing: ${name}`, found.join('\n'));
}

/* Waits until this is so. */
export async function until(page, condition, what) {
	const deadline = Date.now() + patience;

	while (!(await condition())) {
		if (Date.now() > deadline) throw new Error(`waited in vain: ${what}`);
		await page.waitForTimeout(20);
	}
}

/* The focus follows what was drawn, a frame or two later. */
export async function focused(page, selector, name) {
	const has = page.waitForFunction((s) => document.activeElement?.matches(s), selector);

	ok(await has.then(() => true, () => false), name, await page.evaluate(() => document.activeElement?.outerHTML.slice(0, 200)));
}

/* Answers to what the page asks for can be held back from now on, and released again. */
export async function gate(page, pattern) {
	let open = Promise.resolve();
	let release;

	await page.route(pattern, async (route) => {
		await open;
		const response = await route.fetch();

		await open;
		await route.fulfill({ response });
	});
	return {
		hold: () => (open = new Promise((resolve) => (release = resolve))),
		release: () => release(),
	};
}

/* How many seconds the page has kept a processor busy, since its process began. */
export async function work(page) {
	const client = await page.context().newCDPSession(page);

	await client.send('Performance.enable');
	const { metrics } = await client.send('Performance.getMetrics');

	return metrics.find((m) => m.name === 'ThreadTime').value;
}

/* Nothing is cut off or wider than the window. */
export async function fits(page, name) {
	const [has, wants] = await page.evaluate(() => [innerWidth, document.documentElement.scrollWidth]);

	ok(wants <= has, `fits into ${has} pixels: ${name}`, `it wants ${wants}`);
}

export async function picture(page, name, options = {}) {
	if (!pictures) return;
	mkdirSync(pictures, { recursive: true });
	await page.screenshot({ path: `${pictures}/${name}.png`, ...options });
}
