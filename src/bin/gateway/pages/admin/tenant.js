/* One tenant, opened in its row: what it needs for sending, and the link of its own page. */

import { h } from '../common/h.js';
import { t } from '../common/i18n.js';
import { get, post, remove } from '../common/api.js';
import { words } from '../common/parts.js';
import { exact } from '../common/format.js';
import { API, link } from './address.js';
import { button, tell } from './act.js';
import { redraw } from './state.js';
import { checks } from './checks.js';
import { pauseButton, resumeButton } from './pauses.js';

const path = (tenant, what) => `${API}/tenants/${encodeURIComponent(tenant)}/${what}`;
const links = new Map(); /* shown once, and kept nowhere */

/* A tenant that has gone meanwhile must not take the list with it. */
export async function loadTenant(tenant) {
	try {
		return { tenant, checks: (await get(path(tenant, 'diagnose'))).data };
	} catch (problem) {
		return { tenant, problem };
	}
}

const absolute = (url) => new URL(url, location.href).href;

const ownLink = (tenant) => {
	const made = links.get(tenant);

	return h('div', { class: 'stack' },
		h('h2', null, t('link.title')),
		h('p', { class: 'muted' }, t('link.why')),
		made && h('div', { class: 'field' },
			h('label', { for: `link-${tenant}` }, made.expires_at ? t('link.until', { date: exact(made.expires_at) }) : t('link.made')),
			h('div', { class: 'actions' },
				h('input', { id: `link-${tenant}`, class: 'input mono grow', readonly: true, value: absolute(made.url), onfocus: (event) => event.target.select() }),
				h('button', { type: 'button', class: 'button', onclick: async () => {
					await navigator.clipboard.writeText(absolute(made.url));
					tell(t('link.copied'));
				} }, t('link.copy')))),
		h('div', { class: 'actions' },
			button(`link-${tenant}`, t('link.make'), async () => {
				links.set(tenant, (await post(path(tenant, 'links'))).data);
				redraw();
			}),
			button(`revoke-${tenant}`, t('link.revoke'), async () => {
				await remove(path(tenant, 'links'));
				links.delete(tenant);
				tell(t('link.revoked', { tenant }));
			}, { question: { place: tenant, text: t('link.revoke_ask', { tenant }), yes: t('link.revoke_yes'), danger: true } })));
};

export function tenantDetail(row, loaded) {
	const known = loaded?.tenant === row.tenant_id ? loaded : null;
	const tenant = row.tenant_id;

	return h('div', { class: 'detail', key: `detail-${tenant}` },
		h('div', { class: 'stack' },
			h('h2', null, t('tenant.checks')),
			known?.problem ? h('p', null, words(known.problem)) : known ? checks(known.checks) : h('div', { class: 'skeleton' }),
			h('div', { class: 'actions' },
				row.paused ? resumeButton('tenant', tenant, tenant) : pauseButton('tenant', tenant, tenant, tenant),
				link({ section: 'messages', tenant_id: tenant }, { class: 'button' }, t('tenant.messages')),
				link({ section: 'costs', q: tenant }, { class: 'button' }, t('tenant.costs')))),
		ownLink(tenant));
}

