/* The last messages in plain words, with what was answered beneath. */

import { h } from '../common/h.js';
import { has, t } from '../common/i18n.js';
import { phone } from '../common/format.js';
import { badge, data, empty } from '../common/parts.js';
import { answer } from './answer.js';
import { file } from './files.js';
import { changed, state } from './state.js';
import { became, shortly, When } from './words.js';

const LIMITS = [10, 30, 100];
const MARK = { delivered: 'ok', read: 'ok', failed: 'error', unknown: 'warning' };

/* Who hides his number has a code in its place, whose end tells one from another. */
const person = (name, address) => name ?? (/^\+?\d/.test(address ?? '') ? phone(address) : t('person.hidden', { end: (address ?? '').slice(-4) }));

/* A line of a conversation in words: a picture has none of its own. */
function words({ kind, text }) {
	if (kind === 'text' || kind === 'own') return data(text ?? '');
	if (kind === 'reaction' || kind === 'edit') return t(`said.${kind}`, { text: text ?? '' });
	return [t(has(`said.${kind}`) ? `said.${kind}` : 'said.other'), text && [': ', data(text)]];
}

function bubble(reply, who, unread) {
	const own = reply.kind === 'own';
	const fate = own && has(`said.${reply.state}`) ? ` · ${t(`said.${reply.state}`)}` : '';
	const shown = reply.media?.status === 'fetched' && reply.media.shown_as === reply.kind;

	return h(
		'li',
		{ key: reply.id, class: `bubble ${own ? 'own' : ''}`, 'data-unread': unread && reply.id },
		h('p', { class: 'sayer' }, h('span', null, own ? t('said.you') : data(who), fate), h('time', { datetime: reply.at }, shortly(reply.at))),
		state.fresh.has(reply.id) && h('p', null, badge('ok', t('said.new'))),
		reply.media && file(reply, who),
		shown ? reply.text && h('p', null, data(reply.text)) : h('p', null, words(reply)),
	);
}

/* Marking one as read marks those before it, so that only the last is to be seen. */
function talk(replies, who) {
	const last = replies.findLast((reply) => reply.kind !== 'own');

	return replies.length > 0 && h('ul', { class: 'talk' }, replies.map((reply) => bubble(reply, who, reply === last && !reply.read)));
}

/* Hours to answer are worth a word only if there was something to answer. */
const mayTalk = (item) => item.may_answer || item.replies.some((reply) => reply.kind !== 'own');

function card(message) {
	const who = person(message.recipient_name, message.recipient);
	const id = `m${message.id}`;
	const title = message.test ? t('message.test', { to: who }) : [message.reference, who].filter(Boolean).join(' · ');

	return h(
		'li',
		{ key: id, class: `card ${message.state === 'failed' ? 'error' : ''}`, 'aria-labelledby': id },
		h('h3', { id, translate: 'no' }, title),
		h(
			'div',
			null,
			h('p', { class: 'about' }, badge(MARK[message.state], t(`state.${message.state}`)), h('time', { class: 'muted', datetime: message.created_at }, When(message.created_at))),
			h('p', null, became(message)),
		),
		message.text && h('p', { class: 'said' }, h('span', { class: 'unseen' }, `${t('message.said')}: `), data(message.text)),
		talk(message.replies, who),
		mayTalk(message) && answer(id, { message_id: message.id }, message, who),
	);
}

function stranger(item) {
	const who = person(item.sender_name, item.sender);
	const id = `p${item.sender}`;

	return h(
		'li',
		{ key: id, class: 'card', 'aria-labelledby': id },
		h('h3', { id, translate: 'no' }, who),
		talk(item.replies, who),
		answer(id, { inbound_id: item.inbound_id }, item, who),
	);
}

function showMore() {
	state.limit = LIMITS.find((limit) => limit > state.limit) ?? state.limit;
	state.refresh();
	changed();
}

function more() {
	if (!state.more) return null;
	if (state.limit < LIMITS.at(-1)) return h('button', { class: 'button wide', type: 'button', onclick: showMore }, t('messages.more'));
	return h('p', { class: 'muted' }, t('messages.last', { n: state.limit }));
}

const section = (id, ...content) => h('section', { key: id, 'aria-labelledby': id }, h('h2', { id }, t(id)), content);

export function messages() {
	const { messages: list, others } = state.data;

	return [
		others.length > 0 && section('others', h('ul', { class: 'cards' }, others.map(stranger))),
		section(
			'messages',
			list.length > 0 ? h('ul', { class: 'cards' }, list.map(card)) : empty(t('messages.empty'), h('p', null, t('messages.empty.what'))),
			more(),
		),
	];
}

/* Who has answered since the last time, for readers of the screen. */
export function newcomers(before, after) {
	const known = new Set([...before.messages, ...before.others].flatMap((item) => item.replies.map((reply) => reply.id)));

	return [...after.messages, ...after.others]
		.filter((item) => item.replies.some((reply) => reply.kind !== 'own' && !known.has(reply.id)))
		.map((item) => t('news.reply', { who: person(item.recipient_name ?? item.sender_name, item.recipient ?? item.sender) }));
}
