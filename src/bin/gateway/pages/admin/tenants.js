/* Tenants and numbers: who sends from which, and what is free. */

import { h } from '../common/h.js';
import { t } from '../common/i18n.js';
import { phone } from '../common/format.js';
import { badge, data, empty, time } from '../common/parts.js';
import { put, request } from '../common/api.js';
import { API, change, link } from './address.js';
import { act, questionAt, reason, tell } from './act.js';
import { obstacle } from './state.js';
import { assignAll, assigner, freeCount, loadFree, unassigner } from './assign.js';
import { bar, search, views } from './filters.js';
import { count, opener, PAGE, pager, table, today } from './table.js';
import { quality, statusBadge } from './words.js';
import { numbers } from './numbers.js';
import { loadTenant, tenantDetail } from './tenant.js';

async function enable(row, enabled) {
	await put(`/api/v1/tenants/${encodeURIComponent(row.tenant_id)}/notification-settings`, { whatsapp_enabled: enabled });
	tell(t(enabled ? 'switch.on' : 'switch.off', { tenant: row.tenant_id }), { undo: () => enable(row, !enabled) });
}

function toggle(row) {
	const why = obstacle();

	return h('button', {
		type: 'button',
		role: 'switch',
		class: 'switch',
		'aria-checked': String(row.whatsapp_enabled),
		'aria-label': t('switch.label', { tenant: row.tenant_id }),
		'aria-disabled': why ? 'true' : undefined,
		title: why ? reason(why) : undefined,
		onclick: () => (why ? tell(reason(why), { state: 'warning' }) : act(`switch-${row.tenant_id}`, () => enable(row, !row.whatsapp_enabled))),
	});
}

const messagesOf = (row, more = {}) => (text) => link({ section: 'messages', tenant_id: row.tenant_id, ...more }, null, text);

const columns = () => [
	{ id: 'tenant', label: t('column.tenant'), head: true, cell: (row) => [
		opener(row.tenant_id, data(row.tenant_id)),
		row.paused && h('span', { class: 'second' }, badge('warning', t('paused'))),
	] },
	{ id: 'switch', label: 'WhatsApp', cell: toggle },
	{ id: 'number', label: t('column.number'), kind: 'wide', cell: (row) => (row.phone_number_id
		? [data(phone(row.display_phone_number ?? row.phone_number_id), { class: 'nowrap tabular' }), row.verified_name && data(row.verified_name, { class: 'second muted small' })]
		: assigner(row.tenant_id)) },
	{ id: 'quality', label: t('column.quality'), cell: (row) => (row.phone_number_id ? quality(row.quality_rating) : h('span', { class: 'muted' }, '–')) },
	{ id: 'waiting', label: t('column.waiting'), kind: 'number', cell: (row) => count(row.waiting, messagesOf(row, { status: 'queued' })) },
	{ id: 'today', label: t('column.sent_today'), kind: 'number', cell: (row) => today(row, messagesOf(row), messagesOf(row, { status: 'failed' })) },
	{ id: 'last', label: t('column.last_message'), cell: (row) => (row.last_message_at
		? [time(row.last_message_at), h('span', { class: 'second small' }, statusBadge(row.last_message_status))]
		: h('span', { class: 'muted' }, t('never'))) },
	{ id: 'actions', label: t('column.actions'), kind: 'doing', cell: (row) => (row.phone_number_id ? unassigner(row) : null) },
];

const isFiltered = ({ q, assigned, enabled }) => Boolean(q || assigned || enabled);

function list(page, params) {
	if (page.rows.length > 0) {
		return [
			h('div', { class: 'scroll' }, table({
				caption: t('title.tenants'), columns: columns(), rows: page.rows, key: (row) => row.tenant_id, open: params.open,
				detail: (row) => tenantDetail(row, page.tenant),
			})),
			pager({ total: page.total, next: page.next, shown: page.rows.length }),
		];
	}
	if (isFiltered(params)) {
		return empty(t('empty.filter'), h('button', { type: 'button', class: 'button quiet', onclick: () => change({ q: '', assigned: '', enabled: '' }) }, t('filter.clear')));
	}
	return empty(t('tenants.none'), t('tenants.none_next'));
}

const filterOf = ({ assigned, enabled }) => (assigned === 'false' ? 'without' : enabled === 'false' ? 'off' : '');

const state = (params) =>
	h('div', { class: 'field', key: 'state' },
		h('label', { for: 'filter-state' }, t('filter.show')),
		h('select', { id: 'filter-state', class: 'input', value: filterOf(params), onchange: (event) => change({
			assigned: event.target.value === 'without' ? 'false' : '',
			enabled: { without: 'true', off: 'false' }[event.target.value] ?? '',
			open: undefined,
		}) },
			['', 'without', 'off'].map((value) => h('option', { value, key: value }, t(`tenants.filter.${value || 'all'}`)))));

export const tenants = {
	id: 'tenants',
	async load({ view, q, assigned, enabled, cursor, open }) {
		if (view === 'numbers') return numbers.load({ q, assigned });
		const [page, tenant] = await Promise.all([
			request('GET', `${API}/tenants`, { query: { q, assigned, enabled, cursor, limit: PAGE } }),
			open && loadTenant(open),
			loadFree(),
		]);

		return { rows: page.data, total: page.total, next: page.next, tenant };
	},
	view(page, params) {
		const isNumbers = params.view === 'numbers';

		return [
			views(t('tenants.views'), 'view', [['', t('tenants.view.tenants')], ['numbers', t('tenants.view.numbers')]]),
			isNumbers ? numbers.view(page, params) : [
				bar(search(t('tenants.search')), state(params),
					h('div', { class: 'actions end', key: 'all' },
						h('p', { class: 'muted small' }, t('tenants.free', { n: freeCount() })), assignAll('tenants'))),
				questionAt('tenants'),
				list(page, params),
			],
		];
	},
};

