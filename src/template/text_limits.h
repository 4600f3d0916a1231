/*
 * text_limits.h
 *	  Rules that several kinds of content share, each with its message.
 *
 * "what" names the part in the message, such as "caption".  The content itself
 * stays out of messages: they end up in logs.
 */
#ifndef WA_TEMPLATE_TEXT_LIMITS_H
#define WA_TEMPLATE_TEXT_LIMITS_H

#include "utils/jsonb.h"

/* Longest link that is accepted anywhere. */
#define WA_MAX_LINK 2000

/* Like vsnprintf, into palloc'd memory of the right size. */
extern char *wa_format(const char *fmt, va_list args) pg_attribute_printf(1, 0);

/* Whether all its characters are such as nobody sees: spaces, zero-width marks … */
extern bool wa_shows_nothing(const char *text);

/* Not empty nor blank, and at most "max" characters. */
extern void wa_check_text(const char *what, const char *text, int max);

/* An http or https URL. */
extern void wa_check_link(const char *what, const char *link);

/* Degrees, as numbers or as text that is one. */
extern void wa_check_coordinates(const JsonbValue *latitude, const JsonbValue *longitude);

#endif
