/*
 * Elements, and how those on screen are brought up to date.
 *
 * A view is a function from data to elements.  patch() makes the document like a
 * new view and touches only what differs, so that the focus, a selection, the
 * scroll position and what was typed survive an update every few seconds.
 */

const SVG = 'http://www.w3.org/2000/svg';
const SHAPES = new Set(['svg', 'path', 'line', 'rect', 'circle', 'g', 'polyline', 'text', 'title']);

/* One listener for all, which asks the element: patch() exchanges functions only. */
const relay = (event) => event.currentTarget.$on[event.type]?.(event);

function listen(node, handlers) {
	for (const type of Object.keys(handlers)) {
		if (!(type in node.$on)) node.addEventListener(type, relay);
	}
	node.$on = handlers;
}

/* What a person can change is a property; all else is an attribute. */
const PROPERTIES = new Set(['value', 'checked', 'indeterminate']);

export function h(tag, props, ...children) {
	const node = SHAPES.has(tag) ? document.createElementNS(SVG, tag) : document.createElement(tag);
	const handlers = {};

	node.$on = {};
	node.$props = {};
	for (const [name, value] of Object.entries(props ?? {})) {
		if (value === undefined || value === null || value === false) continue;
		if (name === 'key') node.$key = String(value);
		else if (name.startsWith('on')) handlers[name.slice(2)] = value;
		else if (PROPERTIES.has(name)) node.$props[name] = value;
		else if (name === 'style') Object.entries(value).forEach(([k, v]) => node.style.setProperty(k, v));
		else node.setAttribute(name, value === true ? '' : value);
	}
	listen(node, handlers);
	node.append(...flat(children));
	Object.assign(node, node.$props); /* a select knows its options only now */
	return node;
}

export function flat(children) {
	return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false && child !== '');
}

const same = (a, b) => a.nodeName === b.nodeName && a.$key === b.$key;

function patchAttributes(old, fresh) {
	for (const { name } of [...old.attributes]) {
		if (!fresh.hasAttribute(name)) old.removeAttribute(name);
	}
	for (const { name, value } of fresh.attributes) {
		if (old.getAttribute(name) === value) continue;
		/* Setting the attribute itself is what the policy forbids; its properties are free. */
		if (name === 'style') old.style.cssText = fresh.style.cssText;
		else old.setAttribute(name, value);
	}
}

function patch(old, fresh) {
	if (old.nodeType === Node.TEXT_NODE) {
		if (old.data !== fresh.data) old.data = fresh.data;
		return;
	}
	patchAttributes(old, fresh);
	if (old.$on) listen(old, fresh.$on);
	update(old, [...fresh.childNodes]);
	/* What somebody is typing into is his. */
	if (old !== document.activeElement) {
		for (const [name, value] of Object.entries(fresh.$props ?? {})) {
			if (old[name] !== value) old[name] = value;
		}
	}
	old.$props = fresh.$props;
}

/* Makes the children of the parent like these. */
export function update(parent, ...children) {
	const wanted = flat(children).map((c) => (c instanceof Node ? c : document.createTextNode(c)));
	const keyed = new Map();
	let next = parent.firstChild;

	for (let node = next; node; node = node.nextSibling) {
		if (node.$key !== undefined) keyed.set(node.$key, node);
	}
	for (const fresh of wanted) {
		let old = fresh.$key === undefined ? next : keyed.get(fresh.$key);

		if (old && same(old, fresh)) {
			if (old === next) next = next.nextSibling;
			else parent.insertBefore(old, next);
			patch(old, fresh);
		} else {
			parent.insertBefore(fresh, next);
			/* An element that takes the place of another of no key or of a gone one. */
			if (next && next.$key === undefined && fresh.$key === undefined) {
				old = next;
				next = next.nextSibling;
				old.remove();
			}
		}
	}
	while (next) {
		const gone = next;

		next = next.nextSibling;
		gone.remove();
	}
}
