/*
 * Words.  Each page has one catalogue per language, xx.json, beside this
 * folder's own; a string is {name} with what is put in, and an object of plural
 * forms where a count decides ("one", "other": Intl.PluralRules).
 *
 * The language is that of the link (?lang=es), else the one chosen before, else
 * the browser's.
 */

export const LANGUAGES = ['en', 'es'];
const STORED = 'wa-language';

let strings = {};
let plural = new Intl.PluralRules('en');

export let language = 'en';
/* The reader's own format where it is one of his language: es-MX, not es-ES. */
export let locale = 'en';

function stored() {
	try {
		return localStorage.getItem(STORED);
	} catch {
		return null; /* storage is forbidden in some frames */
	}
}

export function choose(preferred) {
	const wanted = [new URLSearchParams(location.search).get('lang'), stored(), ...navigator.languages, preferred];
	const known = wanted.filter(Boolean).map((tag) => tag.slice(0, 2).toLowerCase());

	return known.find((tag) => LANGUAGES.includes(tag)) ?? preferred;
}

export function remember(tag) {
	try {
		localStorage.setItem(STORED, tag);
	} catch {
		/* then it holds for this visit */
	}
}

/* Loads the catalogues of these folders' addresses and makes the document speak. */
export async function load(tag, ...folders) {
	const parts = await Promise.all(folders.map(async (folder) => (await fetch(`${folder}${tag}.json`)).json()));

	strings = Object.assign({}, ...parts);
	language = tag;
	locale = navigator.languages.find((l) => l.toLowerCase().startsWith(tag)) ?? tag;
	plural = new Intl.PluralRules(locale);
	document.documentElement.lang = tag;
}

const fill = (text, values) =>
	text.replace(/\{(\w+)\}/g, (whole, name) => {
		const value = values[name];

		return typeof value === 'number' ? new Intl.NumberFormat(locale).format(value) : value ?? whole;
	});

/* values.n decides the plural form. */
export function t(key, values = {}) {
	let text = strings[key];

	if (text === undefined) return key;
	if (typeof text === 'object') {
		const n = values.n ?? 0;

		text = text[n] ?? text[plural.select(n)] ?? text.other;
	}
	return fill(text, values);
}

/* For what the database may name and the catalogue may not know. */
export const has = (key) => key in strings;
export const tr = (prefix, code) => (has(`${prefix}.${code}`) ? t(`${prefix}.${code}`) : String(code ?? ''));
