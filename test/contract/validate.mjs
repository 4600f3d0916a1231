/*
 * Validates documents against Meta's OpenAPI description.
 *
 *   node validate.mjs DESCRIPTION.yaml < documents
 *
 * Reads JSON lines {"schema": NAME, "document": …}.  Writes a JSON line for
 * each defect of overlay.mjs, {"defect": TEXT, "problem": TEXT or null}, and
 * then one for each document, {"problems": [TEXT…]}.
 *
 * OpenAPI 3.1 is JSON Schema 2020-12 with other places for definitions.
 * Schemas that have no name there get one here; of the headers of an answer
 * those are taken that a client acts upon.
 */
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { stdin } from 'node:process';

import Ajv2020 from 'ajv/dist/2020.js';
import { parse } from 'yaml';

import { defects } from './overlay.mjs';

const description = parse(readFileSync(process.argv[2], 'utf8'));
const schemas = description.components.schemas;

for (const { name, mend } of defects) {
    let problem = null;

    try {
        mend(schemas);
    } catch (error) {
        problem = error.message;
    }
    console.log(JSON.stringify({ defect: name, problem }));
}

const answer = (path, method) =>
    description.paths[path][method].responses['200'].content['application/json'].schema;

const definitions = {
    ...schemas,
    TemplateList: answer('/{Version}/{WABA-ID}/message_templates', 'get'),
    TemplateCreated: answer('/{Version}/{WABA-ID}/message_templates', 'post'),
    MediaUpload: answer('/{Version}/{Phone-Number-ID}/media', 'post'),
    AnswerHeaders: {
        type: 'object',
        required: ['facebook-api-version', 'x-fb-trace-id'],
        properties: { 'facebook-api-version': { pattern: '^v[0-9]+\\.[0-9]+$' }, 'x-fb-trace-id': { minLength: 1 } },
    },
};
const root = JSON.parse(JSON.stringify({ $id: 'https://example.org/graph-api', $defs: definitions })
    .replaceAll('"#/components/schemas/', '"#/$defs/'));

const ajv = new Ajv2020({ strict: false, allErrors: true, validateFormats: false });
ajv.addSchema(root);

for await (const line of createInterface({ input: stdin })) {
    const { schema, document } = JSON.parse(line);
    const validate = ajv.getSchema(`${root.$id}#/$defs/${schema}`);

    if (validate === undefined) {
        console.log(JSON.stringify({ problems: [`there is no schema ${schema}`] }));
        continue;
    }
    validate(document);
    console.log(JSON.stringify({
        problems: (validate.errors ?? []).map((e) => `${e.instancePath || '(all)'} ${e.message} ${JSON.stringify(e.params)}`),
    }));
}
