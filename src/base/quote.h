/*
 * quote.h
 *	  Values from outside, as they may appear in an error, a row or the log.
 */
#ifndef WA_BASE_QUOTE_H
#define WA_BASE_QUOTE_H

#include "c.h"

/* Bytes of a value that are quoted, before what stands for its control characters. */
#define WA_QUOTE_BYTES 100

/*
 * The beginning of text, cut between characters and with "..." if it goes on, and
 * with escapes in the place of everything that would not show as what it is: control
 * characters, line separators and marks that turn the direction of writing.  palloc'd.
 */
extern char *wa_quote(const char *text);
extern char *wa_quote_text(const text *value);

#endif
