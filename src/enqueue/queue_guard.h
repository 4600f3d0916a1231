/*
 * queue_guard.h
 *	  Telling the queue rows of this installation from those loaded by others.
 */
#ifndef WA_ENQUEUE_QUEUE_GUARD_H
#define WA_ENQUEUE_QUEUE_GUARD_H

/* The next row inserted into whatsapp_queue by this session is ours.  Cannot fail. */
extern void wa_queue_guard_expect(void);

#endif
