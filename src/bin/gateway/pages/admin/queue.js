/* What waits, why, since when, and until when. */

import { h } from '../common/h.js';
import { t, tr } from '../common/i18n.js';
import { number, phone } from '../common/format.js';
import { badge, data, empty, time } from '../common/parts.js';
import { get } from '../common/api.js';
import { API, link } from './address.js';
import { state } from './state.js';
import { charts } from './charts.js';
import { pauseList } from './pauses.js';
import { table } from './table.js';

const STATE = { held: 'warning', uncertain: 'warning' };
const statusOf = (row) => (row.state === 'uncertain' ? 'uncertain' : 'queued');

const columns = () => [
	{ id: 'state', label: t('column.state'), head: true, cell: (row) => badge(STATE[row.state], t(`queue.${row.state}`)) },
	{ id: 'reason', label: t('column.reason'), cell: (row) => (row.reason ? tr('reason', row.reason) : h('span', { class: 'muted' }, '–')) },
	{ id: 'number', label: t('column.number'), cell: (row) => (row.phone_number_id
		? data(phone(row.display_phone_number ?? row.phone_number_id), { class: 'nowrap tabular' })
		: h('span', { class: 'muted' }, t('queue.no_number'))) },
	{ id: 'messages', label: t('column.messages'), kind: 'number', cell: (row) =>
		link({ section: 'messages', status: statusOf(row), phone_number_id: row.phone_number_id, reason: row.reason }, null, number(row.messages)) },
	{ id: 'oldest', label: t('column.oldest'), cell: (row) => time(row.oldest_created_at) },
	{ id: 'next', label: t('column.next'), cell: (row) => time(row.next_due_at) },
];

export const queue = {
	id: 'queue',
	async load() {
		const [rows, pauses] = await Promise.all([get(`${API}/queue`), get(`${API}/pauses`)]);

		return { rows: rows.data, pauses: pauses.data };
	},
	view: ({ rows, pauses }) => [
		state.summary && charts(state.summary),
		pauseList(pauses),
		h('section', { class: 'stack', 'aria-labelledby': 'waiting' },
			h('h2', { id: 'waiting' }, t('queue.waiting')),
			rows.length > 0
				? h('div', { class: 'scroll' }, table({ caption: t('queue.waiting'), columns: columns(), rows, key: (row) => `${row.phone_number_id} ${row.state} ${row.reason}` }))
				: empty(t('queue.none'), t('queue.none_next'))),
	],
};
