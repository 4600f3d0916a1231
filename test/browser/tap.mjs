/* The Test Anything Protocol. */

let tests = 0;
let failures = 0;

export function ok(condition, name, detail = '') {
	tests += 1;
	if (!condition) failures += 1;
	console.log(`${condition ? 'ok' : 'not ok'} ${tests} - ${name.replaceAll('#', '\\#')}`);
	if (!condition && detail !== '') console.log(String(detail).replace(/^/gm, '# '));
	return condition;
}

export const is = (got, wanted, name) => ok(got === wanted, name, `     got: ${got}\nexpected: ${wanted}`);
export const like = (got, pattern, name) => ok(pattern.test(got), name, `     got: ${got}\nexpected: ${pattern}`);

export const count = () => tests;

export function finish() {
	console.log(`1..${tests}`);
	process.exit(failures > 0 ? 1 : 0);
}
