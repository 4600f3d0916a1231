/*
 * user.h
 *	  The people at the other end: the forms of a number, the IDs and the name
 *	  that one of them has, and whether the number is hidden.
 *
 * Whoever is not configured has the number that was written to, an ID made
 * from it, and hides nothing.
 */
#ifndef SIM_USER_H
#define SIM_USER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define SIM_USER_ID_SIZE 160

/* A user as webhooks show one.  The texts are valid until users are changed. */
typedef struct SimFace
{
	const char *number; /* digits as WhatsApp has them, hidden or not; NULL: unknown */
	const char *wa_id;	/* what webhooks show in its place; NULL: nothing */
	char user_id[SIM_USER_ID_SIZE];
	const char *parent_user_id; /* or NULL */
	const char *username;		/* or NULL */
	const char *name;
} SimFace;

/*
 * Merges an element of "users": {"phone":, "forms": [], "wa_id":, "user_id":,
 * "parent_user_id":, "username":, "name":, "hidden": true, "empty" or "user_id"}.
 * One with a known number or ID changes the members it names.  False, with the
 * reason in error, if it is invalid.
 */
extern bool sim_user_merge(const json_t *element, char *error, size_t size);

/*
 * Makes another person of a known one: user has the new members, and who still
 * uses the old number or ID meets what was there before.
 */
extern void sim_user_change(const char *key, const json_t *changes);

/* key: the digits of a number, in any of its forms, or an ID. */
extern void sim_user_face(const char *key, SimFace *face);

/* Every configured user once; a new reference. */
extern json_t *sim_user_list(void);
extern void sim_user_free_all(void);

/* The digits of "+34 ..."; false if it is no phone number.  size is 16 at least. */
extern bool sim_user_digits(const char *text, char *out, size_t size);

#endif
