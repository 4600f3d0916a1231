/* What is paused, and what can be. */

import { h } from '../common/h.js';
import { t, tr } from '../common/i18n.js';
import { phone } from '../common/format.js';
import { badge, data, english, time } from '../common/parts.js';
import { post, remove } from '../common/api.js';
import { API } from './address.js';
import { button, questionAt, tell } from './act.js';

const pause = async (scope, key, name, reason = t('pause.reason')) => {
	await post(`${API}/pauses`, { scope, key: key || undefined, reason });
	tell(t('pause.done', { what: name }), { undo: () => resume(scope, key, name) });
};

/* What Meta or the extension has paused is not paused again by an undo. */
const resume = async (scope, key, name, row) => {
	await remove(`${API}/pauses`, { scope, key });
	tell(t('resume.done', { what: name }), { undo: row?.automatic ? null : () => pause(scope, key, name, row?.reason) });
};

const about = (name) => data(` ${name}`, { class: 'unseen' });

export const pauseButton = (scope, key, name, place, label = [t('pause.go'), about(name)]) =>
	button(`pause-${scope}-${key}`, label, () => pause(scope, key, name), {
		question: { place, text: t('pause.ask', { what: name }), yes: t('pause.yes'), danger: true },
	});

export const resumeButton = (scope, key, name, row) =>
	button(`resume-${scope}-${key}`, [t('resume.go'), about(name)], () => resume(scope, key, name, row));

const nameOf = (row) => (row.scope === 'account' ? t('scope.account') : `${t(`scope.${row.scope}`)} ${row.scope === 'number' ? phone(row.display_phone_number ?? row.key) : row.key}`);

const item = (row) =>
	h('li', { class: 'group', key: `${row.scope} ${row.key}` },
		h('div', null,
			h('h3', null, row.scope === 'account' ? t('scope.account') : [t(`scope.${row.scope}`), ' ', data(row.scope === 'number' ? phone(row.display_phone_number ?? row.key) : row.key)]),
			h('p', null, row.automatic ? english(row.detail ?? tr('reason', row.reason)) : data([row.reason, row.detail].filter(Boolean).join(': '))),
			h('p', { class: 'muted small' },
				t(row.automatic ? 'pause.automatic' : 'pause.manual'), ' ', time(row.paused_at ?? row.since),
				row.until && [' · ', t('pause.until'), ' ', time(row.until)],
				row.waiting > 0 && [' · ', t('pause.waiting', { n: row.waiting })])),
		h('div', { class: 'actions' }, resumeButton(row.scope, row.key, nameOf(row), row)));

export const pauseList = (rows) =>
	h('section', { class: 'stack', 'aria-labelledby': 'pauses' },
		h('div', { class: 'heading' },
			h('h2', { id: 'pauses' }, t('pauses.title')),
			!rows.some((row) => row.scope === 'account') && pauseButton('account', '', t('scope.account'), 'account', t('pause.account'))),
		questionAt('account'),
		rows.length > 0 ? h('ul', { class: 'groups' }, rows.map(item)) : h('p', null, badge('ok', t('pauses.none'))));
