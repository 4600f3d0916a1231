/*
 * caller.h
 *	  Who acts: for what is written down of operators' calls.
 */
#ifndef WA_BASE_CALLER_H
#define WA_BASE_CALLER_H

#include "fmgr.h"

/*
 * Writes down what a function was asked to do with a message: "action" is its name,
 * "text" a sentence.  In a section of base/owner.h; part of the transaction.
 */
extern void wa_caller_note_message(Oid schema, const char *action, int64 id, const char *text);

/* The same of the installation as a whole. */
extern void wa_caller_note(Oid schema, const char *action, const char *text);

#endif
