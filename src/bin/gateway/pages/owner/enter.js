/* For who has no link, or one that is no longer valid: what to do, and a field. */

import { h } from '../common/h.js';
import { t } from '../common/i18n.js';
import { keyIn } from './client.js';
import { changed, state } from './state.js';

async function open(event) {
	const field = document.getElementById('key');
	const key = keyIn(field.value);

	event.preventDefault();
	if (state.enter.busy) return;
	state.enter = { busy: true, error: null };
	changed();
	if (key) await state.open(key, true);
	else state.enter.error = t('enter.hint');
	state.enter.busy = false;
	changed();
	if (state.enter.error) field.focus();
}

/* Why there is no page, and what to do about it. */
const WHAT = { enter: 'enter.what', 'enter.gone': 'enter.gone.what', 'enter.other': 'enter.other.what' };

export function doorway() {
	const { busy, error } = state.enter;

	return h(
		'section',
		{ key: 'enter', 'aria-labelledby': 'enter' },
		h('h1', { id: 'enter' }, t(state.locked)),
		h('p', null, t(WHAT[state.locked])),
		h(
			'form',
			{ novalidate: true, onsubmit: open },
			h(
				'div',
				{ class: 'field' },
				h('label', { for: 'key' }, t('enter.label')),
				h('input', { id: 'key', class: 'input', type: 'text', autocomplete: 'off', autocapitalize: 'none', spellcheck: 'false', 'aria-describedby': 'key-hint key-wrong', 'aria-invalid': error ? 'true' : null }),
				h('p', { id: 'key-hint', class: 'muted' }, t('enter.hint')),
				h('p', { id: 'key-wrong', class: 'field-error', role: 'alert' }, error),
			),
			h('button', { class: 'button primary wide', type: 'submit', 'aria-busy': busy ? 'true' : null }, t(busy ? 'enter.opening' : 'enter.open')),
		),
	);
}
