/* What happened in the last days, and who did it. */

import { h } from '../common/h.js';
import { has, t } from '../common/i18n.js';
import { clock, day, exact } from '../common/format.js';
import { data, empty, english } from '../common/parts.js';
import { get } from '../common/api.js';
import { API, link } from './address.js';
import { stateBadge } from './words.js';

/* So many the API gives at once. */
const SHOWN = 200;

const earlier = (rows) => new Date(new Date(rows.at(-1).at) - 30 * 86400000).toISOString();

const dayOf = (entry) => new Date(entry.at).toDateString();

/* What, to whom; then in the database's words, and by whom. */
function entryView(entry, i) {
	const kind = has(`event.${entry.kind}`) ? t(`event.${entry.kind}`) : data(entry.kind);

	return h('li', { key: `${entry.at} ${i}` },
		h('time', { datetime: entry.at, title: exact(entry.at), class: 'muted tabular' }, clock(entry.at)),
		h('div', null,
			h('p', null,
				entry.severity && entry.severity !== 'info' && [stateBadge(entry.severity), ' '],
				h('strong', null, kind), ' ', entry.subject && data(entry.subject)),
			h('p', { class: 'muted' },
				entry.text && entry.text !== kind && english(entry.text), entry.text && entry.text !== kind && entry.actor && ' · ',
				entry.actor && [t('timeline.by'), ' ', data(entry.actor)])));
}

export const timeline = {
	id: 'timeline',
	load: async ({ from, to }) => (await get(`${API}/timeline`, { from, to })).data,
	view(rows) {
		const days = [...new Set(rows.map(dayOf))];

		if (days.length === 0) return empty(t('timeline.none'), t('timeline.none_next'));
		return [...days.map((d) =>
			h('section', { class: 'stack', key: d },
				h('h2', { translate: 'no' }, day(d)),
				h('ol', { class: 'history' }, rows.filter((entry) => dayOf(entry) === d).map(entryView)))),
			rows.length >= SHOWN && h('p', { class: 'actions' }, link({ section: 'timeline', from: earlier(rows), to: rows.at(-1).at }, { class: 'button' }, t('timeline.earlier')))];
	},
};
