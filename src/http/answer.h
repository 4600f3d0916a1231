/*
 * answer.h
 *	  Callbacks that keep the answer to a request.
 *
 * Internal to the http files.
 */
#ifndef WA_HTTP_ANSWER_H
#define WA_HTTP_ANSWER_H

#include "http/transfer.h"

/* For CURLOPT_WRITEFUNCTION and CURLOPT_HEADERFUNCTION; arg is the WaTransfer. */
extern size_t wa_answer_write(char *data, size_t size, size_t n, void *arg);
extern size_t wa_answer_header(char *line, size_t size, size_t n, void *arg);

extern void wa_answer_forget_headers(WaTransfer *t);

#endif
