/* The page of a tenant: what it asks, when, and the order of its parts. */

import { h, update } from '../common/h.js';
import { choose, language, load, remember, t } from '../common/i18n.js';
import { live } from '../common/live.js';
import { notice } from '../common/parts.js';
import { enter, readMessages, readSettings, takeKey } from './client.js';
import { doorway } from './enter.js';
import { messages, newcomers } from './messages.js';
import { keepAnEye, look } from './reading.js';
import { settings } from './settings.js';
import { onChange, changed, say, state } from './state.js';
import { tryout } from './test.js';
import { question } from './toggle.js';
import { refusal, when } from './words.js';

const EVERY_MS = 5000;
const root = document.getElementById('page');
let poll = null;

/* ---- reading ------------------------------------------------------------------ */

/* 401 and 403 end the page: whoever looks needs another link. */
state.expelled = (problem) => {
	if (problem.status === 401) state.locked = state.data || state.shown ? 'enter.gone' : 'enter';
	else if (problem.status === 403) state.locked = 'enter.other';
	else return false;
	poll?.stop();
	poll = null;
	return true;
};

async function read() {
	state.reading = true;
	try {
		const limit = state.limit;
		const answer = await readMessages(limit, state.etag);

		if (answer.data) {
			if (state.data) newcomers(state.data, answer.data).forEach(say);
			keepAnEye(answer.data);
			Object.assign(state, { data: answer.data, etag: answer.etag, more: answer.next !== null, read: limit });
		}
		/* The switch may have been used elsewhere. */
		if (!state.settings || (state.toggle.busy === null && state.settings.whatsapp_enabled !== state.data.whatsapp_enabled)) {
			state.settings = (await readSettings()).data;
		}
		Object.assign(state, { at: new Date(), problem: null });
		changed();
	} catch (problem) {
		if (!state.expelled(problem)) state.problem = problem;
		changed();
		throw problem;
	} finally {
		state.reading = false;
	}
}

/* What was asked before a change may not know of it: then it is asked once more. */
state.refresh = async () => {
	if (state.reading) await poll?.now();
	if (state.limit !== state.read) state.etag = null;
	await poll?.now();
};

/* typed: the key was, so that what is wrong with it is said beside the field. */
state.open = async (key, typed = false) => {
	state.shown = true;
	try {
		await enter(key);
		state.locked = null;
		poll ??= live(read, { every: EVERY_MS });
		await poll.now();
	} catch (problem) {
		if (!state.expelled(problem)) state.enter.error = refusal(problem);
		else if (typed) state.enter.error = t(state.locked);
	}
	changed();
};

/* ---- showing ------------------------------------------------------------------ */

async function speak(tag) {
	const here = (folder) => new URL(`../${folder}/`, import.meta.url).href;

	await load(tag, here('common'), here('owner'));
	document.title = t('title');
	changed();
}

function head() {
	const other = language === 'es' ? 'en' : 'es';

	return h(
		'div',
		{ key: 'head', class: 'head' },
		h('span', { translate: 'no' }, state.data?.verified_name),
		h(
			'a',
			{
				class: 'tongue',
				href: `?lang=${other}`,
				lang: other,
				hreflang: other,
				onclick(event) {
					event.preventDefault();
					remember(other);
					history.replaceState(null, '', `${location.pathname}?lang=${other}`);
					speak(other);
				},
			},
			t('other_language'),
		),
	);
}

/* Not up to date: since when, what goes on all the same, and a button for the impatient. */
function stale() {
	const { problem, at } = state;

	if (!problem) return null;
	const what = at ? t('problem.offline.what', { when: when(at) }) : t('problem.first');
	const title = problem.status === 0 ? t('problem.offline.mine') : problem.passing ? t('problem.database.mine') : t('problem.sorry');

	return h(
		'div',
		{ key: 'stale', role: 'alert', class: 'no-print' },
		notice(
			'warning',
			title,
			h('p', null, problem.status === 0 || problem.passing ? what : t('problem.sorry.what', { id: problem.requestId ?? problem.status })),
			h('div', { class: 'actions' }, h('button', { class: 'button', type: 'button', onclick: () => poll?.now() }, t('problem.retry'))),
		),
	);
}

function view() {
	if (state.locked) return [head(), doorway()];
	if (!state.data || !state.settings) return [head(), stale() ?? h('div', { key: 'wait', class: 'skeleton', 'aria-hidden': 'true' })];
	return [head(), stale(), question(), messages(), tryout(), settings()];
}

onChange(() => {
	update(root, view());
	look();
});
await speak(choose('es'));

const key = takeKey();

if (key) await state.open(key);
else {
	poll = live(read, { every: EVERY_MS });
	poll.now();
}
