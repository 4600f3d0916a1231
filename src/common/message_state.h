/*
 * message_state.h
 *	  The rules of a message's life that need neither SQL nor a network. Pure.
 */
#ifndef WA_COMMON_MESSAGE_STATE_H
#define WA_COMMON_MESSAGE_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum WaJobState
{
	WA_JOB_QUEUED,	  /* sending, accepted.. (webhook), cancelled, expired, failed, uncertain */
	WA_JOB_SENDING,	  /* queued, accepted.., failed, uncertain */
	WA_JOB_ACCEPTED,  /* sent, delivered, read, failed */
	WA_JOB_SENT,	  /* delivered, read, failed */
	WA_JOB_DELIVERED, /* read, failed */
	WA_JOB_READ,	  /* final */
	WA_JOB_FAILED,	  /* queued (retry by hand); sent, delivered, read (late proof) */
	WA_JOB_UNCERTAIN, /* queued (resend), accepted.., failed */
	WA_JOB_CANCELLED, /* queued (retry by hand) */
	WA_JOB_EXPIRED,	  /* queued (retry by hand) */
	WA_JOB_SKIPPED	  /* queued (retry by hand) */
} WaJobState;

#define WA_JOB_STATES 11

extern bool wa_job_state_parse(const char *name, WaJobState *state);
extern bool wa_job_may_become(WaJobState from, WaJobState to);

/* Milliseconds before attempt + 1: exponential from base, at most max, full jitter of a half. */
extern int64_t wa_job_backoff_ms(int attempt, int64_t base_ms, int64_t max_ms, uint32_t random);

/* The pair limit's own back-off, 4^n seconds (Cloud API, error 131056). */
extern int64_t wa_job_pair_backoff_ms(int consecutive);

/* One point of priority is a head start of ten minutes. */
#define WA_PRIORITY_BOOST_US INT64_C(600000000)
#define WA_PRIORITY_MIN (-1000)
#define WA_PRIORITY_MAX 1000
extern int64_t wa_job_rank(int64_t due_us, int priority);

/* biz_opaque_callback_data: "wa1:<installation>:<message id>:<attempt>". */
#define WA_OPAQUE_SIZE 64
extern void wa_job_opaque_write(char *out, size_t size, const char *installation,
								int64_t message_id, int attempt);
extern bool wa_job_opaque_read(const char *text, size_t len, char *installation,
							   size_t installation_size, int64_t *message_id, int *attempt);

#endif
