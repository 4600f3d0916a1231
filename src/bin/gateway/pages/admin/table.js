/*
 * Tables whose rows open in place.  On a narrow screen a row becomes a block with
 * the heading before each value; the roles say that it still is a table, for not
 * every browser believes it then.
 */

import { h } from '../common/h.js';
import { t } from '../common/i18n.js';
import { number } from '../common/format.js';
import { change, go, params } from './address.js';
import { questionAt } from './act.js';

export const PAGE = 50;

/*
 * columns: [{id, label, kind: 'number' | 'doing' | undefined, cell(row), head}],
 * the one with head names the row; key(row); place(row) where questions about it
 * are asked; detail(row) for the open one.
 */
export function table({ caption, columns, rows, key, open, detail, place = key }) {
	const head = columns.map((c) =>
		h('th', { scope: 'col', role: 'columnheader', class: c.kind, key: c.id },
			c.kind === 'doing' ? h('span', { class: 'unseen' }, c.label) : c.label));

	return h('table', { role: 'table' },
		h('caption', { class: 'unseen' }, caption),
		h('thead', { role: 'rowgroup' }, h('tr', { role: 'row' }, head)),
		h('tbody', { role: 'rowgroup' }, rows.map((row) => {
			const id = String(key(row));
			const isOpen = detail && open === id;
			const below = [questionAt(place(row)), isOpen && detail(row)].filter(Boolean);

			return [
				h('tr', { role: 'row', key: id, class: isOpen ? 'open' : undefined }, columns.map((c) =>
					h(c.head ? 'th' : 'td', {
						key: c.id,
						role: c.head ? 'rowheader' : 'cell',
						scope: c.head ? 'row' : undefined,
						class: c.kind,
						'data-label': c.kind === 'doing' ? undefined : c.label,
					}, c.cell(row)))),
				below.length > 0 && h('tr', { role: 'row', class: 'below', key: `${id} below` },
					h('td', { role: 'cell', colspan: columns.length }, below)),
			];
		})));
}

/* The name of a row is what opens it. */
export function opener(id, ...children) {
	const open = params().open === String(id);

	return h('button', {
		type: 'button',
		class: 'opener',
		'aria-expanded': String(open),
		onclick: () => go({ ...params(), open: open ? undefined : id }),
	}, ...children);
}

/* Pages are fetched by a cursor, which only leads forward: the way back is remembered. */
const behind = [];

export function pager({ total, next, shown }) {
	const { cursor } = params();

	if (!cursor && !next) return total > 1 ? h('p', { class: 'muted small pager' }, t('pager.all', { n: total })) : null;
	return h('nav', { class: 'pager actions', 'aria-label': t('pager.label') },
		h('p', { class: 'muted small' }, total === null ? t('pager.some', { n: shown }) : t('pager.of', { n: shown, total })),
		cursor && h('button', { type: 'button', class: 'button', onclick: () => change({ cursor: behind.pop() }) },
			behind.length > 0 ? t('pager.previous') : t('pager.first')),
		next && h('button', { type: 'button', class: 'button', onclick: () => {
			behind.push(cursor);
			change({ cursor: next });
			scrollTo(0, 0);
		} }, t('pager.next')));
}

/* A count that leads to what was counted. */
export const count = (n, linked) => (n > 0 && linked ? linked(number(n)) : h('span', { class: n > 0 ? undefined : 'muted' }, number(n ?? 0)));

/* What was sent today, and below it what failed, if anything did. */
export const today = (row, sent, failed) => [
	count(row.sent_today, sent),
	row.failed_today > 0 && h('span', { class: 'second small failed' }, failed(t('failed_today', { n: row.failed_today }))),
];
