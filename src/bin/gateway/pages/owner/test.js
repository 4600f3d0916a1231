/* A test message to a number that somebody types. */

import { h } from '../common/h.js';
import { t } from '../common/i18n.js';
import { phone } from '../common/format.js';
import { notice } from '../common/parts.js';
import { press, sendTest } from './client.js';
import { changed, say, state } from './state.js';
import { refusal } from './words.js';

async function send(event) {
	const test = state.test;

	event.preventDefault();
	if (test.busy) return;
	Object.assign(test, { busy: true, error: null, done: null, key: test.key ?? press() });
	changed();
	try {
		const { data } = await sendTest(test.phone, test.key);

		Object.assign(test, { key: null, done: t('test.sent', { to: phone(data.recipient) }) });
		say(test.done);
		state.refresh();
	} catch (problem) {
		test.error = problem.field === 'recipient_phone' ? t('test.bad_number') : refusal(problem);
		state.expelled(problem);
	}
	test.busy = false;
	changed();
	if (test.error) document.getElementById('test-phone')?.focus();
}

function type(number) {
	const hadError = state.test.error;

	Object.assign(state.test, { phone: number, key: null, error: null });
	if (hadError) changed();
}

export function tryout() {
	const { phone: typed, busy, error, done } = state.test;

	return h(
		'section',
		{ key: 'test', class: 'no-print', 'aria-labelledby': 'test' },
		h('h2', { id: 'test' }, t('test')),
		h('p', null, t('test.what')),
		h(
			'form',
			{ novalidate: true, onsubmit: send },
			h(
				'div',
				{ class: 'field' },
				h('label', { for: 'test-phone' }, t('test.label')),
				h('input', {
					id: 'test-phone',
					class: 'input',
					type: 'tel',
					inputmode: 'tel',
					autocomplete: 'tel',
					value: typed,
					'aria-describedby': 'test-hint test-wrong',
					'aria-invalid': error ? 'true' : null,
					oninput: (event) => type(event.target.value),
				}),
				h('p', { id: 'test-hint', class: 'muted' }, t('test.hint')),
				h('p', { id: 'test-wrong', class: 'field-error', role: 'alert' }, error),
			),
			h('button', { class: 'button wide', type: 'submit', 'aria-busy': busy ? 'true' : null }, t(busy ? 'test.sending' : 'test.send')),
			done && notice('ok', done),
		),
	);
}
