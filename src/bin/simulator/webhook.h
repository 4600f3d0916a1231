/*
 * webhook.h
 *	  What the simulator reports to the business: statuses of its messages,
 *	  messages of its users, events of its account.
 *
 * An item (one status, one inbound message) is put into the outbox, which
 * joins items into signed POST bodies as Meta does; a body then goes out by
 * HTTP, into files, or waits to be fetched.
 */
#ifndef SIM_WEBHOOK_H
#define SIM_WEBHOOK_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "bin/httpd/buf.h"
#include "bin/simulator/fault.h"
#include "bin/simulator/pricing.h"
#include "bin/simulator/registry.h"
#include "bin/simulator/request.h"
#include "bin/simulator/user.h"

/* True if webhooks have somewhere to go. */
extern bool sim_webhook_enabled(void);
extern void sim_webhook_reset(void);
extern void sim_webhook_stop(void);

/*
 * Statuses (webhook_status.c)
 */

typedef struct SimAccepted
{
	const SimNumber *number;
	const char *to; /* as addressed: digits, a user id, a group */
	bool to_group;
	const char *wamid;
	const char *opaque; /* or NULL */
	const SimPrice *price;
	bool reaction;		   /* has no status after sent */
	bool voice;			   /* can be played */
	const SimFault *fault; /* may decide about the statuses; or NULL */
} SimAccepted;

/* A message was accepted: plans its statuses. */
extern void sim_webhook_accepted(const SimAccepted *accepted);

/* The number of messages with statuses still to come. */
extern int64_t sim_webhook_planned(void);
extern void sim_webhook_forget_planned(void);

/*
 * Outbox (webhook_outbox.c)
 */

/* An item of a list ("statuses", "messages", ...) in a value of field messages. */
typedef struct SimItem
{
	const char *field;
	const SimNumber *number;
	const char *list;
	HttpdBuf contact; /* JSON object, or empty */
	HttpdBuf item;	  /* JSON object */
} SimItem;

/* Takes over the two buffers. */
extern void sim_outbox_add(SimItem *item);

/* A whole value of any field; takes over the buffer. */
extern void sim_outbox_add_value(const char *field, bool with_time, HttpdBuf *value);

/* A body ready to be sent. */
typedef struct SimPost
{
	char *body;
	size_t len;
	int items;
	char signature[72]; /* sha256=... */
	int attempts;
	struct SimPost *next;
} SimPost;

extern void sim_post_free(SimPost *post);

/* Bodies in line, the oldest first.  All zeroes is an empty one. */
typedef struct SimPostQueue
{
	SimPost *first;
	SimPost *last;
	int64_t count;
} SimPostQueue;

extern void sim_post_queue_add(SimPostQueue *queue, SimPost *post);
extern SimPost *sim_post_queue_take(SimPostQueue *queue); /* or NULL */

/* Pull mode: takes the oldest, or NULL. */
extern SimPost *sim_outbox_pull(void);
extern int64_t sim_outbox_waiting(void);
extern bool sim_outbox_has_post(void);

typedef struct SimWebhookCounters
{
	uint64_t items;
	uint64_t posts;		/* bodies made */
	uint64_t delivered; /* acknowledged with 200, written to a file, or fetched */
	uint64_t attempts;	/* HTTP requests */
	uint64_t failed_attempts;
	uint64_t given_up;
} SimWebhookCounters;

extern SimWebhookCounters sim_webhook_counters;
extern json_t *sim_webhook_stats(void);

/* Calls back, once, when the next body can be fetched. */
extern void sim_outbox_notify(void (*there)(void *arg), void *arg);

/*
 * Delivery by HTTP (webhook_push.c)
 */

/* Takes over the post and delivers it, with retries. */
extern void sim_push_post(SimPost *post);
extern int64_t sim_push_pending(void);
extern void sim_push_reset(void);
extern void sim_push_stop(void);

/* The GET handshake; finishes the deferred request with its result. */
extern void sim_push_handshake(SimRequest *request);

/*
 * Users (webhook_inbound.c)
 */

/* contacts[] of an item about this user: {"profile": ..., "wa_id": ..., "user_id": ...}. */
extern json_t *sim_webhook_contact(const SimFace *face);

/*
 * A user's message, complete but for sender, ID and time (unless it has one):
 * delivers it, and answers the request with its ID.  Takes over the reference.
 */
extern void sim_inbound_deliver(SimRequest *request, const char *field, SimNumber *number,
								const SimFace *face, json_t *message);

/* The number that a control command names; NULL, with the problem answered, if there is none. */
extern SimNumber *sim_webhook_number(SimRequest *request, const json_t *doc);

/*
 * The user that member names by "+34..." or by ID; false, with the problem
 * answered, if it names nobody.  key has SIM_USER_ID_SIZE.
 */
extern bool sim_webhook_user(SimRequest *request, const json_t *doc, const char *member, char *key);

/* "timestamp" of the document, in epoch seconds, or now. */
extern long long sim_webhook_time(const json_t *doc);

extern void sim_control_inbound(SimRequest *request);
extern void sim_control_echo(SimRequest *request);

/*
 * Changes of who somebody is, and of what is wanted (webhook_identity.c)
 */
extern void sim_control_identity(SimRequest *request);
extern void sim_control_preference(SimRequest *request);
extern void sim_control_handover(SimRequest *request);

/*
 * Control (webhook_control.c)
 */

extern void sim_control_press(SimRequest *request);
extern void sim_control_event(SimRequest *request);
extern void sim_control_webhooks(SimRequest *request);
extern void sim_control_handshake(SimRequest *request);

#endif
