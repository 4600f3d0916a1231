/* The box for an answer, while the 24 hours are open; else why there is none. */

import { h } from '../common/h.js';
import { t } from '../common/i18n.js';
import { press, sendAnswer } from './client.js';
import { changed, say, state } from './state.js';
import { refusal, when } from './words.js';

function focus(id) {
	document.getElementById(id)?.focus();
}

function open(id) {
	state.answers.set(id, { text: '', key: press(), busy: false, error: null });
	changed();
	focus(`text-${id}`);
}

function close(id) {
	state.answers.delete(id);
	changed();
	focus(`open-${id}`);
}

async function send(event, id, beneath) {
	const draft = state.answers.get(id);

	event.preventDefault();
	if (draft.busy) return;
	if (draft.text.trim() === '') {
		draft.error = t('answer.empty');
		changed();
		return focus(`text-${id}`);
	}
	draft.busy = true;
	draft.error = null;
	changed();
	try {
		await sendAnswer(beneath, draft.text, draft.key);
		say(t('answer.sent'));
		await state.refresh();
		close(id);
	} catch (problem) {
		draft.busy = false;
		draft.error = refusal(problem);
		state.expelled(problem);
		changed();
		focus(`text-${id}`);
	}
}

/* Other words are another answer: what was sent and not confirmed must not become them. */
function write(id, text) {
	const draft = state.answers.get(id);

	if (text === draft.text) return;
	state.answers.set(id, { text, key: press(), busy: false, error: null });
	if (draft.error) changed();
}

function form(id, beneath, item, to) {
	const draft = state.answers.get(id);
	const hint = `until-${id}`;
	const wrong = `wrong-${id}`;

	return h(
		'form',
		{ key: `form-${id}`, novalidate: true, onsubmit: (event) => send(event, id, beneath) },
		h(
			'div',
			{ class: 'field' },
			h('label', { for: `text-${id}` }, t('answer.label', { to })),
			h('textarea', {
				id: `text-${id}`,
				class: 'input',
				maxlength: 4096,
				rows: 3,
				value: draft.text,
				readonly: draft.busy,
				'aria-describedby': `${hint} ${wrong}`,
				'aria-invalid': draft.error ? 'true' : null,
				oninput: (event) => write(id, event.target.value),
			}),
			h('p', { id: hint, class: 'muted' }, t('answer.until', { when: when(item.can_answer_until) })),
			h('p', { id: wrong, class: 'field-error', role: 'alert' }, draft.error),
		),
		h(
			'div',
			{ class: 'actions' },
			h('button', { class: 'button primary', type: 'submit', 'aria-busy': draft.busy ? 'true' : null }, t(draft.busy ? 'answer.sending' : 'answer.send')),
			h('button', { class: 'button', type: 'button', onclick: () => close(id) }, t('answer.cancel')),
		),
	);
}

/* beneath: what the gateway is told of where it stands. */
export function answer(id, beneath, item, to) {
	if (state.answers.has(id)) return form(id, beneath, item, to);
	if (!item.can_answer_until) return null;
	if (!item.may_answer) return h('p', { class: 'muted' }, t('answer.closed', { when: when(item.can_answer_until) }));
	return h(
		'div',
		{ class: 'actions no-print' },
		h('button', { id: `open-${id}`, class: 'button', type: 'button', 'aria-label': t('answer.to', { to }), onclick: () => open(id) }, t('answer')),
		h('p', { class: 'muted' }, t('answer.until', { when: when(item.can_answer_until) })),
	);
}
