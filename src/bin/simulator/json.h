/*
 * json.h
 *	  JSON documents and buffers.
 */
#ifndef SIM_JSON_H
#define SIM_JSON_H

#include <jansson.h>

#include "bin/httpd/buf.h"

/* Appends the document; takes over the reference. */
extern void sim_json_write(HttpdBuf *out, json_t *doc);

/* The document in buf, or NULL; error may be NULL. */
extern json_t *sim_json_read(const HttpdBuf *buf, json_error_t *error);

#endif
