/*
 * Small charts.  Each says in words, for whoever does not see it, what it shows:
 * the value now, the range, and since when.
 */

import { h } from '../common/h.js';
import { t } from '../common/i18n.js';
import { clock, duration, number } from '../common/format.js';

const WIDTH = 300;
const HEIGHT = 56;
const KEPT_MS = 600000;
const STORED = 'wa-samples';

/* Depth and age have no history in the database: the page keeps what it has seen. */
let samples = [];

try {
	samples = JSON.parse(sessionStorage.getItem(STORED) ?? '[]').filter((s) => Date.now() - s.at < KEPT_MS);
} catch {
	/* then they begin now */
}

const waiting = (queue) => queue.ready + queue.leased + queue.deferred + queue.held + queue.paused;

const age = (queue) =>
	queue.oldest_at ? Math.max(0, (Date.now() - new Date(queue.oldest_at)) / 1000) : queue.oldest_seconds ?? 0;

export function sample(summary) {
	const at = Date.now();

	if (samples.length > 0 && at - samples.at(-1).at < 1500) return;
	samples = [...samples.filter((s) => at - s.at < KEPT_MS), { at, depth: waiting(summary.queue), age: age(summary.queue) }];
	try {
		sessionStorage.setItem(STORED, JSON.stringify(samples));
	} catch {
		/* full or forbidden: the chart begins anew after a reload */
	}
}

const figure = (title, value, description, ...shapes) =>
	h('figure', { class: 'chart' },
		h('figcaption', null, h('span', { class: 'muted small' }, title), h('strong', { class: 'tabular', translate: 'no' }, value)),
		h('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', role: 'img', 'aria-label': description }, ...shapes),
		h('p', { class: 'muted small', 'aria-hidden': 'true' }, description));

const baseline = () => h('line', { class: 'axis', x1: 0, x2: WIDTH, y1: HEIGHT - 0.5, y2: HEIGHT - 0.5 });

function line(name, format) {
	const values = samples.map((s) => s[name]);
	const top = Math.max(1, ...values) * 1.1;
	/* As wide as what was seen, from half a minute on. */
	const end = Date.now();
	const span = Math.max(30000, end - (samples[0]?.at ?? end));
	const points = samples.map((s, i) =>
		`${Math.max(0, (1 - (end - s.at) / span) * WIDTH).toFixed(1)},${(HEIGHT - 1 - (values[i] / top) * (HEIGHT - 4)).toFixed(1)}`);
	const now = values.at(-1) ?? 0;
	const [low, high] = [format(Math.min(...values, now)), format(Math.max(...values, now))];
	const said = t(low === high ? 'chart.steady' : 'chart.range', { low, high, since: clock(samples[0]?.at ?? Date.now()) });

	return figure(t(`chart.${name}`), format(now), said, baseline(), h('polyline', { class: 'line', points: points.join(' ') }));
}

function bars(rate) {
	const top = Math.max(1, ...rate.map((m) => m.sent + m.failed));
	const step = WIDTH / rate.length;
	const path = (from, to) => rate.map((m, i) => {
		const low = (from(m) / top) * (HEIGHT - 4);
		const high = (to(m) / top) * (HEIGHT - 4);

		return high > low ? `M${(i * step + 0.5).toFixed(1)} ${(HEIGHT - 1 - low).toFixed(1)}V${(HEIGHT - 1 - high).toFixed(1)}h${(step - 1).toFixed(1)}V${(HEIGHT - 1 - low).toFixed(1)}z` : '';
	}).join('');
	/* The last minute is not over: the one before it is the rate. */
	const now = rate.at(-2)?.sent ?? 0;
	const failed = rate.reduce((sum, m) => sum + m.failed, 0);

	const total = rate.reduce((sum, m) => sum + m.sent, 0);
	const said = total + failed === 0 ? t('chart.idle') : t('chart.minutes', { high: Math.max(...rate.map((m) => m.sent)), total, failed });

	return figure(t('chart.rate'), number(now), said, baseline(),
		h('path', { class: 'sent', d: path(() => 0, (m) => m.sent) }),
		h('path', { class: 'failed', d: path((m) => m.sent, (m) => m.sent + m.failed) }));
}

export const charts = (summary) =>
	h('div', { class: 'charts' }, line('depth', number), line('age', duration), bars(summary.rate ?? []));
