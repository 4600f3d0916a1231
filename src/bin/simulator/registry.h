/*
 * registry.h
 *	  The account being played: its phone numbers and message templates.
 */
#ifndef SIM_REGISTRY_H
#define SIM_REGISTRY_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "bin/simulator/template_form.h"

/* How often a number may be registered and deregistered in 72 hours. */
#define SIM_MAX_CHANGES 10

typedef struct SimNumber
{
	char *id;
	char *digits; /* only the digits of display_phone_number */
	json_t *node; /* every field a client can ask for */
	bool listed;  /* false: known only because any number is accepted */
	bool removed; /* removed; kept because others may still point to it */

	/* the last sends, a ring as long as the rate (send_limits.c) */
	int64_t *sends;
	int64_t ring_size;
	int64_t ring_next;

	/* number_setup.c's own */
	bool code_requested;
	char pin[7];					  /* "": never registered here */
	int64_t changes[SIM_MAX_CHANGES]; /* when it was registered or deregistered, a ring */
	int n_changes;
} SimNumber;

/* The built-in numbers and templates. */
extern void sim_registry_init(void);
extern void sim_registry_free(void);

/*
 * Merges "numbers", "templates" and "users" of a configuration document: an element
 * with a known id (numbers) or name and language (templates) changes the
 * members it names, "removed": true removes it, anything else is added.  If an
 * element is invalid, returns false with the reason in error; the elements
 * before it have been merged.
 */
extern bool sim_registry_merge(const json_t *doc, char *error, size_t size);

/* NULL if the account has no such number (and not any number is accepted). */
extern SimNumber *sim_registry_number(const char *id);

/* NULL if there is none; *name_known says if another language exists. */
extern SimTemplate *sim_registry_template(const char *name, const char *language, bool *name_known);
extern SimTemplate *sim_registry_template_by_id(const char *id);

/* In listing order. */
extern int sim_registry_number_count(void);
extern SimNumber *sim_registry_number_at(int i);
extern int sim_registry_template_count(void);
extern SimTemplate *sim_registry_template_at(int i);

#endif
