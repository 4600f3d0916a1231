/*
 * What the page asks the gateway.  The link's key comes behind the "#" of the
 * address: it is taken out of there at once, shown as a bearer token, so that the
 * page works in a frame of another site, and exchanged for a cookie, so that it
 * can be loaded again.
 */

import { authorize, bytes, request } from '../common/api.js';

const [, prefix, segment] = /^(.*)\/app\/settings\/notifications\/([^/]+)$/.exec(location.pathname);
const page = `${prefix}/app/settings/notifications/${segment}`;
const api = `${prefix}/api/v1/tenants/${segment}`;

/* The key in a link, or in what somebody has pasted. */
export const keyIn = (text) => /(?:^|key=|\s)(wal_[A-Za-z0-9_-]+)/.exec(text.trim())?.[1] ?? null;

export function takeKey() {
	const key = keyIn(location.hash);

	if (location.hash) history.replaceState(null, '', location.pathname + location.search);
	return key;
}

/* The cookie is a convenience: where there can be none, the key is enough. */
export async function enter(key) {
	authorize(key);
	await request('POST', `${page}/session`, { body: { key } }).catch((problem) => {
		if (problem.status === 401 || problem.status === 403 || problem.status === 429) {
			authorize(null);
			throw problem;
		}
	});
}

export const readSettings = () => request('GET', `${api}/notification-settings`);
export const writeSettings = (body) => request('PUT', `${api}/notification-settings`, { body });
export const readMessages = (limit, etag) => request('GET', `${api}/messages`, { query: { limit }, etag });

/* One press of a button is one message, however often the request has to be made. */
export const press = () => [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, '0')).join('');

export const sendTest = (recipient, key) =>
	request('POST', `${api}/test-message`, { body: { recipient_phone: recipient }, headers: { 'Idempotency-Key': key } });

/* A file of a customer: its address, where a cookie goes along; its bytes; and asking for it. */
export const fileAddress = (id) => `${api}/inbound/${id}/media`;
export const readFile = (id) => bytes(fileAddress(id));
export const fetchFile = (id) => request('POST', fileAddress(id));

export const sendRead = (id) => request('POST', `${api}/inbound/${id}/read`);

export const sendAnswer = (beneath, text, key) =>
	request('POST', `${api}/replies`, { body: { ...beneath, text }, headers: { 'Idempotency-Key': key } });
