/* Everything about one message, in order, and what can be done with it. */

import { h } from '../common/h.js';
import { has, t } from '../common/i18n.js';
import { clock, exact, phone } from '../common/format.js';
import { data, english, time, words } from '../common/parts.js';
import { post } from '../common/api.js';
import { API } from './address.js';
import { button, questionAt, tell } from './act.js';
import { statusBadge } from './words.js';

const act = async (id, what, body) => {
	await post(`${API}/messages/${id}/${what}`, body);
	tell(t(`message.${what}.done`, { id: `#${id}` }));
};

/* What becomes of an uncertain one: each way says what it means. */
const OUTCOMES = ['sent', 'resend', 'failed'];

const resolve = (message, place) =>
	h('div', { class: 'stack', role: 'group', 'aria-label': t('resolve.title') },
		h('p', null, h('strong', null, t('resolve.title')), ' ', t('resolve.how')),
		h('div', { class: 'actions' }, OUTCOMES.map((outcome) =>
			button(`resolve-${outcome}-${message.id}`, t(`resolve.${outcome}`), () => act(message.id, 'resolve', { outcome }), {
				question: outcome === 'resend' && { place, text: t('resolve.resend_ask'), yes: t('resolve.resend_yes'), danger: true },
			}))));

const actions = (message, place) => {
	const may = message.may ?? [];

	return [
		may.includes('resolve') && resolve(message, place),
		(may.includes('retry') || may.includes('cancel')) && h('div', { class: 'actions' },
			may.includes('retry') && button(`retry-${message.id}`, t('message.retry'), () => act(message.id, 'retry'), { kind: 'primary' }),
			may.includes('cancel') && button(`cancel-${message.id}`, t('message.cancel'), () => act(message.id, 'cancel'), {
				question: { place, text: t('message.cancel_ask'), yes: t('message.cancel_yes'), danger: true },
			})),
	];
};

/* Of the details, what is short and not said anyway: the rest is for SQL. */
const ELSEWHERE = new Set(['attempt', 'outcome', 'ended_at', 'phone_number_id', 'whatsapp_message_id', 'remedy']);

const details = (entry) =>
	Object.entries(entry.details ?? {})
		.filter(([name, value]) => value !== null && typeof value !== 'object' && !ELSEWHERE.has(name))
		.map(([name, value]) => `${name} ${value}`)
		.join(' · ');

/* Of these the word says it all. */
const SAID = new Set(['created', 'accepted', 'sent', 'delivered', 'read', 'played', 'cancelled', 'expired', 'skipped']);

const history = (message) =>
	h('ol', { class: 'history' }, message.history.map((entry, i) =>
		h('li', { key: `${i} ${entry.kind}`, class: entry.kind },
			h('time', { datetime: entry.at, title: exact(entry.at), class: 'muted tabular' }, clock(entry.at)),
			h('div', null,
				h('strong', null, has(`history.${entry.kind}`) ? t(`history.${entry.kind}`) : data(entry.kind)),
				entry.text && !SAID.has(entry.kind) && h('p', null, entry.kind === 'reply' ? data(`“${entry.text}”`) : english(entry.text)),
				details(entry) && h('p', null, english(details(entry), { class: 'muted small' }))))));

const FACTS = ['tenant_id', 'recipient_phone', 'recipient_user_id', 'phone_number_id', 'template_name', 'template_language', 'reference', 'idempotency_key', 'whatsapp_message_id', 'pricing_category', 'priority', 'created_at', 'scheduled_at', 'expires_at'];

const shown = (name, value) => {
	if (name.endsWith('_at')) return time(value);
	return data(name === 'recipient_phone' ? phone(value) : String(value), { class: /_id$|_key$/.test(name) ? 'mono' : undefined });
};

const facts = (message) =>
	h('dl', { class: 'facts' }, FACTS.filter((name) => message[name] !== null && message[name] !== undefined).map((name) =>
		h('div', { key: name }, h('dt', { class: 'muted small' }, t(`fact.${name}`)), h('dd', null, shown(name, message[name])))));

const said = (prefix, explanation, text) =>
	has(`${prefix}.${explanation.reason}`) ? t(`${prefix}.${explanation.reason}`) : english(text);

/* row: where it is shown in its row, the questions stand there. */
export function messageDetail(message, row) {
	const place = row ? `message-${message.id}` : `alone-${message.id}`;

	if (message.problem) return h('p', { class: 'detail', key: 'problem' }, words(message.problem));
	const { explanation } = message;

	return h('div', { class: 'detail', key: `message-detail-${message.id}` },
		h('div', { class: 'stack' },
			h('p', null, statusBadge(message.status), ' ', data(`#${message.id}`, { class: 'muted' })),
			explanation && h('div', null,
				h('p', null, english(explanation.explanation)),
				explanation.remedy && explanation.remedy !== 'None.' && message.status !== 'uncertain' && h('p', { class: 'muted' }, said('remedy', explanation, explanation.remedy)),
				explanation.earliest && h('p', null, t('message.earliest'), ' ', time(explanation.earliest))),
			actions(message, place),
			!row && questionAt(place),
			message.text && h('blockquote', { class: 'said', translate: 'no' }, message.text),
			facts(message)),
		h('div', { class: 'stack' }, h('h2', null, t('message.history')), history(message)));
}
