/* The beginning: words first, then who asks, then the page. */

import { update } from '../common/h.js';
import { choose, load } from '../common/i18n.js';
import { watch } from './address.js';
import { state, start, afterDraw, redraw, refresh, loadKey } from './state.js';
import { forget } from './act.js';
import { shell, title } from './shell.js';
import { signIn } from './sign_in.js';
import { sectionOf } from './sections.js';

const app = document.getElementById('app');
let shown = null;

function draw() {
	update(app, state.role === 'nobody' ? signIn() : shell());
	document.title = title();
}

/* A new section begins at its top, and a reader of the screen hears its name. */
function moved(before, now) {
	const from = state.section;

	state.section = sectionOf(now);
	if (from !== state.section) {
		forget();
		redraw();
		afterDraw(() => {
			scrollTo(0, 0);
			document.querySelector('h1')?.focus();
		});
	}
	if (shown !== loadKey()) {
		shown = loadKey();
		refresh();
	}
	redraw();
}

state.section = sectionOf();
shown = loadKey();
watch(moved);
await start(draw, load(choose('en'), '/app/assets/common/', '/app/assets/admin/'));
