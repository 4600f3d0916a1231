/* Language and quiet hours. */

import { h } from '../common/h.js';
import { locale, t } from '../common/i18n.js';
import { notice } from '../common/parts.js';
import { writeSettings } from './client.js';
import { changed, say, state } from './state.js';
import { refusal } from './words.js';

/* What stands in the form: what was typed, else what is set. */
function values() {
	const set = state.settings;

	return (
		state.form.values ?? {
			language: set.whatsapp_default_language,
			quiet: set.quiet_from !== null,
			from: set.quiet_from ?? '21:00',
			to: set.quiet_to ?? '07:00',
			receipts: set.read_receipts,
		}
	);
}

function type(change) {
	state.form = { ...state.form, values: { ...values(), ...change }, error: null, done: false };
	changed();
}

const wrongIn = ({ quiet, from, to }) => quiet && (!from || !to ? t('settings.missing') : from === to ? t('settings.same') : null);

async function save(event) {
	const wanted = values();
	const wrong = wrongIn(wanted);

	event.preventDefault();
	if (state.form.busy) return;
	if (wrong) {
		state.form.error = wrong;
		changed();
		return document.getElementById('quiet-from')?.focus();
	}
	state.form = { values: wanted, busy: true, error: null, done: false };
	changed();
	try {
		const { data } = await writeSettings({
			whatsapp_default_language: wanted.language,
			quiet_from: wanted.quiet ? wanted.from : null,
			quiet_to: wanted.quiet ? wanted.to : null,
			read_receipts: wanted.receipts,
		});

		state.settings = data;
		state.form = { values: null, busy: false, error: null, done: true };
		say(t('settings.saved'));
		state.refresh();
	} catch (problem) {
		state.form = { values: wanted, busy: false, error: refusal(problem), done: false };
		state.expelled(problem);
	}
	changed();
}

/* "español", "español (México)"; what no browser knows stays a code. */
function nameOf(tag) {
	try {
		const name = new Intl.DisplayNames([locale], { type: 'language' }).of(tag.replace('_', '-'));

		return name.replace(/^./, (first) => first.toLocaleUpperCase(locale));
	} catch {
		return tag;
	}
}

function languages(chosen) {
	const offered = [...new Set([chosen, ...state.settings.languages])].sort();

	if (offered.length < 2) return null;
	return h(
		'div',
		{ class: 'field' },
		h('label', { for: 'language' }, t('settings.language')),
		h(
			'select',
			{ id: 'language', class: 'input', value: chosen, onchange: (event) => type({ language: event.target.value }) },
			offered.map((tag) => h('option', { value: tag }, nameOf(tag))),
		),
	);
}

const hour = (id, label, value, change) =>
	h(
		'div',
		{ class: 'field' },
		h('label', { for: id }, label),
		h('input', { id, class: 'input', type: 'time', value, required: true, 'aria-describedby': 'quiet-what quiet-wrong', onchange: (event) => change(event.target.value) }),
	);

/* Europe/Madrid is the time of a place, UTC is not. */
const zone = (name) =>
	name.includes('/') ? t('settings.zone', { zone: name.split('/').at(-1).replaceAll('_', ' ') }) : t('settings.zone.plain', { zone: name });

function quietHours({ quiet, from, to }) {
	return h(
		'fieldset',
		{ class: 'field' },
		h('legend', { class: 'label' }, t('settings.quiet')),
		h('label', { class: 'check' }, h('input', { type: 'checkbox', checked: quiet, onchange: (event) => type({ quiet: event.target.checked }) }), t('settings.quiet.on')),
		quiet && [
			h('div', { class: 'pair' }, hour('quiet-from', t('settings.from'), from, (value) => type({ from: value })), hour('quiet-to', t('settings.to'), to, (value) => type({ to: value }))),
			h('p', { id: 'quiet-what', class: 'muted' }, t('settings.quiet.what'), ' ', zone(state.settings.time_zone)),
		],
		h('p', { id: 'quiet-wrong', class: 'field-error', role: 'alert' }, state.form.error),
	);
}

/* Blue ticks: whether whoever writes sees that it was read. */
const receipts = (shown) =>
	h(
		'fieldset',
		{ class: 'field' },
		h('legend', { class: 'label' }, t('settings.read')),
		h(
			'label',
			{ class: 'check' },
			h('input', { type: 'checkbox', checked: shown, 'aria-describedby': 'read-what', onchange: (event) => type({ receipts: event.target.checked }) }),
			t('settings.read.on'),
		),
		h('p', { id: 'read-what', class: 'muted' }, t('settings.read.what')),
	);

export function settings() {
	const { busy, done } = state.form;
	const shown = values();

	return h(
		'section',
		{ key: 'settings', class: 'no-print', 'aria-labelledby': 'settings' },
		h('h2', { id: 'settings' }, t('settings')),
		h(
			'form',
			{ novalidate: true, onsubmit: save },
			languages(shown.language),
			quietHours(shown),
			receipts(shown.receipts),
			h('button', { class: 'button wide', type: 'submit', 'aria-busy': busy ? 'true' : null }, t(busy ? 'settings.saving' : 'settings.save')),
			done && notice('ok', t('settings.saved')),
		),
	);
}
