/*
 * backend.h
 *	  What the pace of a sender is tested with: the little of a server that it needs,
 *	  a clock that a test sets, and one tenant with its number.
 */
#ifndef BACKEND_H
#define BACKEND_H

#include "postgres.h"

#include "base/guc.h"
#include "sender/pace/gate.h"
#include "sender/state/sender.h"

#define SECOND INT64_C(1000000)
#define START (1000 * SECOND)

/* The wall clock is this much ahead of the steady one. */
#define WALL INT64_C(700000000000000)

#define NUMBER "106540352242922"
#define TENANT "acme"

/* It is this long after the start. */
extern void at(int64 us);

/* A sender with one number, of one tenant that has no rate of its own. */
extern WaSender *new_sender(void);

/* A ready row of that tenant and number. */
extern WaClaimRow row_to(const char *recipient, int64 message_id);

#endif
