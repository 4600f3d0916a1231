/* Signing in: the token of the gateway's file, once; then a cookie that no script can read. */

import { h } from '../common/h.js';
import { t } from '../common/i18n.js';
import { notice, words } from '../common/parts.js';
import { get, post } from '../common/api.js';
import { afterDraw, follow, redraw, state } from './state.js';

let problem = null;
let busy = false;

async function submit(event) {
	const input = event.target.elements.token;

	event.preventDefault();
	if (busy || input.value.trim() === '') {
		input.focus();
		return;
	}
	busy = true;
	redraw();
	try {
		await post('/app/admin/whatsapp/session', { token: input.value.trim() });
		state.role = (await get('/api/v1/session')).data.role;
		problem = null;
		follow();
	} catch (refused) {
		problem = refused;
		input.select();
	}
	busy = false;
	redraw();
	afterDraw(() => document.querySelector(problem ? '#token' : 'h1')?.focus());
}

/* 400: what no token can look like. */
const said = () => ([400, 401].includes(problem.status) ? t('sign_in.wrong') : words(problem));

export function signIn() {
	return h('main', { class: 'alone stack', key: 'sign-in' },
		h('h1', null, t('sign_in.title')),
		h('p', { class: 'muted' }, t('sign_in.why')),
		h('form', { class: 'stack', method: 'post', action: '/app/admin/whatsapp/session', onsubmit: submit },
			h('div', { class: 'field' },
				h('label', { for: 'token' }, t('sign_in.token')),
				h('input', {
					id: 'token',
					name: 'token',
					class: 'input mono',
					type: 'password',
					autocomplete: 'current-password',
					required: true,
					'aria-invalid': problem ? 'true' : undefined,
					'aria-describedby': 'token-help token-error',
				}),
				h('p', { id: 'token-help', class: 'muted small' }, t('sign_in.where')),
				h('p', { id: 'token-error', class: 'field-error', role: 'alert' }, problem ? said() : '')),
			h('div', { class: 'actions' },
				h('button', { class: 'button primary', 'aria-busy': busy ? 'true' : undefined }, t('sign_in.go')))),
		state.problem?.passing && notice('warning', words(state.problem)));
}
