/* Numbers, times, money and phone numbers in the reader's format. */

import { locale } from './i18n.js';

const cache = new Map();

function formatter(kind, options) {
	const key = `${kind.name} ${locale} ${JSON.stringify(options)}`;

	if (!cache.has(key)) cache.set(key, new kind(locale, options));
	return cache.get(key);
}

export const number = (n) => (n === null || n === undefined ? '–' : formatter(Intl.NumberFormat, {}).format(n));

export const percent = (part) => formatter(Intl.NumberFormat, { style: 'percent' }).format(part);

/* Prices of a message are fractions of a cent: two more digits below one unit. */
export function money(amount, currency) {
	if (amount === null || amount === undefined || !currency) return '–';
	return formatter(Intl.NumberFormat, {
		style: 'currency',
		currency,
		maximumFractionDigits: amount !== 0 && Math.abs(amount) < 1 ? 4 : 2,
	}).format(amount);
}

export const exact = (at) =>
	formatter(Intl.DateTimeFormat, { dateStyle: 'medium', timeStyle: 'medium' }).format(new Date(at));

export const clock = (at) => formatter(Intl.DateTimeFormat, { timeStyle: 'medium' }).format(new Date(at));

export const day = (at) => formatter(Intl.DateTimeFormat, { weekday: 'long', day: 'numeric', month: 'long' }).format(new Date(at));

export const date = (at) => formatter(Intl.DateTimeFormat, { dateStyle: 'medium' }).format(new Date(at));

export const month = (at) => formatter(Intl.DateTimeFormat, { month: 'long', year: 'numeric' }).format(new Date(at));

/* "tomorrow at 10:32" where a whole date would be noise. */
export const soon = (at) =>
	formatter(Intl.DateTimeFormat, { weekday: 'long', hour: 'numeric', minute: '2-digit' }).format(new Date(at));

const UNITS = [
	['year', 31536000],
	['month', 2592000],
	['day', 86400],
	['hour', 3600],
	['minute', 60],
	['second', 1],
];

const unitOf = (seconds) => UNITS.find(([, size]) => Math.abs(seconds) >= size) ?? UNITS.at(-1);

export function relative(at, now = Date.now()) {
	const seconds = (new Date(at) - now) / 1000;
	const [unit, size] = unitOf(seconds);

	return formatter(Intl.RelativeTimeFormat, { numeric: 'auto', style: 'short' }).format(Math.round(seconds / size), unit);
}

export function duration(seconds) {
	if (seconds === null || seconds === undefined) return '–';
	const [unit, size] = unitOf(seconds);

	return formatter(Intl.NumberFormat, { style: 'unit', unit, unitDisplay: 'short' }).format(Math.floor(seconds / size));
}

const TWO_DIGITS = /^(2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58])/;

/* +34600111222 becomes +34 600 111 222; a number that Meta has grouped stays so. */
export function phone(text) {
	const digits = /^\+?(\d{7,15})$/.exec(text ?? '')?.[1];

	if (!digits) return text ?? '';
	const code = /^[17]/.test(digits) ? 1 : TWO_DIGITS.test(digits) ? 2 : 3;

	/* Groups of three; the last takes what is left over. */
	return `+${digits.slice(0, code)} ${digits.slice(code).replace(/(\d{3})(?=\d{3})/g, '$1 ')}`;
}
