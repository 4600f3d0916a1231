/*
 * wake.h
 *	  Notes what a transaction has made ready, and tells the senders at COMMIT.
 *
 * All of these may be called any number of times in a transaction, are
 * forgotten when it aborts (except where said), and never raise at COMMIT.
 */
#ifndef WA_SHARED_WAKE_H
#define WA_SHARED_WAKE_H

#include "datatype/timestamp.h"

/* The key under which a number is known in shared memory. */
extern uint64 wa_number_key(const char *phone_number_id);

/* A row of this number is ready at this rank. */
extern void wa_wake_ready(const char *phone_number_id, int64 rank);

/* The same, and also if the transaction aborts: for rows that were locked. */
extern void wa_wake_ready_always(const char *phone_number_id, int64 rank);

/* A deferred or uncertain row becomes due then. */
extern void wa_wake_due(TimestampTz due);

/* A message came in at this number, which counts against the number's rate. */
extern void wa_wake_inbound(const char *phone_number_id);

/* Of numbers, tenants, assignments, pauses or sync requests these have changed: WaConfigKind. */
extern void wa_wake_config(uint32 kinds);

/* Somebody has opted out, or a template has become marketing. */
extern void wa_wake_consent(void);

/* The extension appeared in, or is leaving, this database. */
extern void wa_wake_launcher(void);

#endif
