/*
 * media_use.h
 *	  Messages whose file is a row of whatsapp_media.
 */
#ifndef WA_ENQUEUE_MEDIA_USE_H
#define WA_ENQUEUE_MEDIA_USE_H

#include "enqueue/enqueue.h"

/*
 * Puts Meta's id of the file e->media into the payload, or notes that the
 * message has to wait for it.  Raises if it is not of this kind.
 */
extern void wa_media_use(WaEnqueue *e, const char *kind);

/* Notes, beside the message's rows, which file it sends. */
extern void wa_media_note_use(const WaEnqueue *e, int64 id);

/*
 * For a message that is queued again: if it sends a file of ours, it waits
 * until the sender has seen to it.
 */
extern void wa_media_use_again(WaEnqueue *e, int64 id);

#endif
