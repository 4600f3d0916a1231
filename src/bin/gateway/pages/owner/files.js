/*
 * Files that people have sent: a picture small, a voice to be played, the rest to be
 * opened.  What a file is says the gateway, not who sent it.
 *
 * Where the browser sends a cookie along, a file is simply an address.  In a frame of
 * another site, and where no cookie is kept, it is fetched with the page's key when
 * somebody asks for it.
 */

import { h } from '../common/h.js';
import { has, locale, t } from '../common/i18n.js';
import { fetchFile, fileAddress, readFile } from './client.js';
import { changed, say, state } from './state.js';
import { refusal } from './words.js';

const carries = window.parent === window && navigator.cookieEnabled;

const idOf = (reply) => reply.id.slice(1);

function note(id, change) {
	state.files.set(id, { ...state.files.get(id), ...change });
	changed();
}

function size(bytes) {
	const [unit, n] = bytes < 1e6 ? ['kilobyte', Math.max(1, Math.round(bytes / 1e3))] : ['megabyte', bytes / 1e6];

	return new Intl.NumberFormat(locale, { style: 'unit', unit, unitDisplay: 'short', maximumFractionDigits: 1 }).format(n);
}

/* What WhatsApp calls a sticker is a picture, too. */
function caption(reply, who) {
	const what = t(has(`said.${reply.kind}`) ? `said.${reply.kind}` : 'said.document');

	return reply.text ? t('file.alt.said', { what, who, text: reply.text }) : t('file.alt', { what, who });
}

/* Done is done by the page itself; what was asked of the gateway comes with one of the next looks. */
async function attempt(id, work) {
	if (state.files.get(id)?.busy) return;
	note(id, { busy: true, error: null });
	try {
		await work();
		note(id, { busy: false });
	} catch (problem) {
		const error = problem.status === 404 || problem.status === 410 ? t('file.gone') : refusal(problem);

		note(id, { busy: false, error });
		say(error);
		state.expelled(problem);
	}
}

const open = (id) =>
	attempt(id, async () => {
		state.files.get(id).url = URL.createObjectURL(await readFile(id));
	});

const ask = (id) =>
	attempt(id, async () => {
		await fetchFile(id);
		await state.refresh();
	});

function button(id, label, who, action) {
	const { busy, error } = state.files.get(id) ?? {};

	return [
		h(
			'button',
			{ class: 'button no-print', type: 'button', 'aria-label': t('file.of', { action: label, who }), 'aria-busy': busy ? 'true' : null, onclick: () => action(id) },
			busy ? t('file.busy') : label,
		),
		error && h('p', { class: 'field-error' }, error),
	];
}

/* A picture that does not come by its address comes by the key, if somebody wants it. */
function picture(id, reply, who, url) {
	return h(
		'a',
		{ key: `shown-${url}`, class: 'picture', href: url, target: '_blank', rel: 'noopener' },
		/* loading comes first: each look at the page makes one of these, which must not ask for its file. */
		h('img', { loading: 'lazy', decoding: 'async', src: url, alt: caption(reply, who), onerror: () => state.files.get(id)?.url || note(id, { unshown: true }) }),
	);
}

const player = (id, reply, who, url) =>
	h('audio', { key: `shown-${url}`, preload: 'none', controls: true, src: url, 'aria-label': caption(reply, who), onerror: () => state.files.get(id)?.url || note(id, { unshown: true }) });

function link(id, { media }, who, url, own) {
	const name = own ? t('file.save', { name: media.filename }) : t(`file.show.${media.shown_as}`, { name: media.filename });
	const props = media.shown_as === 'file' || own ? { download: media.filename } : { target: '_blank', rel: 'noopener' };

	return h('a', { key: `shown-${url}`, class: 'button', href: url, translate: 'no', 'aria-label': t('file.of', { action: name, who }), ...props }, name, media.size && ` (${size(media.size)})`);
}

const SHOWN = { image: picture, audio: player };

function fetched(reply, who) {
	const id = idOf(reply);
	const { url, unshown } = state.files.get(id) ?? {};
	const { shown_as: as, filename } = reply.media;

	if (!url && (!carries || unshown)) return button(id, t(`file.show.${as}`, { name: filename }), who, open);
	return (SHOWN[as] ?? link)(id, reply, who, url ?? fileAddress(id), Boolean(url));
}

export function file(reply, who) {
	const { status } = reply.media;
	const mayAsk = status === 'not_fetched' || status === 'skipped' || status === 'failed';

	if (status === 'fetched') return h('div', { key: `file-${reply.id}`, class: 'file' }, fetched(reply, who));
	return h(
		'div',
		{ key: `file-${reply.id}`, class: 'file' },
		h('p', { class: 'muted' }, t(`file.${status}`)),
		mayAsk && button(idOf(reply), t('file.fetch'), who, ask),
	);
}
