/*
 * What the page knows, and how it stays true: the summary every two seconds, the
 * section on screen every five, both only while somebody looks.
 */

import { Problem, get, request } from '../common/api.js';
import { live } from '../common/live.js';
import { API, params } from './address.js';

const SUMMARY_MS = 2000;
const SECTION_MS = 5000;
/* Two answers missing: from here on, what stands on the page may be untrue. */
const STALE_MS = 5000;

export const state = {
	role: null, /* null: not known yet; 'nobody': sign in */
	summary: null,
	freshAt: 0,
	problem: null,
	section: null,
	loads: new Map(), /* by address: {data, problem} */
};

let draw = () => {};
let summaries = null;
let sections = null;
let etag = null;
let scheduled = false;
let forced = false;

export function redraw() {
	if (scheduled) return;
	scheduled = true;
	requestAnimationFrame(() => {
		scheduled = false;
		draw();
	});
}

/* Once what redraw() was called for stands on the page: there is something to give the focus to. */
export const afterDraw = (then) => requestAnimationFrame(() => requestAnimationFrame(then));

export const isStale = () => state.problem !== null && Date.now() - state.freshAt > STALE_MS;

/* Why an action is not to be had now; null: it is. */
export function obstacle() {
	if (state.role === 'viewer') return 'viewer';
	return isStale() ? 'stale' : null;
}

function leave() {
	state.role = 'nobody';
	summaries?.stop();
	sections?.stop();
	redraw();
}

/* Every answer says something about whether the page is still true. */
function heard(problem) {
	if (problem?.status === 401) {
		leave();
		return;
	}
	if (!problem) state.freshAt = Date.now();
	if (!problem || problem.passing) state.problem = problem;
	redraw();
	/* What stands there becomes untrue between two answers; the next one may be far away. */
	if (problem) setTimeout(redraw, STALE_MS + 1 - (Date.now() - state.freshAt));
}

/* No answer is an answer, too: whoever looks need not wait for the time-out to learn it. */
function silent() {
	state.problem ??= new Problem(503);
	redraw();
}

async function loadSummary() {
	const patience = setTimeout(silent, STALE_MS);

	try {
		const answer = await request('GET', `${API}/summary`, { etag });

		if (answer.status === 200) {
			state.summary = answer.data;
			etag = answer.etag;
		}
		heard(null);
	} catch (problem) {
		heard(problem);
		throw problem;
	} finally {
		clearTimeout(patience);
	}
}

export const loadKey = () => {
	const { open: _open, lang: _lang, ...rest } = params();

	return JSON.stringify(rest);
};

/* What is large, or changes slowly, is not asked for as often. */
function isRecent(key, section) {
	const load = state.loads.get(key);

	return load?.data !== undefined && !forced && Date.now() - load.at < (section.every ?? 0);
}

/* Data of the same shape can be shown by the same view. */
export const shape = (section, { view }) => `${section.id} ${view ?? ''}`;

async function loadSection() {
	const key = loadKey();
	const { section } = state;

	if (isRecent(key, section)) return;
	forced = false;

	try {
		const data = await section.load(params());

		state.loads.clear();
		state.loads.set(key, { data, at: Date.now(), shape: shape(section, params()) });
		heard(null);
	} catch (problem) {
		if (!('status' in problem)) console.error(problem);
		if (!state.loads.get(key)?.data || !problem.passing) state.loads.set(key, { problem });
		heard(problem);
		throw problem;
	}
}

/* The words and who asks come side by side; nothing is drawn without both. */
export async function start(onDraw, words) {
	try {
		state.role = (await get('/api/v1/session')).data.role;
	} catch (problem) {
		if (problem.status === 401) state.role = 'nobody';
		else state.problem = problem;
	}
	await words;
	draw = onDraw;
	if (state.role !== 'nobody') follow();
	redraw();
}

export function follow() {
	summaries?.stop();
	sections?.stop();
	etag = null;
	summaries = live(loadSummary, { every: SUMMARY_MS });
	sections = live(loadSection, { every: SECTION_MS });
	summaries.now();
	sections.now();
}

/* After an action, or at another address: both at once. */
export function refresh() {
	forced = true;
	summaries?.now();
	return sections?.now();
}

export { leave };
