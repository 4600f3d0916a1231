/*
 * webform.h
 *	  What a browser sends for an HTML form.
 */
#ifndef GW_WEBFORM_H
#define GW_WEBFORM_H

#include "bin/httpd/buf.h"

/*
 * Appends application/x-www-form-urlencoded text as a JSON object of strings.
 * Returns NULL, or what is wrong with it, for the client.
 */
extern const char *gw_form_to_json(const char *form, size_t len, HttpdBuf *out);

#endif
