/*
 * Doing something: a button, the question before it where one is due, what came
 * of it in one line at the foot, and how it is undone where that is true.
 */

import { h } from '../common/h.js';
import { t } from '../common/i18n.js';
import { words } from '../common/parts.js';
import { afterDraw, obstacle, redraw, refresh } from './state.js';

const busy = new Set();
let asking = null; /* {place, text, yes, danger, run, more} */
let told = null; /* {state, text, undo} */
let cameFrom = null;

export function tell(text, { state = 'ok', undo = null } = {}) {
	told = { state, text, undo };
	redraw();
}

/* Asks in place: focus goes to the question, and back when it is answered. */
export function ask(question) {
	asking = question;
	cameFrom ??= document.activeElement;
	redraw();
	afterDraw(() => asking === question && document.getElementById('question')?.focus());
}

export function answered() {
	asking = null;
	redraw();
	if (cameFrom?.isConnected) cameFrom.focus();
	cameFrom = null;
}

/* Wherever the focus is, which comes to a question a moment after it was asked. */
addEventListener('keydown', (event) => event.key === 'Escape' && asking && answered());

/* Leaving the section leaves its question. */
export function forget() {
	asking = null;
	cameFrom = null;
	told = null;
}

/*
 * Runs a request; its problem is told in words, unless the caller can do
 * something about it: refused() says so by returning true.
 */
export async function act(key, run, { refused } = {}) {
	if (busy.has(key)) return;
	busy.add(key);
	redraw();
	try {
		await run();
	} catch (problem) {
		if (!('status' in problem)) throw problem;
		if (!refused?.(problem)) tell(words(problem), { state: 'error' });
	} finally {
		busy.delete(key);
		await refresh();
		redraw();
	}
}

export const reason = (why) => t(`disabled.${why}`);

/* key names the action; a button that cannot be used says why, and stays in the order of the tabs. */
export function button(key, label, run, { kind = '', refused, question, ...props } = {}) {
	const why = obstacle();

	return h('button', {
		type: 'button',
		class: `button ${kind}`,
		'aria-busy': busy.has(key) ? 'true' : undefined,
		'aria-disabled': why ? 'true' : undefined,
		'aria-describedby': why ? `why-${why}` : undefined,
		title: why ? reason(why) : undefined,
		'data-action': key,
		...props,
		onclick: (event) => {
			event.preventDefault();
			if (why) tell(reason(why), { state: 'warning' });
			else if (question) ask({ ...question, run: () => act(key, run, { refused }) });
			else act(key, run, { refused });
		},
	}, label);
}

/* The question that was asked at this place, if it was. */
export function questionAt(place) {
	if (asking?.place !== place) return null;
	const { text, yes, no, danger, run, more } = asking;

	return h('div', { class: 'question', role: 'group', 'aria-labelledby': 'question', key: `question-${place}` },
		h('p', { id: 'question', tabindex: '-1' }, text),
		h('div', { class: 'actions' },
			run && h('button', { type: 'button', class: `button ${danger ? 'danger' : 'primary'}`, 'data-action': 'yes', onclick: () => {
				answered();
				run();
			} }, yes),
			more,
			h('button', { type: 'button', class: 'button', 'data-action': 'no', onclick: answered }, no ?? t('question.no'))));
}

/*
 * The foot: what came of the last action.  What is read out stands there from the
 * beginning, for a region that appears together with its text is not announced.
 */
export const announced = () =>
	h('p', { class: 'unseen', role: told?.state === 'error' ? 'alert' : 'status', 'aria-atomic': 'true' }, told?.text ?? '');

export function outcome() {
	return h('section', { class: `outcome ${told?.state ?? ''}`, hidden: !told, 'aria-label': t('outcome.label') },
		h('p', null, told?.text ?? ''),
		told?.undo && h('button', { type: 'button', class: 'button', 'data-action': 'undo', onclick: () => {
			const { undo } = told;

			told = null;
			act('undo', undo);
		} }, t('outcome.undo')),
		told && h('button', { type: 'button', class: 'button', onclick: () => {
			told = null;
			redraw();
		} }, t('outcome.close')));
}

/* What the disabled buttons refer to. */
export const reasons = () =>
	h('div', { hidden: true }, ['viewer', 'stale'].map((why) => h('p', { id: `why-${why}` }, reason(why))));
