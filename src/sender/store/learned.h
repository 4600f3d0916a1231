/*
 * learned.h
 *	  What responses tell of recipients: other forms of the same person.
 */
#ifndef WA_SENDER_STORE_LEARNED_H
#define WA_SENDER_STORE_LEARNED_H

/* Both in the form in which recipients are kept: numbers with "+". */
typedef struct WaLearned
{
	const char *recipient; /* as the message was addressed */
	const char *identity;  /* as the response calls them */
} WaLearned;

/* Needs a transaction begun with wa_store_begin.  Waits for nobody. */
extern void wa_store_learn(const WaLearned *items, int n);

#endif
