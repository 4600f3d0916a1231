/*
 * Numbers to tenants: one click for the best free one, an answer in place when
 * somebody else has it, and a question before one is taken away.
 */

import { h } from '../common/h.js';
import { t } from '../common/i18n.js';
import { date, phone } from '../common/format.js';
import { get, post, remove } from '../common/api.js';
import { data as written } from '../common/parts.js';
import { API, link } from './address.js';
import { act, ask, button, reason, tell } from './act.js';
import { afterDraw, obstacle, redraw } from './state.js';

const OFFERED = 20;
const BEST = ['GREEN', 'UNKNOWN', 'YELLOW', 'RED'];

let free = [];
const typed = new Map(); /* tenants for which another number is written down */

/* The best free numbers, for the drop-downs. */
export async function loadFree() {
	const rank = (n) => BEST.indexOf(n.quality_rating ?? 'UNKNOWN');

	free = (await get(`${API}/phone-numbers`, { assigned: 'false' })).data
		.filter((n) => n.free !== false && !n.tenant_id && !n.paused)
		.sort((a, b) => rank(a) - rank(b));
}

export const freeCount = () => free.length;

const path = (tenant, what) => `${API}/tenants/${encodeURIComponent(tenant)}/${what}`;

async function assign(tenant, number, more = {}) {
	const { data } = await post(path(tenant, 'assign-phone'), { ...number, ...more });

	typed.delete(tenant);
	tell(t('assign.done', { tenant, number: phone(data.display_phone_number) }), {
		undo: more.take_from
			? () => assign(more.take_from, { phone_number_id: data.phone_number_id }, { take_from: tenant })
			: () => unassign(tenant),
	});
}

/* Somebody else has it: who, since when, what waits there, and both ways on. */
function conflict(tenant, number, problem) {
	const { holder } = problem;

	if (problem.status !== 409 || !holder) return false;
	if (holder.tenant_id === tenant) {
		/* Somebody else was faster, and gave it another one. */
		tell(t('assign.already', { tenant, number: phone(holder.display_phone_number ?? holder.phone_number_id) }), { state: 'warning' });
		return true;
	}
	ask({
		place: tenant,
		text: t('assign.conflict', {
			number: phone(holder.display_phone_number ?? holder.phone_number_id),
			holder: holder.tenant_id,
			since: date(holder.assigned_at),
			n: holder.waiting ?? 0,
		}),
		yes: t('assign.take', { holder: holder.tenant_id }),
		danger: true,
		run: () => act(`assign-${tenant}`, () => assign(tenant, number, { take_from: holder.tenant_id })),
		more: link({ section: 'tenants', q: holder.tenant_id, open: holder.tenant_id }, { class: 'button' }, t('assign.show', { holder: holder.tenant_id })),
	});
	return true;
}

const named = (n) => [phone(n.display_phone_number ?? n.phone_number_id), n.verified_name].filter(Boolean).join(' · ');

function chosen(form) {
	const { value } = form.elements.number;

	return form.elements.number.type === 'text' ? { display_phone_number: value.trim() } : { phone_number_id: value };
}

/* The drop-down of free numbers with the best one chosen, and a button. */
export function assigner(tenant) {
	const id = `assign-${tenant}`;
	const isTyped = typed.has(tenant) || free.length === 0;
	const run = (form) => {
		const number = chosen(form);

		if (obstacle()) tell(reason(obstacle()), { state: 'warning' });
		else if (Object.values(number)[0]) act(id, () => assign(tenant, number), { refused: (problem) => conflict(tenant, number, problem) });
	};

	return h('form', { class: 'assign', key: isTyped ? 'typed' : 'chosen', onsubmit: (event) => {
		event.preventDefault();
		run(event.target);
	} },
		h('label', { class: 'unseen', for: id }, t('assign.label', { tenant })),
		isTyped
			? h('input', { id, name: 'number', class: 'input', type: 'text', inputmode: 'tel', autocomplete: 'off', placeholder: '+34 600 111 222' })
			: h('select', { id, name: 'number', class: 'input', translate: 'no', onchange: (event) => {
				if (event.target.value !== 'other') return;
				typed.set(tenant, true);
				redraw();
				afterDraw(() => document.getElementById(id)?.focus());
			} },
				free.slice(0, OFFERED).map((n) => h('option', { value: n.phone_number_id, key: n.phone_number_id }, named(n))),
				h('option', { value: 'other', key: 'other', translate: 'yes' }, t('assign.other'))),
		h('button', {
			class: 'button',
			'aria-disabled': obstacle() ? 'true' : undefined,
			'aria-describedby': obstacle() ? `why-${obstacle()}` : undefined,
			title: obstacle() ? reason(obstacle()) : undefined,
			'data-action': id,
		}, t('assign.go'), h('span', { class: 'unseen' }, ' ', t('assign.to', { tenant }))));
}

async function unassign(tenant) {
	const { data } = await remove(path(tenant, 'unassign-phone'));

	tell(t('unassign.done', { tenant, number: phone(data.display_phone_number), n: data.waiting ?? 0 }), {
		undo: () => assign(tenant, { phone_number_id: data.phone_number_id }),
	});
}

/* What will wait is said before. */
export const unassigner = (row) =>
	button(`unassign-${row.tenant_id}`, [t('unassign.go'), written(` ${row.tenant_id}`, { class: 'unseen' })], () => unassign(row.tenant_id), {
		question: {
			place: row.tenant_id,
			text: t('unassign.ask', { tenant: row.tenant_id, number: phone(row.display_phone_number), n: row.waiting ?? 0 }),
			yes: t('unassign.yes'),
			danger: true,
		},
	});

export const assignAll = (place, kind = '') =>
	button(`assign-all-${place}`, t('assign_all.go'), async () => {
		const { data } = await post(`${API}/assign-phones`);

		tell([t('assign_all.done', { n: data.assigned.length }), data.without.length > 0 ? t('assign_all.without', { n: data.without.length }) : ''].join(' '),
			{ state: data.without.length > 0 ? 'warning' : 'ok' });
	}, { kind, question: { place, text: t('assign_all.ask'), yes: t('assign_all.yes') } });
