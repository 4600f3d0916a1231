/*
 * template_form.h
 *	  What a template requires of a message, and the built-in templates.
 */
#ifndef SIM_TEMPLATE_FORM_H
#define SIM_TEMPLATE_FORM_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define SIM_MAX_PARAMETERS 64
#define SIM_MAX_BUTTONS 10

typedef enum SimHeaderFormat
{
	SIM_HEADER_NONE,
	SIM_HEADER_TEXT,
	SIM_HEADER_IMAGE,
	SIM_HEADER_VIDEO,
	SIM_HEADER_GIF,
	SIM_HEADER_DOCUMENT,
	SIM_HEADER_LOCATION,
	SIM_HEADER_PRODUCT
} SimHeaderFormat;

#define SIM_MAX_CARDS 10

typedef enum SimButtonKind
{
	SIM_BUTTON_QUICK_REPLY, /* parameter optional */
	SIM_BUTTON_URL,			/* parameter if the address has a variable */
	SIM_BUTTON_COPY_CODE,	/* coupon code */
	SIM_BUTTON_FLOW,		/* its component is required, its parameter is not */
	SIM_BUTTON_CATALOG,		/* thumbnail optional */
	SIM_BUTTON_PRODUCTS,	/* several products, in sections */
	SIM_BUTTON_ORDER,		/* an order to pay */
	SIM_BUTTON_OTHER		/* not checked */
} SimButtonKind;

/* What a template, or a card of its carousel, takes. */
typedef struct SimForm
{
	SimHeaderFormat header;
	int header_parameters;
	const char *body_text; /* points into the node; NULL: none */
	int body_parameters;
	char *parameter_names[SIM_MAX_PARAMETERS]; /* owned; of the body, if named */
	int nbuttons;
	struct
	{
		SimButtonKind kind;
		bool needs_parameter;
	} buttons[SIM_MAX_BUTTONS];
} SimForm;

typedef struct SimTemplate
{
	json_t *node;
	const char *name; /* these point into node */
	const char *language;
	const char *status;
	const char *category;
	bool named;
	SimForm form;
	bool body_only;		/* nothing but a body: it may be longer */
	bool offer_expires; /* each message must say when */
	int ncards;
	SimForm *cards; /* owned */
} SimTemplate;

/*
 * Reads a template as the listing shows it; keeps a reference to node.  NULL,
 * with the reason in error, if its components are invalid.
 */
extern SimTemplate *sim_template_read(json_t *node, char *error, size_t size);
extern void sim_template_free(SimTemplate *template);

/* The text of a button, or NULL if there is none. */
extern const char *sim_template_button_text(const SimTemplate *template, int index);

/* {"templates": [...]}; the caller owns the reference. */
extern json_t *sim_template_defaults(void);

#endif
