/* The filters of a section: they write to the address, and the address is the filter. */

import { h } from '../common/h.js';
import { t } from '../common/i18n.js';
import { change, params } from './address.js';

const TYPING_MS = 250;
let typing = null;

export const search = (label) => {
	const id = 'search';

	return h('div', { class: 'field grow', key: 'search', role: 'search' },
		h('label', { for: id }, label),
		h('input', {
			id,
			class: 'input',
			type: 'search',
			autocomplete: 'off',
			spellcheck: 'false',
			value: params().q ?? '',
			oninput: (event) => {
				const { value } = event.target;

				clearTimeout(typing);
				typing = setTimeout(() => change({ q: value.trim(), open: undefined }, { replace: true }), TYPING_MS);
			},
		}));
};

/* options: [[value, label]] */
export const select = (name, label, options, fallback = '') =>
	h('div', { class: 'field', key: name },
		h('label', { for: `filter-${name}` }, label),
		h('select', {
			id: `filter-${name}`,
			class: 'input',
			value: params()[name] ?? fallback,
			onchange: (event) => change({ [name]: event.target.value, open: undefined }),
		}, options.map(([value, text]) => h('option', { value, key: value }, text))));

/* What else the address filters by, each to be taken away. */
export function chips(names) {
	const set = names.filter((name) => params()[name]);

	return set.length > 0 && h('ul', { class: 'actions chips', key: 'chips', 'aria-label': t('filter.active') }, set.map((name) =>
		h('li', { key: name }, h('button', { type: 'button', class: 'button', onclick: () => change({ [name]: undefined }) },
			t(`filter.${name}`), ' ', h('strong', { translate: 'no' }, params()[name]), h('span', { 'aria-hidden': 'true' }, '×'),
			h('span', { class: 'unseen' }, t('filter.remove'))))));
}

/* Two or three views of one section. */
export const views = (label, name, options) =>
	h('ul', { class: 'views', 'aria-label': label }, options.map(([value, text]) =>
		h('li', { key: value }, h('button', {
			type: 'button',
			class: 'view',
			'aria-pressed': String((params()[name] ?? '') === value),
			onclick: () => change({ [name]: value, q: undefined, open: undefined }),
		}, text))));

export const bar = (...parts) => h('div', { class: 'filters' }, ...parts);
