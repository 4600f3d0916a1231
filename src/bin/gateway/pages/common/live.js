/*
 * Repeats a request while somebody looks.  A hidden tab asks nothing, and asks at
 * once when it is seen again.  Failures are repeated with growing distance, which
 * is what lets a database come back without every open page falling upon it.
 */

const LONGEST_MS = 10000;

export function live(task, { every }) {
	let timer = null;
	let running = null;
	let again = null;
	let failures = 0;
	let stopped = false;

	/* Spread, for a hundred pages that were opened by the same morning. */
	const pause = () => Math.min(every * 2 ** failures, LONGEST_MS) * (0.9 + Math.random() / 5);

	async function turn() {
		clearTimeout(timer);
		timer = null;
		/* What is under way may know nothing yet of why we are asked: once more after it. */
		if (running) return (again ??= running.then(turn));
		again = null;
		running = task()
			.then(
				() => (failures = 0),
				() => (failures = Math.min(failures + 1, 8)),
			)
			.finally(() => (running = null));
		await running;
		if (!stopped && !document.hidden && !again && timer === null) timer = setTimeout(turn, pause());
		return undefined;
	}

	function seen() {
		if (document.hidden) clearTimeout(timer);
		else turn();
	}

	document.addEventListener('visibilitychange', seen);
	addEventListener('online', seen);
	return {
		now: turn,
		stop() {
			stopped = true;
			clearTimeout(timer);
			document.removeEventListener('visibilitychange', seen);
			removeEventListener('online', seen);
		},
	};
}
