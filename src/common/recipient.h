/*
 * recipient.h
 *	  Telephone numbers and business-scoped user ids.  Pure.
 */
#ifndef WA_COMMON_RECIPIENT_H
#define WA_COMMON_RECIPIENT_H

#include <stddef.h>

typedef enum WaRecipientKind
{
	WA_RECIPIENT_PHONE,	  /* E.164, normalised into out */
	WA_RECIPIENT_USER_ID, /* business-scoped user id, such as ES.7001234567890123 */
	WA_RECIPIENT_EMPTY,
	WA_RECIPIENT_NO_PLUS, /* digits without a leading + */
	WA_RECIPIENT_BAD_CHARACTER,
	WA_RECIPIENT_BAD_LENGTH,   /* not 7 to 15 digits */
	WA_RECIPIENT_LEADING_ZERO, /* country codes do not begin with 0 */
	WA_RECIPIENT_TRUNK_ZERO	   /* +34 (0) 600…: a zero for calls within the country */
} WaRecipientKind;

#define WA_RECIPIENT_SIZE 160

/* Spaces, hyphens and parentheses are dropped; anything else must be right. */
extern WaRecipientKind wa_recipient_normalise(const char *in, size_t len, char *out,
											  size_t out_size);

/*
 * The other ways to write the same person's number: Meta's answers show that these
 * countries have two each.  Mexico's mobile numbers were written 52 1 before the ten
 * digits, Argentina's are written 54 9, and Brazil's have got a ninth digit, 9, after
 * the code of the area.  phone is in canonical form, with "+".  Returns how many.
 */
#define WA_RECIPIENT_SPELLINGS 1

extern int wa_recipient_spellings(const char *phone,
								  char out[WA_RECIPIENT_SPELLINGS][WA_RECIPIENT_SIZE]);

#endif
