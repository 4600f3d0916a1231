/* What needs a person, each with its remedy; then the figures. */

import { h } from '../common/h.js';
import { has, t } from '../common/i18n.js';
import { number } from '../common/format.js';
import { badge, english } from '../common/parts.js';
import { API, link } from './address.js';
import { get } from '../common/api.js';
import { state } from './state.js';
import { charts } from './charts.js';
import { assignAll } from './assign.js';
import { questionAt } from './act.js';
import { failureList } from './failures.js';

/* What the database says in English; what the catalogue knows, in the reader's language. */
const said = (prefix, item, text) =>
	has(`${prefix}.${item.kind}`) ? t(`${prefix}.${item.kind}`, { n: item.count }) : english(text);

/* Alerts stand beside the checks. */
const PLACE = { alerts: 'health' };

function need(item) {
	const go = [item.kind, item.section].map((what) => `attention.go.${what}`).find(has);

	return h('li', { class: `need ${item.severity}`, key: `${item.kind} ${JSON.stringify(item.filter)}` },
		h('div', null,
			h('h2', { class: `badge ${item.severity}` }, said('attention.title', item, item.title)),
			item.remedy && h('p', { class: 'muted' }, said('attention.remedy', item, item.remedy))),
		h('div', { class: 'actions' },
			item.kind === 'no_number' && assignAll('overview', 'primary'),
			link({ section: PLACE[item.section] ?? item.section, ...item.filter }, {
				class: item.severity === 'error' && item.kind !== 'no_number' ? 'button primary' : 'button',
			}, go ? t(go) : t('attention.go.section', { section: t(`section.${PLACE[item.section] ?? item.section}`) }))),
		item.kind === 'no_number' && questionAt('overview'));
}

const TODAY = ['sent', 'delivered', 'read', 'failed', 'uncertain'];

const today = (figures) =>
	h('section', { class: 'stack', 'aria-labelledby': 'today' },
		h('h2', { id: 'today' }, t('today.title')),
		h('dl', { class: 'figures' }, TODAY.map((name) =>
			h('div', { key: name },
				h('dt', { class: 'muted small' }, t(`today.${name}`)),
				h('dd', { class: 'tabular' }, link(
					name === 'failed' ? { section: 'failures' } : { section: 'messages', status: name },
					{ class: name === 'failed' && figures[name] > 0 ? 'error' : undefined },
					number(figures[name])))))));

export const overview = {
	id: 'overview',
	badge: (summary) => summary?.needs_attention?.length,
	load: async () => (await get(`${API}/failures`)).data,
	view(failed) {
		const { summary } = state;

		if (!summary) return h('div', { class: 'skeleton', role: 'presentation' });
		return [
			summary.needs_attention.length > 0
				? h('ul', { class: 'needs' }, summary.needs_attention.map(need))
				: h('p', { class: 'calm' }, badge('ok', t('attention.none'))),
			h('section', { class: 'stack', 'aria-labelledby': 'flow' }, h('h2', { id: 'flow' }, t('chart.title')), charts(summary)),
			today(summary.today),
			failed.length > 0 && h('section', { class: 'stack', 'aria-labelledby': 'failed' },
				h('h2', { id: 'failed' }, t('title.failures')), failureList(failed, 'h3')),
		];
	},
};
