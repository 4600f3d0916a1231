/*
 * uncertain_policy.h
 *	  What happens to a message that may or may not have been sent. Pure.
 */
#ifndef WA_COMMON_UNCERTAIN_POLICY_H
#define WA_COMMON_UNCERTAIN_POLICY_H

#include <stdbool.h>
#include <stddef.h>

typedef enum WaUncertainPolicy
{
	WA_UNCERTAIN_AUTO,	 /* resend with proof that it was lost, else park */
	WA_UNCERTAIN_RESEND, /* send it again: twice is better than never */
	WA_UNCERTAIN_PARK,	 /* a person decides */
	WA_UNCERTAIN_FAIL	 /* give it up: never is better than twice */
} WaUncertainPolicy;

#define WA_UNCERTAIN_POLICIES 4

/* The words for them, in settings and tables. */
extern const char *const wa_uncertain_policy_names[WA_UNCERTAIN_POLICIES];

/* From such a word, of that many bytes; false if it is none of them. */
extern bool wa_uncertain_policy_parse(const char *word, size_t len, WaUncertainPolicy *policy);

#endif
