/*
 * template.h
 *	  Message templates: what one takes, what a caller gives, and the object
 *	  that Meta receives.
 */
#ifndef WA_TEMPLATE_TEMPLATE_H
#define WA_TEMPLATE_TEMPLATE_H

#include "utils/jsonb.h"
#include "utils/snapshot.h"

#include "base/jsonb.h"

/* Meta's limits (Cloud API, template components); in characters. */
#define WA_MAX_TEMPLATE_NAME 512
#define WA_MAX_BODY_TEXT 1024
#define WA_MAX_ONLY_BODY_TEXT 32768 /* of a template that has nothing else */
#define WA_MAX_HEADER_TEXT 60
#define WA_MAX_COUPON_CODE 15
#define WA_MAX_PASSWORD 15 /* of an authentication template */
#define WA_MAX_TEMPLATE_URL 2000
#define WA_MAX_TEMPLATE_BUTTONS 10
#define WA_MAX_CARDS 10
#define WA_MIN_CARDS 2

/* Our own: Meta publishes no limit; longer ones are surely a mistake. */
#define WA_MAX_BUTTON_PAYLOAD 256

/* ---- what a template takes (template/shape.c) ---- */

typedef enum WaHeaderKind
{
	WA_HEADER_NONE,
	WA_HEADER_TEXT,
	WA_HEADER_IMAGE,
	WA_HEADER_VIDEO,
	WA_HEADER_GIF,
	WA_HEADER_DOCUMENT,
	WA_HEADER_LOCATION,
	WA_HEADER_PRODUCT
} WaHeaderKind;

typedef enum WaButtonKind
{
	WA_BUTTON_QUICK_REPLY, /* payload, optional */
	WA_BUTTON_URL,		   /* suffix, if its URL ends in a placeholder */
	WA_BUTTON_COPY_CODE,   /* coupon code */
	WA_BUTTON_OTP,		   /* the code, also in the body */
	WA_BUTTON_FLOW,		   /* a token and data, optional; but its component must be there */
	WA_BUTTON_CATALOG,	   /* the product that is shown */
	WA_BUTTON_PRODUCTS,	   /* the same, and sections of products: Meta's MPM */
	WA_BUTTON_PLAIN,	   /* nothing */
	WA_BUTTON_OTHER		   /* parameters as Meta defines them, optional */
} WaButtonKind;

/* A text with placeholders; names are "1", "2", … or words. */
typedef struct WaTemplateText
{
	const char *text;
	int nparams;
	const char **params;
} WaTemplateText;

typedef struct WaTemplateButton
{
	WaButtonKind kind;
	const char *type;	  /* in Meta's word */
	const char *sub_type; /* the word in a message */
	const char *url;	  /* of WA_BUTTON_URL */
	bool wants_value;
} WaTemplateButton;

typedef struct WaTemplateSpec
{
	const char *name;
	const char *language;
	const char *category;
	const char *status;
	bool named;		  /* parameters have names */
	bool missing;	  /* Meta no longer lists it */
	bool body_only;	  /* has no other component */
	bool has_offer;	  /* is a limited-time offer, ... */
	bool offer_ends;  /* ... and shows when that ends */
	const char *card; /* this is not the template, but its "card 0", ...; else NULL */
	int ncards;		  /* of its carousel */
	struct WaTemplateSpec *cards;
	WaHeaderKind header_kind;
	WaTemplateText header;
	WaTemplateText body;
	int nbuttons;
	WaTemplateButton buttons[WA_MAX_TEMPLATE_BUTTONS];
} WaTemplateSpec;

/* Fills header, body and buttons from components as Meta lists them. */
extern void wa_template_spec_read(WaTemplateSpec *spec, Jsonb *components);

/* What it takes, in words, for the DETAIL of errors. */
extern char *wa_template_spec_describe(const WaTemplateSpec *spec);

extern const char *wa_header_kind_name(WaHeaderKind kind);

/* ---- what a caller gives (template/values.c) ---- */

/* One value; "typed" is a currency or date_time object, then text its fallback. */
typedef struct WaTemplateValue
{
	const char *name; /* NULL: by position */
	const char *text;
	const char *typed_as; /* "currency", "date_time", or NULL */
	JsonbValue *typed;
} WaTemplateValue;

typedef struct WaTemplateButtonValue
{
	int index;
	const char *sub_type; /* NULL: the template tells */
	const char *key;	  /* "payload", "text", "coupon_code" …; NULL: the template tells */
	const char *text;
	JsonbValue *action;		/* instead of text: what a flow, a catalogue or products take */
	JsonbValue *parameters; /* as given, instead of either */
} WaTemplateButtonValue;

typedef struct WaTemplateValues
{
	WaHeaderKind header_kind;
	WaTemplateValue header;	  /* of WA_HEADER_TEXT */
	JsonbValue *header_media; /* of the other kinds: its object */
	int64 header_file;		  /* row of whatsapp_media that stands for its id, or 0 */
	bool body_given;
	bool body_named;
	int nbody;
	WaTemplateValue *body;
	int nbuttons;
	WaTemplateButtonValue *buttons;
	bool offer_given;
	int64 offer_ends_ms;   /* since 1970 */
	const char *tap_title; /* what a tap on the message opens; NULL: nothing was given */
	const char *tap_url;
	bool cards_given;
	int ncards;
	struct WaTemplateValues *cards;
	JsonbValue *components; /* as given, instead of all the above */
} WaTemplateValues;

extern void wa_template_values_read(WaTemplateValues *values, Jsonb *parameters);

/* Whether a member of this name, of an object of parts, is a part and no named value. */
extern bool wa_template_is_part(const char *name);

/* ---- both together ---- */

/*
 * Raises an error unless the values are what the template takes, and fills in
 * what follows from it (template/check.c).
 */
extern void wa_template_check(const WaTemplateSpec *spec, WaTemplateValues *values);

/* The same as far as possible without knowing the template. */
extern void wa_template_check_blind(WaTemplateValues *values);

/* The object that Meta receives under the key "template" (template/build.c). */
extern Jsonb *wa_template_build(const char *name, const char *language,
								const WaTemplateValues *values);

/* While there is one on the stack, errors say that they concern this card. */
typedef struct WaTemplateCardContext
{
	ErrorContextCallback callback;
	int card;
} WaTemplateCardContext;

extern void wa_template_card_begin(WaTemplateCardContext *context, int card);
extern void wa_template_card_end(WaTemplateCardContext *context);

/* ---- the registry (template/registry.c) ---- */

/*
 * The template, checked to be usable.  NULL if the registry has never been
 * filled.  "tell" says whether to raise the NOTICE about that, or about a
 * template that is paused.
 */
extern const WaTemplateSpec *wa_template_find(Oid schema, const char *name, const char *language,
											  Snapshot snapshot, bool tell);

#endif
