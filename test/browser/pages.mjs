/*
 * What holds for the files of the pages, without a browser: sizes, words, and that
 * nothing is written that the policy would refuse.  The argument is the folder.
 */

import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { createServer } from 'node:net';
import { resolve } from 'node:path';
import { finish, is, ok } from './tap.mjs';

const [root] = process.argv.slice(2);
const LANGUAGES = ['en', 'es'];
const PAGE_BYTES = 150000;
const MODULE_LINES = 200;

/* The same in both languages, and rightly so. */
const SAME = /^(Error|error|Meta|WhatsApp|Marketing|Total|[^\p{L}]*)$/u;

const list = (folder, ending) =>
	readdirSync(`${root}/${folder}`).filter((name) => name.endsWith(ending)).map((name) => `${folder}/${name}`);
const read = (file) => readFileSync(`${root}/${file}`, 'utf8');
const catalogue = (folder, language) => JSON.parse(read(`${folder}/${language}.json`));
const forms = (text) => (typeof text === 'object' ? Object.values(text) : [text]);
const placeholders = (text) => [...new Set(forms(text).flatMap((form) => form.match(/\{\w+\}/g) ?? []))].sort().join(' ');

const pages = ['admin', 'owner'].filter((folder) => existsSync(`${root}/${folder}/index.html`));
const folders = ['common', ...pages];

is(pages[0], 'admin', 'the pages are found');

for (const file of folders.flatMap((folder) => list(folder, '.js'))) {
	const lines = read(file).split('\n').length - 1;

	ok(lines < MODULE_LINES, `${file} has fewer than ${MODULE_LINES} lines`, `${lines}`);
}

for (const page of pages) {
	for (const language of LANGUAGES) {
		const other = LANGUAGES.find((l) => l !== language);
		const files = ['common', page].flatMap((folder) => list(folder, '')).filter((file) => !file.endsWith(`/${other}.json`));
		const bytes = files.reduce((sum, file) => sum + readFileSync(`${root}/${file}`).length, 0);

		ok(bytes <= PAGE_BYTES, `the page ${page} in ${language} has ${bytes} bytes, at most ${PAGE_BYTES}`, `${bytes}`);
	}
}

/*
 * Every string that a module asks for: whole ones, and beginnings of those that a
 * code of the database ends.
 */
function asked(folder) {
	const whole = new Set();
	const beginnings = new Set();

	for (const file of list(folder, '.js')) {
		const text = read(file);

		for (const [, , key] of text.matchAll(/(['"])([\w.]+)\1/g)) whole.add(key);
		for (const [, beginning] of text.matchAll(/`([\w.]+\.)\$\{/g)) beginnings.add(beginning);
		for (const [, beginning] of text.matchAll(/\b(?:tr|said|named)\('([\w.]+)'/g)) beginnings.add(`${beginning}.`);
	}
	/* Forms without scripts are written by the program: {key}. */
	for (const file of list(folder, '.html')) {
		for (const [, key] of read(file).matchAll(/\{([\w.]+)\}/g)) whole.add(key);
	}
	return { whole, beginnings: [...beginnings] };
}

for (const folder of folders) {
	const [first, ...rest] = LANGUAGES.map((language) => catalogue(folder, language));
	const users = folder === 'common' ? folders : [folder];
	const uses = users.map(asked);
	const isUsed = (key) => uses.some(({ whole, beginnings }) => whole.has(key) || beginnings.some((b) => key.startsWith(b)));

	for (const [i, other] of rest.entries()) {
		const language = LANGUAGES[i + 1];

		is(Object.keys(other).sort().join('\n'), Object.keys(first).sort().join('\n'), `${folder}: ${language} has the strings of ${LANGUAGES[0]}`);
		const untranslated = Object.keys(first).filter((key) =>
			JSON.stringify(first[key]) === JSON.stringify(other[key]) && !forms(first[key]).every((form) => SAME.test(form)));
		is(untranslated.join(' '), '', `${folder}: each is translated into ${language}`);
		const differing = Object.keys(first).filter((key) => placeholders(first[key]) !== placeholders(other[key] ?? ''));
		is(differing.join(' '), '', `${folder}: ${language} puts in what ${LANGUAGES[0]} does`);
	}
	for (const [i, words] of [first, ...rest].entries()) {
		const formless = Object.keys(words).filter((key) => typeof words[key] === 'object' && !words[key].other);

		is(formless.join(' '), '', `${folder}: every plural in ${LANGUAGES[i]} has the form "other"`);
	}
	is(Object.keys(first).filter((key) => !isUsed(key)).join(' '), '', `${folder}: every string is used`);

	/* The other way round: t('…') and has a string. */
	const known = new Set([...Object.keys(first), ...Object.keys(catalogue('common', LANGUAGES[0]))]);
	const missing = list(folder, '.js').flatMap((file) =>
		[...read(file).matchAll(/\bt\('([\w.]+)'/g)].map(([, key]) => key).filter((key) => folder !== 'common' && !known.has(key)));

	is(missing.join(' '), '', `${folder}: no string is missing`);
}

/* What a module will ask for is asked for at once: one round trip, not one for each level of imports. */
for (const page of pages) {
	const html = read(`${page}/index.html`);
	const named = [...html.matchAll(/rel="modulepreload" href="[/.\w]*\/assets\/([^"]+)"/g)].map(([, file]) => file);
	const wanted = new Set();
	const follow = (file) => {
		if (wanted.has(file)) return;
		wanted.add(file);
		for (const [, up, name] of read(file).matchAll(/from '(\.\.\/common|\.)\/([\w.]+)'/g)) {
			follow(`${up === '.' ? file.split('/')[0] : 'common'}/${name}`);
		}
	};

	[...html.matchAll(/<script type="module" src="[/.\w]*\/assets\/([^"]+)"/g)].forEach(([, file]) => follow(file));
	is(named.sort().join(' '), [...wanted].slice(1).sort().join(' '), `${page}: the modules are preloaded`);
	is(list(page, '.js').filter((file) => !wanted.has(file)).join(' '), '', `${page}: every module is part of the page`);
}

for (const file of folders.flatMap((folder) => [...list(folder, '.js'), ...list(folder, '.css'), ...list(folder, '.html')])) {
	const text = read(file).replaceAll('http://www.w3.org/2000/svg', '');

	ok(!/https?:\/\/|\beval\(|new Function|innerHTML|insertAdjacentHTML|@import|url\(["']?(?!data:)/.test(text), `${file} asks no other host and makes no code of text`);
	if (file.endsWith('.html')) ok(!/<script(?![^>]*\bsrc=)|<style|\bstyle=|\son\w+=/.test(text), `${file} has nothing inline`);
}

/* An answer that is cut is none, and not one without contents, which no view would know how to show. */
const ANSWERS = {
	whole: 'HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n{"a": 1}',
	'without a body': 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n',
	cut: 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"a": 1',
	'cut by somebody who does not say so': 'HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{"a": 1',
	'an error that is cut': 'HTTP/1.1 409 Conflict\r\nContent-Length: 100\r\n\r\n{"detail',
};
const EXPECTED = { whole: '{"a":1}', 'without a body': '{}', cut: 'problem 0', 'cut by somebody who does not say so': 'problem 0', 'an error that is cut': 'problem 409' };
const { request } = await import(resolve(root, 'common/api.js'));

for (const [name, answer] of Object.entries(ANSWERS)) {
	const server = createServer((socket) => socket.once('data', () => socket.end(answer))).listen(0, '127.0.0.1');

	await new Promise((done) => server.once('listening', done));
	const found = await request('GET', `http://127.0.0.1:${server.address().port}/`)
		.then(({ data }) => JSON.stringify(data), (problem) => `problem ${problem.status}`);

	is(found, EXPECTED[name], `an answer: ${name}`);
	server.close();
}

finish();
