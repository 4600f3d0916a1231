/* Templates: what Meta has approved, and what it has not. */

import { h } from '../common/h.js';
import { t, tr } from '../common/i18n.js';
import { badge, data, empty, english, time } from '../common/parts.js';
import { post, request } from '../common/api.js';
import { API, link } from './address.js';
import { button, tell } from './act.js';
import { bar, search, select } from './filters.js';
import { pager, table } from './table.js';
import { quality, templateStatus } from './words.js';

const STATUSES = ['APPROVED', 'PENDING', 'REJECTED', 'PAUSED', 'DISABLED'];

const columns = () => [
	{ id: 'name', label: t('column.template'), head: true, cell: (row) => [data(row.name, { class: 'mono' }), row.body && data(row.body, { class: 'second muted small cut', title: row.body })] },
	{ id: 'language', label: t('column.language'), cell: (row) => data(row.language) },
	{ id: 'status', label: t('column.status'), cell: (row) => [
		templateStatus(row.status),
		row.missing_since && badge('warning', t('template.missing')),
		row.rejected_reason && row.rejected_reason !== 'NONE' && h('span', { class: 'second small' }, english(row.rejected_reason)),
	] },
	{ id: 'quality', label: t('column.quality'), cell: (row) => quality(row.quality) },
	{ id: 'category', label: t('column.category'), cell: (row) => tr('category', row.category?.toLowerCase()) },
	{ id: 'updated', label: t('column.updated'), cell: (row) => time(row.updated_at) },
];

const again = () =>
	button('sync-templates', t('numbers.sync'), async () => {
		await post(`${API}/templates/sync`);
		tell(t('templates.synced'));
	});

export const templates = {
	id: 'templates',
	async load({ q, status, cursor }) {
		const page = await request('GET', `${API}/templates`, { query: { q, status, cursor } });

		return { rows: page.data, total: page.total, next: page.next };
	},
	view: (page, { q, status }) => [
		(page.rows.length > 0 || q || status) && bar(search(t('templates.search')),
			select('status', t('column.status'), [['', t('messages.any')], ...STATUSES.map((s) => [s, t(`template.${s}`)])]),
			h('div', { class: 'actions end', key: 'sync' }, again())),
		page.rows.length > 0
			? h('div', { class: 'scroll' }, table({ caption: t('title.templates'), columns: columns(), rows: page.rows, key: (row) => `${row.name}/${row.language}` }))
			: q || status ? empty(t('empty.filter'), link({ section: 'templates' }, null, t('filter.clear'))) : empty(t('templates.none'), t('templates.none_next'), again()),
		pager({ total: page.total, next: page.next, shown: page.rows.length }),
	],
};
