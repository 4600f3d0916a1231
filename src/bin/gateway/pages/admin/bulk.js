/*
 * An action on everything that matches a filter, not only on what is on screen:
 * the count before, the progress after, and it can be stopped.  The database does
 * some hundreds a call; whoever leaves the page stops it between two calls.
 */

import { h } from '../common/h.js';
import { t } from '../common/i18n.js';
import { post } from '../common/api.js';
import { words } from '../common/parts.js';
import { number } from '../common/format.js';
import { API } from './address.js';
import { ask, button } from './act.js';
import { redraw, refresh } from './state.js';

const runs = new Map(); /* by place */

const call = async (kind, filter, more) => {
	const given = Object.fromEntries(Object.entries(filter).filter(([, value]) => value !== undefined && value !== ''));

	return (await post(`${API}/messages/${kind}`, { filter: given, ...more })).data;
};

async function work(place, kind, filter, matched) {
	const run = { kind, matched, done: 0, refused: 0, running: true, stopped: false, problem: null };
	const warn = (event) => event.preventDefault();

	runs.set(place, run);
	addEventListener('beforeunload', warn);
	try {
		for (let left = matched, cursor; left > 0 && !run.stopped;) {
			const answer = await call(kind, filter, { cursor });

			run.done += answer.done;
			run.refused += answer.refused ?? 0;
			left = answer.remaining;
			cursor = answer.cursor;
			/* Where nothing leads on and nothing is done, asking again would never end. */
			if (answer.done === 0 && !cursor) break;
			run.matched = Math.max(run.matched, run.done + run.refused + left);
			redraw();
			refresh();
		}
	} catch (problem) {
		run.problem = problem;
	}
	removeEventListener('beforeunload', warn);
	run.running = false;
	await refresh();
	redraw();
}

/* Counts first, then asks with the count, then works. */
async function begin(place, kind, filter) {
	const { matched, more } = await call(kind, filter, { dry_run: true });

	if (matched === 0) {
		runs.set(place, { kind, matched: 0, done: 0, running: false });
		return;
	}
	ask({
		place,
		text: [t(`group.ask.${kind}`, { n: matched }), more ? t('group.more') : ''].join(' '),
		yes: t(`group.yes.${kind}`, { n: matched }),
		danger: kind === 'cancel',
		run: () => work(place, kind, filter, matched),
	});
}

export const groupButton = (place, kind, filter, label) =>
	button(`group-${kind}-${place}`, label, () => begin(place, kind, filter), { disabled: runs.get(place)?.running });

function said(run) {
	if (run.problem) return t('group.problem', { n: run.done, total: run.matched, why: words(run.problem) });
	if (run.running) return t('group.running', { n: run.done, total: run.matched });
	if (run.stopped) return t('group.stopped', { n: run.done, total: run.matched });
	return [t(`group.done.${run.kind}`, { n: run.done }), run.refused > 0 ? t('group.refused', { n: run.refused }) : ''].join(' ');
}

/* The progress of what runs at this place, or how it ended. */
export function groupAt(place) {
	const run = runs.get(place);

	if (!run) return null;
	return h('div', { class: 'progress', key: `run-${place}` },
		h('p', { role: run.problem ? 'alert' : 'status' }, said(run)),
		run.running && h('progress', { max: run.matched, value: run.done, 'aria-label': t('group.progress') }, number(run.done)),
		h('button', { type: 'button', class: 'button', onclick: () => {
			if (run.running) run.stopped = true;
			else runs.delete(place);
			redraw();
		} }, run.running ? t('group.stop') : t('outcome.close')));
}

