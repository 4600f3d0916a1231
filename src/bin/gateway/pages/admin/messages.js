/* Messages: searched, filtered, and treated as a group. */

import { h } from '../common/h.js';
import { t } from '../common/i18n.js';
import { phone } from '../common/format.js';
import { data, empty, time } from '../common/parts.js';
import { get, request } from '../common/api.js';
import { API, link } from './address.js';
import { questionAt } from './act.js';
import { groupAt, groupButton } from './bulk.js';
import { bar, chips, search, select } from './filters.js';
import { opener, PAGE, pager, table } from './table.js';
import { STATUSES, statusBadge } from './words.js';
import { messageDetail } from './message.js';

const RETRIED = ['failed', 'expired', 'cancelled', 'skipped'];
const ARGUMENTS = ['q', 'status', 'tenant_id', 'phone_number_id', 'error_code', 'reason', 'from', 'to'];
const CHIPS = ['tenant_id', 'phone_number_id', 'error_code', 'reason', 'from', 'to'];

const filterOf = (params) => Object.fromEntries(ARGUMENTS.filter((name) => params[name]).map((name) => [name, params[name]]));

const columns = () => [
	{ id: 'id', label: t('column.message'), head: true, cell: (row) => [
		opener(row.id, data(row.reference ?? `#${row.id}`)),
		data(row.template_name ?? row.message_type, { class: 'second muted small' }),
	] },
	{ id: 'status', label: t('column.status'), cell: (row) => [
		statusBadge(row.status),
		row.error_code && data(`${row.error_code} ${row.error_message ?? ''}`, { class: 'second muted small cut', title: row.error_message, lang: 'en' }),
	] },
	{ id: 'tenant', label: t('column.tenant'), cell: (row) => link({ section: 'tenants', q: row.tenant_id, open: row.tenant_id }, { translate: 'no' }, row.tenant_id) },
	{ id: 'recipient', label: t('column.recipient'), cell: (row) => data(phone(row.recipient_phone ?? row.recipient_user_id), { class: 'nowrap tabular' }) },
	{ id: 'attempts', label: t('column.attempts'), kind: 'number', cell: (row) => String(row.attempts) },
	{ id: 'created', label: t('column.created'), cell: (row) => time(row.created_at) },
];

/* Where one was asked for that is on another page, it stands above the list. */
const opened = (page, params) =>
	page.message && !page.rows.some((row) => String(row.id) === params.open)
		&& h('section', { class: 'alone-message', 'aria-label': t('column.message') }, messageDetail(page.message));

function groups(params) {
	const filter = filterOf(params);

	if (RETRIED.includes(params.status)) return groupButton('messages', 'retry', filter, t('group.retry_all'));
	if (params.status === 'queued') return groupButton('messages', 'cancel', filter, t('group.cancel_all'));
	return null;
}

function none(page, params) {
	/* The database looks through so many at a time, the newest first. */
	if (page.next) return empty(t('messages.so_far'), t('messages.further'));
	if (Object.keys(filterOf(params)).length > 0) return empty(t('empty.filter'), link({ section: 'messages' }, null, t('filter.clear')));
	return empty(t('messages.none'), t('messages.none_next'));
}

function list(page, params) {
	if (page.rows.length === 0) return none(page, params);
	const detail = (row) =>
		page.message && (page.message.problem || String(page.message.id) === String(row.id))
			? messageDetail(page.message, row)
			: h('div', { class: 'skeleton', key: 'skeleton' });

	return h('div', { class: 'scroll' }, table({
		caption: t('title.messages'), columns: columns(), rows: page.rows, key: (row) => row.id, open: params.open,
		place: (row) => `message-${row.id}`, detail,
	}));
}

export const messages = {
	id: 'messages',
	async load(params) {
		const [page, message] = await Promise.all([
			request('GET', `${API}/messages`, { query: { ...filterOf(params), cursor: params.cursor, limit: PAGE } }),
			/^\d+$/.test(params.open) && get(`${API}/messages/${params.open}`).catch((problem) => ({ data: { problem } })),
		]);

		return { rows: page.data, total: page.total, next: page.next, message: message?.data };
	},
	view: (page, params) => [
		bar(search(t('messages.search')),
			select('status', t('column.status'), [['', t('messages.any')], ...STATUSES.map((status) => [status, t(`status.${status}`)])]),
			h('div', { class: 'actions end', key: 'group' }, groups(params))),
		chips(CHIPS),
		groupAt('messages'),
		questionAt('messages'),
		opened(page, params),
		list(page, params),
		pager({ total: page.total, next: page.next, shown: page.rows.length }),
	],
};
