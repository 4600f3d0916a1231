/*
 * template_form.h
 *	  What a template wants from a message, and the built-in ones.
 */
#ifndef SIM_TEMPLATE_FORM_H
#define SIM_TEMPLATE_FORM_H

#include "bin/simulator/registry.h"

/*
 * Reads a template as the listing shows it; keeps a reference to node.  NULL
 * and a reason if its components make no sense.
 */
extern SimTemplate *sim_template_read(json_t *node, char *error, size_t size);
extern void sim_template_free(SimTemplate *template);

/* The text of a button, or NULL if there is none. */
extern const char *sim_template_button_text(const SimTemplate *template, int index);

/* {"templates": [...]}; the caller owns the reference. */
extern json_t *sim_template_defaults(void);

#endif
