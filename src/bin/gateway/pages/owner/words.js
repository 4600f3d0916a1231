/* Times and problems in the words of somebody who bakes. */

import { has, locale, t } from '../common/i18n.js';

const clockOf = (date) => new Intl.DateTimeFormat(locale, { hour: 'numeric', minute: '2-digit' }).format(date);

const midnight = (date) => new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime();

/* "hoy", "ayer", "mañana"; else "el jueves", with the date where the week is not enough. */
function dayOf(date, now) {
	const days = Math.round((midnight(date) - midnight(now)) / 86400000);

	if (Math.abs(days) <= 1) return new Intl.RelativeTimeFormat(locale, { numeric: 'auto' }).format(days, 'day');
	const near = Math.abs(days) < 7;

	return t('day.far', {
		day: new Intl.DateTimeFormat(locale, near ? { weekday: 'long' } : { weekday: 'long', day: 'numeric', month: 'long' }).format(date),
	});
}

/* "mañana a las 10:32" */
export function when(at, now = new Date()) {
	const date = new Date(at);

	return t(date.getHours() === 1 ? 'day.at_one' : 'day.at', { day: dayOf(date, now), clock: clockOf(date) });
}

/* Where a line has no room: the clock alone says that it was today. */
export const shortly = (at, now = new Date()) => (midnight(new Date(at)) === midnight(now) ? clockOf(new Date(at)) : when(at, now));

/* At the beginning of a line. */
export const When = (at) => when(at).replace(/^./, (first) => first.toLocaleUpperCase(locale));

/* What the gateway has refused, in a sentence; null: it is nothing to speak of here. */
export function refusal(problem) {
	const reason = problem.document.reason;

	if (reason === 'too_many') return t('refused.too_many', { n: Math.max(1, Math.ceil(problem.document.retry_after_seconds / 60)) });
	if (reason && has(`refused.${reason}`)) return t(`refused.${reason}`);
	if (problem.status === 429) return t('problem.too_many.mine');
	if (problem.status === 0) return `${t('problem.offline.mine')} ${t('switch.failed')}`;
	if (problem.passing) return `${t('problem.database.mine')} ${t('switch.failed')}`;
	return `${t('problem.sorry')} ${t('problem.sorry.what', { id: problem.requestId ?? problem.status })}`;
}

/* The one sentence of a message: what has become of it, and what to do. */
export function became({ state, reason, retry_at: at, updated_at: since }) {
	if (state === 'failed') return t(has(`what.failed.${reason}`) ? `what.failed.${reason}` : 'what.failed.platform');
	if (state !== 'waiting') return t(`what.${state}`, { when: when(since) });
	const known = has(`what.waiting.${reason}`) ? reason : 'soon';

	return t(`what.waiting.${known}`, { when: known === 'again' ? (at ? `, ${when(at)}` : '') : at ? when(at) : '' });
}
