/*
 * extras.h
 *	  What only some templates take: a time at which an offer ends, what a tap opens,
 *	  flows, catalogues and products.
 */
#ifndef WA_TEMPLATE_EXTRAS_H
#define WA_TEMPLATE_EXTRAS_H

#include "compat.h"
#include "template/template.h"

/* The form of "parameters" is wrong. */
pg_noreturn extern void wa_template_invalid(const char *fmt, ...) pg_attribute_printf(1, 2);

/* "limited_time_offer" and "tap_target", if they are there. */
extern void wa_template_extras_read(WaTemplateValues *values, const JsonbValue *root);

/* The object of a header that shows a product. */
extern JsonbValue *wa_template_product_read(JsonbValue *given);

/*
 * Reads key and action of a button from an object that has one of their members; else
 * leaves both as they are.
 */
extern void wa_template_action_read(WaTemplateButtonValue *out, JsonbValue *given);

/* The action of a flow or a catalogue for which a text was given; NULL: nothing was. */
extern JsonbValue *wa_template_action_of_text(WaButtonKind kind, const char *text);

#endif
