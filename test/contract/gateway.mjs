/*
 * Validates what a server sends and takes against its OpenAPI description.
 *
 *   node gateway.mjs DESCRIPTION.yaml < documents
 *
 * Writes a JSON line {"description": …, "problems": [TEXT…]}: the description with
 * its references to parameters, responses and headers replaced by what they name,
 * and what is wrong with it.  Then reads JSON lines {"schema": POINTER, "document": …},
 * where POINTER is where the schema stands in the description so resolved, and writes
 * for each {"problems": [TEXT…]}.
 */
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { stdin } from 'node:process';

import Ajv2020 from 'ajv/dist/2020.js';
import { parse } from 'yaml';

const METHODS = ['get', 'put', 'post', 'delete', 'patch'];
const source = parse(readFileSync(process.argv[2], 'utf8'));
const problems = [];
const used = new Set();

const at = (pointer) => pointer.slice(2).split('/')
    .map((name) => name.replaceAll('~1', '/').replaceAll('~0', '~'))
    .reduce((value, name) => value?.[name], source);

/* Schemas keep their references, which are the validator's matter. */
function resolve(value) {
    if (Array.isArray(value))
        return value.map(resolve);
    if (value === null || typeof value !== 'object')
        return value;
    if (typeof value.$ref === 'string') {
        used.add(value.$ref);
        if (at(value.$ref) === undefined) {
            problems.push(`${value.$ref} does not exist`);
            return {};
        }
        if (!value.$ref.startsWith('#/components/schemas/'))
            return resolve(at(value.$ref));
    }
    return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, resolve(member)]));
}

const description = { ...source, paths: resolve(source.paths) };
resolve(source.components);

const ID = 'https://example.org/description';
const ajv = new Ajv2020({
    strict: true, strictRequired: false, strictTypes: false, allowUnionTypes: true, allErrors: true,
    keywords: ['example'],
    formats: {
        'date-time': /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/,
        date: /^\d{4}-\d\d-\d\d$/,
        int64: { type: 'number', validate: (n) => Number.isInteger(n) },
    },
});
ajv.addVocabulary(['openapi', 'info', 'servers', 'paths', 'components', 'tags', 'security']);
ajv.addSchema({ $id: ID, ...JSON.parse(JSON.stringify(description)) });

function judge(pointer, document) {
    try {
        const validate = ajv.getSchema(ID + pointer);

        if (validate === undefined)
            return [`there is no schema ${pointer}`];
        validate(document);
        return (validate.errors ?? []).map((e) => `${e.instancePath || '(all)'} ${e.message} ${JSON.stringify(e.params)}`);
    } catch (error) {
        return [`${pointer}: ${error.message}`];
    }
}

/* The structure, as far as a mistake in it would go unnoticed below. */
const escaped = (text) => encodeURIComponent(text.replaceAll('~', '~0').replaceAll('/', '~1'));
const names = new Set();

function example(place, pointer, holder) {
    if ('example' in holder)
        problems.push(...judge(pointer, holder.example).map((text) => `example of ${place}: ${text}`));
}

function check(path, method, operation) {
    const place = `${method} ${path}`;
    const pointer = `#/paths/${escaped(path)}/${method}`;
    const parameters = operation.parameters ?? [];
    const inPath = [...path.matchAll(/\{(\w+)\}/g)].map((match) => match[1]);

    for (const member of ['operationId', 'summary', 'tags', 'security', 'responses'])
        if (operation[member] === undefined)
            problems.push(`${place} has no ${member}`);
    if (names.has(operation.operationId))
        problems.push(`${place}: ${operation.operationId} is taken`);
    names.add(operation.operationId);
    for (const tag of operation.tags ?? [])
        if (!source.tags.some((known) => known.name === tag))
            problems.push(`${place}: unknown tag ${tag}`);
    for (const scheme of (operation.security ?? []).flatMap(Object.keys))
        if (source.components.securitySchemes[scheme] === undefined)
            problems.push(`${place}: unknown security scheme ${scheme}`);
    if (inPath.join() !== parameters.filter((p) => p.in === 'path').map((p) => p.name).join())
        problems.push(`${place}: its path has other parameters`);
    parameters.forEach((p, i) => example(`${place}, ${p.name}`, `${pointer}/parameters/${i}/schema`, p));
    for (const [type, content] of Object.entries(operation.requestBody?.content ?? {}))
        example(`${place}, body`, `${pointer}/requestBody/content/${escaped(type)}/schema`, content);
    for (const [status, response] of Object.entries(operation.responses ?? {})) {
        if (typeof response.description !== 'string')
            problems.push(`${place} ${status} has no description`);
        for (const [type, content] of Object.entries(response.content ?? {}))
            example(`${place} ${status}`, `${pointer}/responses/${status}/content/${escaped(type)}/schema`, content);
    }
}

if (!/^3\.1\./.test(description.openapi))
    problems.push('it is not OpenAPI 3.1');
for (const [path, item] of Object.entries(description.paths))
    for (const [method, operation] of Object.entries(item))
        METHODS.includes(method) ? check(path, method, operation) : problems.push(`${path} has a ${method}`);
for (const kind of ['parameters', 'headers', 'responses', 'schemas'])
    for (const name of Object.keys(source.components[kind]))
        if (!used.has(`#/components/${kind}/${name}`))
            problems.push(`nothing uses #/components/${kind}/${name}`);

console.log(JSON.stringify({ description, problems }));
for await (const line of createInterface({ input: stdin })) {
    const { schema, document } = JSON.parse(line);

    console.log(JSON.stringify({ problems: judge(schema, document) }));
}
