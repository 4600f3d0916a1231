/*
 * When a message has been read: it was on the screen for a second, of a page that
 * somebody looks at.  A page that only stands open, on a counter all day, has read
 * nothing that came by itself: somebody must have touched it since, moved something
 * or come back to it.  Loading is not reading, asking again is not, and a page that is
 * prefetched, or behind another, is not before anybody's eyes.
 */

import { sendRead } from './client.js';
import { state } from './state.js';

const A_MOMENT_MS = 1000;

let touched = 0; /* when somebody last did something; to open the page is the first of it */
const came = new Map(); /* message: when it came to this page; 0: with the page */
const inView = new Map(); /* message: since when it is on the screen */
const told = new Set();
let timer = null;

const observer = new IntersectionObserver(
	(entries) => {
		for (const { target, intersectionRatio, intersectionRect } of entries) {
			const id = target.dataset.unread;

			/* Half of it, or as much as fits. */
			if (id && (intersectionRatio >= 0.5 || intersectionRect.height > innerHeight / 3)) inView.set(id, inView.get(id) ?? performance.now());
			else inView.delete(target.$unread);
			target.$unread = id;
		}
		soon();
	},
	{ threshold: [0, 0.1, 0.25, 0.5] },
);
const observed = new Set();

function soon() {
	timer ??= setTimeout(judge, A_MOMENT_MS);
}

async function tell(id) {
	told.add(id);
	try {
		await sendRead(id.slice(1));
	} catch (problem) {
		/* What passes is tried again when somebody next looks; what is gone is not. */
		if (problem.passing) told.delete(id);
		else state.expelled(problem);
	}
}

function judge() {
	const now = performance.now();

	timer = null;
	if (document.visibilityState !== 'visible') return;
	for (const [id, since] of inView) {
		if (told.has(id) || touched < (came.get(id) ?? 0)) continue;
		if (now - since >= A_MOMENT_MS) tell(id);
		else soon();
	}
}

/* What has come; before the page is drawn. */
export function keepAnEye(data) {
	const now = state.data ? performance.now() : 0;

	for (const item of [...data.messages, ...data.others]) {
		for (const reply of item.replies) {
			if (reply.kind === 'own' || came.has(reply.id)) continue;
			came.set(reply.id, now);
			if (!reply.read) state.fresh.add(reply.id);
		}
	}
}

/* After it was drawn: what is to be read is watched. */
export function look() {
	for (const node of observed) {
		if (node.isConnected && node.dataset.unread) continue;
		observer.unobserve(node);
		observed.delete(node);
		inView.delete(node.$unread);
	}
	for (const node of document.querySelectorAll('[data-unread]')) {
		if (observed.has(node)) continue;
		observed.add(node);
		observer.observe(node);
	}
}

function touch() {
	touched = performance.now();
	if (inView.size > 0) soon();
}

for (const type of ['pointerdown', 'pointermove', 'keydown', 'wheel', 'touchmove']) addEventListener(type, touch, { passive: true, capture: true });
addEventListener('focus', touch);
document.addEventListener('visibilitychange', () => {
	if (document.visibilityState !== 'visible') return;
	for (const id of inView.keys()) inView.set(id, performance.now());
	touch();
});
