/* What both pages are made of. */

import { h } from './h.js';
import { t } from './i18n.js';
import { exact, relative } from './format.js';

/* A word with a shape and a colour: ok, warning, error, or nothing for neutral. */
export const badge = (state, text) => h('span', { class: `badge ${state ?? ''}` }, text);

/* What comes from the database: no translator touches it, a reader may be told its language. */
export const data = (text, props = {}) => h('span', { translate: 'no', ...props }, text);

/* Sentences of the server, which speaks English. */
export const english = (text, props = {}) => h('span', { lang: 'en', translate: 'no', ...props }, text);

export const time = (at, props = {}) =>
	at ? h('time', { datetime: at, 'data-exact': exact(at), ...props }, relative(at)) : h('span', { class: 'muted' }, '–');

export const notice = (state, title, ...more) =>
	h('div', { class: `notice ${state}` }, h('strong', null, title), more);

/* An empty state teaches the next step. */
export const empty = (title, next, ...more) => h('div', { class: 'empty' }, h('strong', null, title), next, more);

/* Problems in words: what happened, what is safe, what to do. */
export function words(problem) {
	if (problem.status === 0) return t('problem.offline');
	if (problem.status === 503) return t('problem.database');
	if (problem.status === 401) return t('problem.signed_out');
	if (problem.status === 403) return t('problem.forbidden');
	if (problem.status === 429) return t('problem.too_many', { seconds: problem.retryAfter ?? 60 });
	if (problem.status >= 500 || !problem.message) return t('problem.unexpected', { id: problem.requestId ?? '–' });
	return [problem.message, problem.hint].filter(Boolean).join(' ');
}
