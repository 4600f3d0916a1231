/* The account's numbers: quality, limit, and who has them. */

import { h } from '../common/h.js';
import { t, tr } from '../common/i18n.js';
import { number, percent, phone } from '../common/format.js';
import { badge, data, empty, time } from '../common/parts.js';
import { post, request } from '../common/api.js';
import { API, link } from './address.js';
import { button, tell } from './act.js';
import { pauseButton, resumeButton } from './pauses.js';
import { bar, search, select } from './filters.js';
import { count, table, today } from './table.js';
import { quality } from './words.js';

/* The API gives all of them; the page shows this many, and what is searched for. */
const SHOWN = 100;

function limit(row) {
	if (!row.messaging_limit) return h('span', { class: 'muted' }, row.messaging_limit_used === null ? '–' : t('limit.none'));
	const part = (row.messaging_limit_used ?? 0) / row.messaging_limit;

	return [
		h('span', { class: 'tabular nowrap' }, t('limit.used', { used: row.messaging_limit_used ?? 0, limit: row.messaging_limit })),
		h('meter', {
			class: 'second', min: 0, max: 1, low: 0.8, high: 0.95, optimum: 0, value: Math.min(1, part),
			'aria-label': t('limit.label', { number: row.display_phone_number ?? row.phone_number_id }),
		}, percent(part)),
	];
}

const state = (row) => {
	if (row.paused) return [badge('warning', t('paused')), row.pause_reason && h('span', { class: 'second small muted' }, tr('reason', row.pause_reason))];
	return badge(row.status === 'CONNECTED' ? 'ok' : 'warning', tr('number', row.status ?? 'UNKNOWN'));
};

const messagesOf = (row, more = {}) => (text) => link({ section: 'messages', phone_number_id: row.phone_number_id, ...more }, null, text);

const columns = () => [
	{ id: 'number', label: t('column.number'), head: true, cell: (row) => [
		data(phone(row.display_phone_number ?? row.phone_number_id), { class: 'nowrap tabular' }),
		row.verified_name && data(row.verified_name, { class: 'second muted small' }),
	] },
	{ id: 'tenant', label: t('column.tenant'), cell: (row) => (row.tenant_id
		? link({ section: 'tenants', q: row.tenant_id, open: row.tenant_id }, { translate: 'no' }, row.tenant_id)
		: h('span', { class: 'muted' }, t('free'))) },
	{ id: 'state', label: t('column.state'), cell: state },
	{ id: 'quality', label: t('column.quality'), cell: (row) => quality(row.quality_rating) },
	{ id: 'limit', label: t('column.limit'), cell: limit },
	{ id: 'waiting', label: t('column.waiting'), kind: 'number', cell: (row) => count(row.waiting) },
	{ id: 'today', label: t('column.sent_today'), kind: 'number', cell: (row) => today(row, messagesOf(row), messagesOf(row, { status: 'failed' })) },
	{ id: 'webhook', label: t('column.last_webhook'), cell: (row) => (row.last_webhook_at ? time(row.last_webhook_at) : h('span', { class: 'muted' }, t('never'))) },
	{ id: 'actions', label: t('column.actions'), kind: 'doing', cell: (row) => (row.paused
		? resumeButton('number', row.phone_number_id, phone(row.display_phone_number ?? row.phone_number_id))
		: pauseButton('number', row.phone_number_id, phone(row.display_phone_number ?? row.phone_number_id), row.phone_number_id)) },
];

const again = () =>
	button('sync-numbers', t('numbers.sync'), async () => {
		await post(`${API}/phone-numbers/sync`);
		tell(t('numbers.synced'));
	});

const matches = (row, q) =>
	[row.display_phone_number, row.phone_number_id, row.verified_name, row.tenant_id].some((text) =>
		text?.toLowerCase().includes(q) || (/\d/.test(q) && text?.replace(/\D/g, '').includes(q.replace(/\D/g, '') || '-')));

export const numbers = {
	async load({ q, assigned }) {
		const all = (await request('GET', `${API}/phone-numbers`, { query: { assigned } })).data;

		return { all: all.length, rows: q ? all.filter((row) => matches(row, q.toLowerCase())) : all };
	},
	view: ({ all, rows }, { q, assigned }) => [
		(all > 0 || q || assigned) && bar(search(t('numbers.search')),
			select('assigned', t('filter.show'), [['', t('numbers.filter.all')], ['false', t('numbers.filter.free')], ['true', t('numbers.filter.taken')]]),
			h('div', { class: 'actions end', key: 'sync' }, again())),
		rows.length > 0
			? h('div', { class: 'scroll' }, table({ caption: t('tenants.view.numbers'), columns: columns(), rows: rows.slice(0, SHOWN), key: (row) => row.phone_number_id }))
			: all > 0 || q || assigned ? empty(t('empty.filter'), '') : empty(t('numbers.none'), t('numbers.none_next'), again()),
		rows.length > SHOWN && h('p', { class: 'muted small' }, t('numbers.more', { n: SHOWN, total: number(rows.length) })),
	],
};
