/* What the page knows, and one way to say that something has changed. */

export const state = {
	settings: null, /* the settings document */
	data: null, /* messages, others, obstacle */
	etag: null,
	more: false, /* there are older messages */
	limit: 10,
	read: null, /* the limit of what was read */
	reading: false,
	shown: false, /* a key was shown */
	at: null, /* when both were last read */
	problem: null, /* of reading them */
	locked: null, /* why there is no page: enter, gone, other */
	toggle: { busy: null, error: null }, /* busy: what it will be */
	answers: new Map(), /* by message: text, key, busy, error */
	files: new Map(), /* by message: busy, url, error */
	fresh: new Set(), /* messages that nobody had read when this page was opened, or that came since */
	test: { phone: '', key: null, busy: false, error: null, done: null },
	form: { values: null, busy: false, error: null, done: false },
	enter: { busy: false, error: null },
};

let listener = () => {};

export const onChange = (f) => (listener = f);
export const changed = () => listener();

/* For readers of the screen. */
export function say(text) {
	document.getElementById('news').textContent = text;
}
