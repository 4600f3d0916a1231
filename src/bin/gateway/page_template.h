/*
 * page_template.h
 *	  HTML from an embedded file, with words and values in their places.
 */
#ifndef GW_PAGE_TEMPLATE_H
#define GW_PAGE_TEMPLATE_H

#include "bin/httpd/buf.h"

/* A value of NULL is one that there is not. */
typedef struct GwTemplateValue
{
	const char *name;
	const char *value;
} GwTemplateValue;

/*
 * Appends the file below pages/ to out.  {name} becomes the value of that name, else
 * the words under that key in the catalogue (FOLDER/LANGUAGE.json, embedded, too); both
 * are escaped.  A line that begins with "?name " is there if the value is, one with
 * "!name " if it is not.
 */
extern void gw_page_template(const char *file, const char *catalogue, const GwTemplateValue *values,
							 int nvalues, HttpdBuf *out);

#endif
