/*
 * The address bar holds the section, its filter and the object that is open, so
 * that every view can be sent to a colleague.
 */

import { h } from '../common/h.js';

export const API = '/api/v1/admin/whatsapp';

let changed = () => {};

export const params = () => Object.fromEntries(new URLSearchParams(location.search));

export function href(wanted) {
	const search = new URLSearchParams();
	const { lang } = params();

	for (const [name, value] of Object.entries({ ...wanted, lang })) {
		if (value !== undefined && value !== null && value !== '') search.set(name, value);
	}
	return `${location.pathname}?${search}`;
}

/* replace: a change of the view that nobody wants to go back to, such as a letter of a search. */
export function go(wanted, { replace = false } = {}) {
	const before = params();

	history[replace ? 'replaceState' : 'pushState'](null, '', href(wanted));
	changed(before, params());
}

/* The same view but for this. */
export const change = (some, options) => go({ ...params(), cursor: undefined, ...some }, options);

export function watch(callback) {
	let before = params();

	changed = (...args) => {
		before = params();
		callback(...args);
	};
	addEventListener('popstate', () => changed(before, params()));
}

/* A real link: a middle click and "copy link" work. */
export function link(wanted, props, ...children) {
	return h('a', {
		...props,
		href: href(wanted),
		onclick: (event) => {
			if (event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
			event.preventDefault();
			go(wanted);
		},
	}, ...children);
}
