/* Every condition for sending, checked; and the alerts that are open. */

import { h } from '../common/h.js';
import { t } from '../common/i18n.js';
import { badge, data, english, time } from '../common/parts.js';
import { get, post } from '../common/api.js';
import { API } from './address.js';
import { button, tell } from './act.js';
import { checks } from './checks.js';
import { stateBadge } from './words.js';

const resolveButton = (row) =>
	button(`alert-${row.alert_id}`, [t('alert.resolve'), english(` ${row.message}`, { class: 'unseen' })], async () => {
		await post(`${API}/alerts/${row.alert_id}/resolve`);
		tell(t('alert.resolved'));
	});

const alert = (row) =>
	h('li', { class: 'group', key: row.alert_id },
		h('div', null,
			h('h3', null, stateBadge(row.severity), ' ', english(row.message)),
			row.remedy && h('p', null, english(row.remedy)),
			h('p', { class: 'muted small' },
				data([row.scope, row.key].filter(Boolean).join(' ')), row.scope && ' · ',
				t('alert.since'), ' ', time(row.created_at),
				row.occurrences > 1 && [' · ', t('alert.times', { n: row.occurrences }), ' ', time(row.last_seen_at)])),
		h('div', { class: 'actions' }, resolveButton(row)));

export const health = {
	id: 'health',
	async load() {
		const [items, alerts] = await Promise.all([get(`${API}/health`), get(`${API}/alerts`, { resolved: 'false' })]);

		return { items: items.data, alerts: alerts.data };
	},
	view: ({ items, alerts }) => [
		h('section', { class: 'stack', 'aria-labelledby': 'alerts' },
			h('h2', { id: 'alerts' }, t('alerts.title')),
			alerts.length > 0 ? h('ul', { class: 'groups' }, alerts.map(alert)) : h('p', null, badge('ok', t('alerts.none')))),
		h('section', { class: 'stack', 'aria-labelledby': 'checks' },
			h('h2', { id: 'checks' }, t('health.checks')),
			/* An alert stands above already. */
			checks(items.filter((row) => !/^alert \d+$/.test(row.item)))),
	],
};
