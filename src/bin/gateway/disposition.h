/*
 * disposition.h
 *	  The header Content-Disposition (RFC 6266).
 */
#ifndef GW_DISPOSITION_H
#define GW_DISPOSITION_H

#include <stdbool.h>

#include "bin/httpd/buf.h"

/*
 * Appends its value: inline, to be shown, or attachment, to be saved, with the name,
 * which is UTF-8.  Whatever the name contains, it is one parameter of one header.
 */
extern void gw_disposition(HttpdBuf *out, bool is_shown, const char *filename);

#endif
