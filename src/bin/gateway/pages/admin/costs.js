/* What a month costs, by tenant and category: our own account, not Meta's invoice. */

import { h } from '../common/h.js';
import { t, tr } from '../common/i18n.js';
import { money, month, number } from '../common/format.js';
import { empty } from '../common/parts.js';
import { get } from '../common/api.js';
import { API, change, link } from './address.js';
import { bar, search, select } from './filters.js';
import { table } from './table.js';

/* The API gives the whole month; the page shows this much, and what is searched for. */
const SHOWN = 100;

const thisMonth = () => new Date().toISOString().slice(0, 7);

function shift(from, by) {
	const [year, index] = from.split('-').map(Number);

	return new Date(Date.UTC(year, index - 1 + by, 1)).toISOString().slice(0, 7);
}

const columns = (isCurrent) => [
	{ id: 'tenant', label: t('column.tenant'), head: true, cell: (row) => link({ section: 'tenants', q: row.tenant_id, open: row.tenant_id }, { translate: 'no' }, row.tenant_id) },
	{ id: 'category', label: t('column.category'), cell: (row) => tr('category', row.category) },
	{ id: 'delivered', label: t('column.delivered'), kind: 'number', cell: (row) => number(row.delivered) },
	{ id: 'charged', label: t('column.charged'), kind: 'number', cell: (row) => number(row.charged) },
	{ id: 'cost', label: t('column.cost'), kind: 'number', cell: (row) => money(row.cost, row.currency) },
	...(isCurrent ? [{ id: 'estimate', label: t('column.estimate'), kind: 'number', cell: (row) => money(row.month_estimate, row.currency) }] : []),
];

const months = (shown) =>
	h('nav', { class: 'actions', 'aria-label': t('costs.months'), key: 'months' },
		h('button', { type: 'button', class: 'button', 'aria-label': t('costs.previous'), onclick: () => change({ month: shift(shown, -1) }) }, '←'),
		h('strong', { class: 'month', 'aria-live': 'polite', translate: 'no' }, month(`${shown}-15T12:00:00Z`)),
		h('button', { type: 'button', class: 'button', 'aria-label': t('costs.next'), disabled: shown >= thisMonth(), onclick: () => change({ month: shift(shown, 1) }) }, '→'));

/* There is a row for each currency of the price list: only one of them adds up. */
function chosen(rows, wanted) {
	const all = [...new Set(rows.map((row) => row.currency).filter(Boolean))].sort();
	const currency = all.includes(wanted) ? wanted : all[0];

	return { all, currency, rows: rows.filter((row) => !row.currency || row.currency === currency) };
}

const sum = (rows, name) => rows.reduce((total, row) => total + (row[name] ?? 0), 0);

export const costs = {
	id: 'costs',
	every: 60000,
	load: async ({ month: shown = thisMonth() }) => (await get(`${API}/costs`, { month: shown })).data,
	view(all, { month: shown = thisMonth(), q, currency: wanted }) {
		const isCurrent = shown >= thisMonth();
		const { all: currencies, currency, rows: priced } = chosen(all, wanted);
		const rows = q ? priced.filter((row) => row.tenant_id.toLowerCase().includes(q.toLowerCase())) : priced;

		return [
			bar(search(t('costs.search')),
				currencies.length > 1 && select('currency', t('column.currency'), currencies.map((c) => [c, c]), currency),
				months(shown)),
			rows.length > 0 && h('p', null,
				h('strong', { class: 'tabular' }, t(isCurrent ? 'costs.total_estimate' : 'costs.total', {
					cost: money(sum(rows, 'cost'), currency), estimate: money(sum(rows, 'month_estimate'), currency),
				})), ' ', h('span', { class: 'muted' }, t('costs.what'))),
			rows.length > 0
				? h('div', { class: 'scroll' }, table({ caption: t('title.costs'), columns: columns(isCurrent), rows: rows.slice(0, SHOWN), key: (row) => `${row.tenant_id} ${row.category}` }))
				: q ? empty(t('empty.filter'), '') : empty(t('costs.none'), t('costs.none_next')),
			rows.length > SHOWN && h('p', { class: 'muted small' }, t('costs.more', { n: SHOWN, total: rows.length })),
			rows.some((row) => row.cost === null) && h('p', { class: 'muted small' }, t('costs.no_price')),
			rows.some((row) => row.price_estimated) && h('p', { class: 'muted small' }, t('costs.estimated')),
		];
	},
};
