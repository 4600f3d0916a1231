/*
 * message_state.h
 *	  The rules of a message's life that need neither SQL nor a network. Pure.
 */
#ifndef WA_COMMON_MESSAGE_STATE_H
#define WA_COMMON_MESSAGE_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* In brackets: what may follow; src/README.md says by what. */
typedef enum WaMessageState
{
	WA_MESSAGE_QUEUED,	  /* any */
	WA_MESSAGE_SENDING,	  /* [queued, accepted, sent, delivered, read, failed, uncertain] */
	WA_MESSAGE_ACCEPTED,  /* [sent, delivered, read, failed] */
	WA_MESSAGE_SENT,	  /* [delivered, read, failed] */
	WA_MESSAGE_DELIVERED, /* [read] */
	WA_MESSAGE_READ,	  /* final */
	WA_MESSAGE_FAILED,	  /* [queued, sent, delivered, read] */
	WA_MESSAGE_UNCERTAIN, /* [queued, accepted, sent, delivered, read, failed] */
	WA_MESSAGE_CANCELLED, /* [queued, sent, delivered, read, failed] */
	WA_MESSAGE_EXPIRED,	  /* [queued, sent, delivered, read, failed] */
	WA_MESSAGE_SKIPPED	  /* [queued, sent, delivered, read, failed] */
} WaMessageState;

#define WA_MESSAGE_STATES 11

/* From the word in whatsapp_messages.status; false if it is none of them. */
extern bool wa_message_state_parse(const char *name, WaMessageState *state);

/* Ended without being known to Meta: wa_retry_message() may queue it again. */
extern bool wa_message_state_may_be_retried(WaMessageState state);

/*
 * No message is tried more often, whoever asks for it: rows and leases count attempts
 * in a smallint, which must hold one more.
 */
#define WA_MESSAGE_MAX_ATTEMPTS 30000

/* Milliseconds before attempt + 1: exponential from base, at most max, equal jitter (half fixed,
 * half random). */
extern int64_t wa_message_backoff_ms(int attempt, int64_t base_ms, int64_t max_ms, uint32_t random);

/* The pair limit's own back-off, 4^n seconds (Cloud API, error 131056). */
extern int64_t wa_message_pair_backoff_ms(int consecutive);

/* One point of priority is a head start of ten minutes. */
#define WA_PRIORITY_BOOST_US INT64_C(600000000)
#define WA_PRIORITY_MIN (-1000)
#define WA_PRIORITY_MAX 1000
extern int64_t wa_message_rank(int64_t due_us, int priority);

/* biz_opaque_callback_data: "wa1:<installation>:<message id>:<attempt>". */
#define WA_OPAQUE_SIZE 64
extern void wa_message_opaque_write(char *out, size_t size, const char *installation,
									int64_t message_id, int attempt);
extern bool wa_message_opaque_read(const char *text, size_t len, char *installation,
								   size_t installation_size, int64_t *message_id, int *attempt);

#endif
