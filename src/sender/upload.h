/*
 * upload.h
 *	  Uploading files to Meta.
 */
#ifndef WA_SENDER_UPLOAD_H
#define WA_SENDER_UPLOAD_H

#include "sender/state/sender.h"

struct WaHttpResult;

/* Starts what is due, and records what has come in. */
extern void wa_upload_run(WaSender *sender);

/* Whether a request with this tag is one of ours. */
extern bool wa_upload_is_tag(const void *tag);

/* A response to one of our requests: kept until the next wa_upload_run. */
extern void wa_upload_response(WaSender *sender, const struct WaHttpResult *result);

/* A file, or a message that waits for one, may be new: look. */
extern void wa_upload_requested(void);

/* An ERROR has ended what wa_upload_run was doing. */
extern void wa_upload_aborted(WaSender *sender);

extern long wa_upload_wait_ms(WaSender *sender);

#endif
