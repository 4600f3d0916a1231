/* The frame: one line that says whether all is right, the sections, and one of them. */

import { h } from '../common/h.js';
import { LANGUAGES, language, remember, t } from '../common/i18n.js';
import { clock, number } from '../common/format.js';
import { empty, words } from '../common/parts.js';
import { remove } from '../common/api.js';
import { href, link, params } from './address.js';
import { state, isStale, leave, loadKey, shape } from './state.js';
import { act, announced, outcome, reasons } from './act.js';
import { sample } from './charts.js';
import { sections } from './sections.js';

/* Each in its own words, for whoever does not read the other. */
const NAMES = { en: 'English', es: 'Español' };

const needing = () => state.summary?.needs_attention?.length ?? 0;

function verdict() {
	if (isStale()) {
		return ['error', state.freshAt > 0 ? t('status.stale', { time: clock(state.freshAt) }) : t('status.never'), words(state.problem)];
	}
	if (!state.summary) return ['', state.problem ? words(state.problem) : t('status.asking'), ''];
	const { queue, senders, rate, needs_attention: needs } = state.summary;
	const facts = t('status.facts', {
		running: senders.running,
		expected: senders.expected,
		/* Of a long queue a part is counted. */
		waiting: (queue.estimated ? '≈ ' : '') + number(queue.ready + queue.leased + queue.deferred + queue.held + queue.paused),
		sent: number(rate?.at(-2)?.sent ?? 0),
	});

	if (needs.length === 0) return ['ok', t('status.good'), facts];
	return [needs.some((n) => n.severity === 'error') ? 'error' : 'warning', t('status.needs', { n: needs.length }), facts];
}

function strip() {
	const [kind, said, more] = verdict();

	return h('section', { class: `strip ${kind}`, 'aria-label': t('status.label') },
		h('p', null,
			h('strong', { class: `badge ${kind}` }, kind === '' || isStale() || needing() === 0 ? said : link({ section: 'overview' }, null, said)),
			' ', h('span', { class: 'tabular' }, more)),
		/* Only the verdict is read out, and only when it changes; the figures change all the time. */
		h('p', { class: 'unseen', role: 'status' }, isStale() ? `${said} ${more}` : said));
}

const languages = () =>
	h('ul', { class: 'languages', 'aria-label': t('language.label') }, LANGUAGES.map((tag) =>
		h('li', null, h('a', {
			href: `${href(params()).replace(/[?&]lang=\w+/, '')}&lang=${tag}`,
			lang: tag,
			hreflang: tag,
			translate: 'no',
			'aria-current': tag === language ? 'true' : undefined,
			onclick: () => remember(tag),
		}, NAMES[tag]))));

const head = () =>
	h('header', { class: 'head' },
		h('p', { class: 'brand', translate: 'no' }, 'WhatsApp'),
		h('div', { class: 'actions' },
			state.role === 'viewer' && h('span', { class: 'badge warning', title: t('disabled.viewer') }, t('role.viewer')),
			languages(),
			h('button', { type: 'button', class: 'button quiet', onclick: () => act('sign-out', async () => {
				await remove('/app/admin/whatsapp/session');
				leave();
			}) }, t('sign_out'))));

const navigation = () =>
	h('nav', { class: 'sections', 'aria-label': t('sections') }, h('ul', null, sections.map((section) =>
		h('li', { key: section.id }, link({ section: section.id }, {
			'aria-current': section === state.section ? 'page' : undefined,
		}, t(`section.${section.id}`), section.badge?.(state.summary) > 0 && [' ', h('span', { class: 'count tabular' }, number(section.badge(state.summary)))])))));

function body() {
	const { section } = state;
	/* Until the new filter has its rows, the old ones stay: nothing jumps while somebody types. */
	const load = state.loads.get(loadKey()) ?? [...state.loads.values()].find((l) => l.shape === shape(section, params()));

	if (load?.data) return section.view(load.data, params());
	if (load?.problem) {
		const { problem } = load;

		return empty(t(problem.status === 404 ? 'empty.gone' : 'empty.problem'), problem.status === undefined ? t('problem.unexpected', { id: '–' }) : words(problem));
	}
	return h('div', { class: 'skeleton', role: 'presentation' });
}

export function shell() {
	const { section } = state;

	if (state.summary && !isStale()) sample(state.summary);
	return [
		h('a', { class: 'skip unseen', href: '#main' }, t('skip')),
		head(),
		strip(),
		h('div', { class: 'frame' },
			navigation(),
			h('main', { id: 'main', tabindex: '-1', 'aria-busy': String(!state.loads.has(loadKey())) },
				h('h1', { tabindex: '-1' }, t(`title.${section.id}`)),
				h('div', { class: 'stack section', key: section.id }, body()))),
		announced(),
		outcome(),
		reasons(),
	];
}

export function title() {
	const name = state.section ? t(`section.${state.section.id}`) : '';

	if (state.role === 'nobody') return `${t('sign_in.title')} – WhatsApp`;
	return `${needing() > 0 ? `(${needing()}) ` : ''}${name} – WhatsApp`;
}

