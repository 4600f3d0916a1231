/* The checklists of wa_health() and wa_diagnose(): what is not right comes first. */

import { h } from '../common/h.js';
import { english } from '../common/parts.js';
import { stateBadge } from './words.js';

const ORDER = ['error', 'warning', 'ok'];

export const checks = (rows) =>
	h('ul', { class: 'checks' }, [...rows]
		.sort((a, b) => ORDER.indexOf(a.state) - ORDER.indexOf(b.state))
		.map((row) => h('li', { key: `${row.item} ${row.detail}`, class: row.state },
			stateBadge(row.state),
			h('div', null,
				h('strong', { lang: 'en', translate: 'no' }, row.item),
				row.detail && h('p', null, english(row.detail)),
				row.remedy && row.state !== 'ok' && h('p', { class: 'muted' }, english(row.remedy))))));
