/*
 * web_address.h
 *	  Addresses to which we send what others must not read.
 */
#ifndef WA_BASE_WEB_ADDRESS_H
#define WA_BASE_WEB_ADDRESS_H

/*
 * Why this is none of https://host[:port][/path], or the same with http to this
 * machine: a sentence, or NULL.  *is_plain: it would be one with https.
 */
extern const char *wa_web_address_problem(const char *address, bool *is_plain);

#endif
