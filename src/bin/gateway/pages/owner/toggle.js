/* The question, and the switch that answers it. */

import { h } from '../common/h.js';
import { t } from '../common/i18n.js';
import { phone } from '../common/format.js';
import { data, notice } from '../common/parts.js';
import { writeSettings } from './client.js';
import { changed, say, state } from './state.js';
import { refusal } from './words.js';

async function toggle() {
	const wanted = !state.settings.whatsapp_enabled;

	if (state.toggle.busy !== null) return;
	state.toggle = { busy: wanted, error: null };
	changed();
	try {
		state.settings = (await writeSettings({ whatsapp_enabled: wanted })).data;
		state.toggle = { busy: null, error: null };
		say(t(wanted ? 'switch.saved.on' : 'switch.saved.off'));
		state.refresh();
	} catch (problem) {
		state.toggle = { busy: null, error: refusal(problem) };
		state.expelled(problem);
	}
	changed();
}

/* On, but nothing would leave: whose turn it is. */
function obstacle() {
	const word = state.data?.obstacle;

	if (!state.settings.whatsapp_enabled || !['no_number', 'paused', 'stopped'].includes(word)) return null;
	return notice('warning', t(`obstacle.${word}`), h('p', null, t(`obstacle.${word}.what`)));
}

function consequence(on) {
	const number = state.settings.whatsapp_display_phone_number ?? state.data?.display_phone_number;

	if (!on) return h('p', { id: 'what' }, t('switch.off.what'));
	if (state.data?.obstacle === 'no_number') return null;
	return [
		number ? h('p', { id: 'what' }, t('switch.on.what'), data(phone(number), { class: 'sender' })) : h('p', { id: 'what' }, t('switch.on.plain')),
		h('p', { class: 'muted no-print' }, t('switch.on.if_off')),
	];
}

export function question() {
	const busy = state.toggle.busy !== null;
	const on = busy ? state.toggle.busy : state.settings.whatsapp_enabled;

	return h(
		'section',
		{ class: 'question', 'aria-labelledby': 'question' },
		h('h1', { id: 'question' }, t('question')),
		h(
			'button',
			{
				id: 'switch',
				class: 'toggle',
				type: 'button',
				role: 'switch',
				'aria-checked': String(on),
				'aria-labelledby': 'question',
				'aria-describedby': 'what',
				'aria-busy': busy ? 'true' : null,
				onclick: toggle,
			},
			h('span', { class: 'track', 'aria-hidden': 'true' }),
			h('span', { 'aria-hidden': 'true' }, busy ? t('switch.busy') : t(on ? 'switch.on' : 'switch.off')),
		),
		state.toggle.error && h('div', { role: 'alert' }, notice('error', state.toggle.error)),
		obstacle(),
		consequence(state.settings.whatsapp_enabled),
	);
}
