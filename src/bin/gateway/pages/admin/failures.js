/* The failures of the day by reason, each with what to do about it. */

import { h } from '../common/h.js';
import { has, t } from '../common/i18n.js';
import { data, empty, english } from '../common/parts.js';
import { get } from '../common/api.js';
import { API, link } from './address.js';
import { groupButton, groupAt } from './bulk.js';
import { questionAt } from './act.js';

/* The same messages that were counted: since then, and no older ones. */
const filterOf = (row) => ({
	status: 'failed',
	error_code: row.error_code,
	reason: row.error_code ? undefined : row.reason,
	from: row.counted_since,
});

const named = (prefix, row, text) => (has(`${prefix}.${row.error_code}`) ? t(`${prefix}.${row.error_code}`) : english(text));

function failure(row, heading) {
	const place = `failure-${row.error_code ?? row.reason}`;

	return h('li', { class: 'group', key: place },
		h('div', null,
			h(heading, null, named('error.title', row, row.title)),
			row.remedy && h('p', null, named('error.remedy', row, row.remedy)),
			h('p', { class: 'muted small' },
				t('failures.messages', { n: row.messages }), ' · ', t('failures.tenants', { n: row.tenants }), ' ',
				(row.tenant_ids ?? []).map((id, i) => [i > 0 && ', ', link({ section: 'messages', ...filterOf(row), tenant_id: id }, { translate: 'no' }, id)]),
				row.tenants > (row.tenant_ids ?? []).length && ', …',
				row.error_code && [' · ', t('failures.code'), ' ', data(row.error_code, { class: 'mono' })])),
		h('div', { class: 'actions' },
			row.may_retry && groupButton(place, 'retry', filterOf(row), t('group.retry', { n: row.messages })),
			link({ section: 'messages', ...filterOf(row) }, { class: 'button' }, t('failures.show', { n: row.messages }))),
		groupAt(place),
		questionAt(place));
}

export const failureList = (rows, heading) => h('ul', { class: 'groups' }, rows.map((row) => failure(row, heading)));

export const failures = {
	id: 'failures',
	badge: (summary) => summary?.today?.failed,
	load: async () => (await get(`${API}/failures`)).data,
	view: (rows) => (rows.length > 0 ? failureList(rows, 'h2') : empty(t('failures.none'), t('failures.none_next'))),
};
