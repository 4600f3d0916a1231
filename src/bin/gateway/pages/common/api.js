/*
 * Requests.  What the gateway refuses comes as a problem document (RFC 9457),
 * and so does everything else that can go wrong, with status 0 where no answer
 * came: a view asks for problem.status and shows words.
 */

const TIMEOUT_MS = 15000;

export class Problem extends Error {
	constructor(status, document = {}, retryAfter = null) {
		super(document.detail ?? document.title ?? '');
		this.status = status;
		this.document = document;
		this.field = document.field;
		this.hint = document.hint;
		this.holder = document.holder;
		this.requestId = document.request_id;
		this.retryAfter = retryAfter;
	}

	/* Nobody is to blame and trying again helps: no network, no database. */
	get passing() {
		return this.status === 0 || this.status === 502 || this.status === 503 || this.status === 504;
	}
}

let authorization = null;

/* For a page that carries its key itself, where a cookie would not be sent. */
export function authorize(key) {
	authorization = key ? `Bearer ${key}` : null;
}

export function address(path, query = {}) {
	const search = new URLSearchParams();

	for (const [name, value] of Object.entries(query)) {
		if (value !== undefined && value !== null && value !== '') search.set(name, value);
	}
	return search.size > 0 ? `${path}?${search}` : path;
}

/* What an error says of itself, if it does. */
const said = (response) => response.json().catch(() => ({}));

/* A body that is cut, or does not come in time, is no answer. */
async function json(response) {
	try {
		const text = await response.text();

		return text === '' ? {} : JSON.parse(text);
	} catch {
		throw new Problem(0);
	}
}

/* The bytes of a file, by the key if the page carries one. */
export async function bytes(path) {
	let response;

	try {
		response = await fetch(path, { headers: authorization ? { Authorization: authorization } : {}, credentials: 'same-origin' });
		if (response.ok) return await response.blob();
	} catch {
		throw new Problem(0);
	}
	throw new Problem(response.status, await said(response));
}

/*
 * {status, data, etag, total, next}; data is undefined at 304 and 204.  next is
 * the cursor of the following page.
 */
export async function request(method, path, { query, body, etag, headers = {} } = {}) {
	let response;

	headers = { Accept: 'application/json', ...headers };
	if (authorization) headers.Authorization = authorization;
	if (body !== undefined) headers['Content-Type'] = 'application/json';
	if (etag) headers['If-None-Match'] = etag;
	try {
		response = await fetch(address(path, query), {
			method,
			headers,
			body: body === undefined ? undefined : JSON.stringify(body),
			cache: 'no-store',
			credentials: 'same-origin',
			signal: AbortSignal.timeout(TIMEOUT_MS),
		});
	} catch {
		throw new Problem(0);
	}
	if (!response.ok && response.status !== 304) {
		throw new Problem(response.status, await said(response), Number(response.headers.get('Retry-After')) || null);
	}
	return {
		status: response.status,
		data: response.status === 304 || response.status === 204 ? undefined : await json(response),
		etag: response.headers.get('ETag'),
		total: response.headers.has('X-Total-Count') ? Number(response.headers.get('X-Total-Count')) : null,
		next: cursor(response.headers.get('Link')),
	};
}

function cursor(link) {
	const next = /<([^>]*)>\s*;\s*rel="?next"?/.exec(link ?? '');

	return next ? new URL(next[1], location.href).searchParams.get('cursor') : null;
}

export const get = (path, query) => request('GET', path, { query });
export const post = (path, body = {}, options = {}) => request('POST', path, { ...options, body });
export const put = (path, body) => request('PUT', path, { body });
export const remove = (path, query) => request('DELETE', path, { query });
