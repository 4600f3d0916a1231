/*
 * What is wrong in Meta's description of its API, and how it is mended here.
 *
 * The description refuses Meta's own examples: it forbids members that it
 * requires elsewhere, lags behind what the service takes, and uses keywords
 * that JSON Schema does not know.  Each defect is mended in place, after a look
 * that the place still is as it was.  A newer description in which a defect has
 * gone, or moved, fails that look, so that no patch outlives its reason.
 */
import { isDeepStrictEqual } from 'node:util';

const reference = (name) => ({ $ref: `#/components/schemas/${name}` });

function same(actual, expected, place) {
    if (!isDeepStrictEqual(actual, expected)) {
        throw new Error(`${place} is ${JSON.stringify(actual)}, not ${JSON.stringify(expected)}`);
    }
}

/* The schema of a name, or what is below it; to be there is part of the look. */
function at(schemas, ...path) {
    let node = schemas;

    for (const [depth, step] of path.entries()) {
        node = node?.[step];
        if (node === undefined) {
            throw new Error(`${path.slice(0, depth + 1).join('.')} is not there`);
        }
    }
    return node;
}

function absent(node, key, place) {
    same(node[key], undefined, `${place}.${key}`);
}

function addProperties(schemas, path, properties) {
    const node = at(schemas, ...path, 'properties');

    for (const [name, schema] of Object.entries(properties)) {
        absent(node, name, path.join('.'));
        node[name] = schema;
    }
}

function dropRequired(schemas, path, ...names) {
    const node = at(schemas, ...path);

    for (const name of names) {
        if (!node.required?.includes(name)) {
            throw new Error(`${path.join('.')} does not require ${name}`);
        }
    }
    node.required = node.required.filter((name) => !names.includes(name));
}

function extendEnum(schemas, path, ...values) {
    const node = at(schemas, ...path);
    const known = at(node, 'enum');

    for (const value of values) {
        if (known.includes(value)) {
            throw new Error(`${path.join('.')} has ${value}`);
        }
        known.push(value);
    }
}

const messageTypes = ['Text', 'Audio', 'Document', 'Image', 'Location', 'Video', 'Sticker', 'Reaction',
    'Interactive', 'Contacts', 'Template'];

export const defects = [
    {
        name: 'each part of a message forbids the members of the other part',
        mend(schemas) {
            for (const type of messageTypes) {
                const schema = at(schemas, `${type}Message`);
                const own = at(schema, 'allOf', 1);

                same(schema.allOf[0], reference('BaseMessageProperties'), `${type}Message.allOf.0`);
                same(own.additionalProperties, type === 'Template' ? undefined : false,
                    `${type}Message.allOf.1.additionalProperties`);
                delete own.additionalProperties;
                /* Nothing that neither part knows, instead. */
                schema.unevaluatedProperties = false;
            }
        },
    },
    {
        name: 'recipient_type is required',
        mend: (schemas) => dropRequired(schemas, ['BaseMessageProperties'], 'recipient_type'),
    },
    {
        name: "a language's policy is required",
        mend: (schemas) => dropRequired(schemas, ['LanguageObject'], 'policy'),
    },
    {
        name: 'the index of a button cannot be 0 or 1',
        mend(schemas) {
            for (const path of [['TemplateComponent'], ['ButtonComponent', 'allOf', 1]]) {
                const index = at(schemas, ...path, 'properties', 'index');

                same(index.pattern, '^[2-6, 11-14]$', `${path.join('.')}.index.pattern`);
                index.pattern = '^[0-9]$';
            }
        },
    },
    {
        name: 'most kinds of buttons of a template are missing',
        mend(schemas) {
            for (const path of [['TemplateComponent'], ['ButtonComponent', 'allOf', 1]]) {
                extendEnum(schemas, [...path, 'properties', 'sub_type'],
                    'copy_code', 'flow', 'mpm', 'voice_call', 'order_details');
            }
        },
    },
    {
        name: 'link buttons and location requests are missing',
        mend(schemas) {
            extendEnum(schemas, ['InteractiveObject', 'properties', 'type'],
                'cta_url', 'location_request_message');
            at(schemas, 'ActionObject', 'oneOf').push(
                {
                    type: 'object',
                    required: ['name', 'parameters'],
                    properties: {
                        name: { enum: ['cta_url'] },
                        parameters: {
                            type: 'object',
                            required: ['display_text', 'url'],
                            properties: {
                                display_text: { type: 'string', maxLength: 20 },
                                url: { type: 'string', pattern: '^https?://' },
                            },
                        },
                    },
                },
                { type: 'object', required: ['name'], properties: { name: { enum: ['send_location'] } } });
        },
    },
    {
        name: 'coordinates must be strings',
        mend(schemas) {
            for (const name of ['latitude', 'longitude']) {
                const schema = at(schemas, 'LocationMessage', 'allOf', 1, 'properties', 'location', 'properties', name);

                same(schema.type, 'string', `the type of ${name}`);
                schema.type = ['number', 'string'];
            }
        },
    },
    {
        name: 'members common to all messages are missing',
        mend(schemas) {
            addProperties(schemas, ['BaseMessageProperties'], {
                biz_opaque_callback_data: { type: 'string', maxLength: 512 },
                recipient: { type: 'string', pattern: '^[A-Z]{2}\\.' },
                recipient_identity_key_hash: { type: 'string' },
                category: { enum: ['utility', 'authentication'] },
                message_send_ttl_seconds: { type: 'integer' },
            });
            dropRequired(schemas, ['BaseMessageProperties'], 'to');
            at(schemas, 'BaseMessageProperties').anyOf = [{ required: ['to'] }, { required: ['recipient'] }];
            addProperties(schemas, ['ParameterObject'], { parameter_name: { type: 'string', pattern: '^[a-z0-9_]+$' } });
        },
    },
    {
        name: 'the state of an ordinary number is missing',
        mend(schemas) {
            extendEnum(schemas, ['WhatsAppPhoneNumberStatus'], 'CONNECTED', 'DISCONNECTED', 'FLAGGED');
            extendEnum(schemas, ['WhatsAppCodeVerificationStatus'], 'NOT_VERIFIED', 'EXPIRED');
        },
    },
    {
        name: 'the messaging limit of a number bears its former name',
        mend(schemas) {
            addProperties(schemas, ['WhatsAppBusinessAccountPhoneNumber'], {
                whatsapp_business_manager_messaging_limit: { type: 'string', pattern: '^TIER_' },
            });
        },
    },
    {
        name: 'statuses lack played messages, our data, user ids and the type of pricing',
        mend(schemas) {
            extendEnum(schemas, ['Statuses', 'properties', 'status'], 'played');
            dropRequired(schemas, ['Statuses'], 'recipient_id');
            addProperties(schemas, ['Statuses'], {
                biz_opaque_callback_data: { type: 'string', maxLength: 512 },
                recipient_user_id: { type: 'string' },
            });
            addProperties(schemas, ['Pricing'], { type: { type: 'string' } });
        },
    },
    {
        name: 'components and parameters of templates are told apart by "discriminator" only',
        mend(schemas) {
            const oneOf = (...names) => ({ oneOf: names.map(reference) });
            const own = (name) => at(schemas, name, 'allOf', 1, 'properties', 'parameters');
            const components = at(schemas, 'TemplateObject', 'properties', 'components');

            same(components.items, reference('TemplateComponent'), 'TemplateObject.components.items');
            components.items = oneOf('HeaderComponent', 'BodyComponent', 'ButtonComponent');
            /* Nor are these two kinds there at all. */
            extendEnum(schemas, ['ParameterObject', 'properties', 'type'], 'location');
            extendEnum(schemas, ['ButtonParameterObject', 'properties', 'type'], 'coupon_code');
            schemas.LocationParameter = {
                allOf: [reference('ParameterObject'), {
                    required: ['location'],
                    properties: {
                        type: { enum: ['location'] },
                        location: at(schemas, 'LocationMessage', 'allOf', 1, 'properties', 'location'),
                    },
                }],
            };
            schemas.CouponParameter = {
                allOf: [reference('ButtonParameterObject'), {
                    required: ['coupon_code'],
                    properties: { type: { enum: ['coupon_code'] }, coupon_code: { type: 'string', maxLength: 15 } },
                }],
            };
            for (const name of ['HeaderComponent', 'BodyComponent']) {
                same(own(name).items, reference('ParameterObject'), `${name}.parameters.items`);
            }
            same(own('ButtonComponent').items, reference('ButtonParameterObject'), 'ButtonComponent.parameters.items');
            own('HeaderComponent').items = oneOf('TextParameter', 'ImageParameter', 'VideoParameter',
                'DocumentParameter', 'LocationParameter');
            own('BodyComponent').items = oneOf('TextParameter', 'CurrencyParameter', 'DateTimeParameter');
            own('ButtonComponent').items = oneOf('ButtonPayloadParameter', 'ButtonTextParameter', 'CouponParameter');
        },
    },
    {
        name: 'offers, carousels, tap targets, products and what buttons open are missing',
        mend(schemas) {
            const named = (base, type, schema) => ({
                allOf: [reference(base), {
                    required: [type],
                    properties: { type: { enum: [type] }, [type]: schema },
                }],
            });
            /* A component with one parameter of its own name. */
            const alone = (type, schema) => ({
                type: 'object',
                required: ['type', 'parameters'],
                additionalProperties: false,
                properties: {
                    type: { enum: [type] },
                    parameters: {
                        type: 'array',
                        minItems: 1,
                        maxItems: 1,
                        items: {
                            type: 'object',
                            required: ['type', type],
                            additionalProperties: false,
                            properties: { type: { enum: [type] }, [type]: schema },
                        },
                    },
                },
            });
            const text = { type: 'string', minLength: 1 };
            const object = (properties, ...required) => ({ type: 'object', additionalProperties: false, required, properties });
            const parts = ['HeaderComponent', 'BodyComponent', 'ButtonComponent'].map(reference);
            const own = (name) => at(schemas, name, 'allOf', 1, 'properties', 'parameters', 'items', 'oneOf');

            extendEnum(schemas, ['ParameterObject', 'properties', 'type'], 'product');
            extendEnum(schemas, ['ButtonParameterObject', 'properties', 'type'], 'action');
            schemas.ProductParameter = named('ParameterObject', 'product',
                object({ catalog_id: { type: 'string', pattern: '^[0-9]+$' }, product_retailer_id: text },
                    'catalog_id', 'product_retailer_id'));
            schemas.ActionParameter = named('ButtonParameterObject', 'action', object({
                flow_token: text,
                flow_action_data: { type: 'object' },
                thumbnail_product_retailer_id: text,
                sections: {
                    type: 'array',
                    minItems: 1,
                    maxItems: 10,
                    items: object({
                        title: { type: 'string', minLength: 1, maxLength: 24 },
                        product_items: { type: 'array', minItems: 1, items: object({ product_retailer_id: text }, 'product_retailer_id') },
                    }, 'title', 'product_items'),
                },
            }));
            own('HeaderComponent').push(reference('ProductParameter'));
            own('ButtonComponent').push(reference('ActionParameter'));
            schemas.OfferComponent = alone('limited_time_offer',
                object({ expiration_time_ms: { type: 'integer', minimum: 1e12 } }, 'expiration_time_ms'));
            schemas.TapTargetComponent = alone('tap_target_configuration', {
                type: 'array',
                minItems: 1,
                maxItems: 1,
                items: object({ url: { type: 'string', pattern: '^https?://' }, title: text }, 'url', 'title'),
            });
            schemas.CarouselComponent = object({
                type: { enum: ['carousel'] },
                cards: {
                    type: 'array',
                    minItems: 2,
                    maxItems: 10,
                    items: object({
                        card_index: { type: 'integer', minimum: 0, maximum: 9 },
                        components: { type: 'array', items: { oneOf: parts } },
                    }, 'card_index', 'components'),
                },
            }, 'type', 'cards');
            at(schemas, 'TemplateObject', 'properties', 'components', 'items', 'oneOf')
                .push(...['OfferComponent', 'TapTargetComponent', 'CarouselComponent'].map(reference));
        },
    },
];
