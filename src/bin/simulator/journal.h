/*
 * journal.h
 *	  The log: one record for every send request, and the counters.
 *
 * A record says whether the message was accepted, that is, whether a person
 * would have received it, whatever response its sender got.
 */
#ifndef SIM_JOURNAL_H
#define SIM_JOURNAL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "bin/httpd/buf.h"

/* Absent texts are NULL. */
typedef struct SimRecord
{
	uint64_t seq;	   /* 1, 2, ... */
	int64_t wall_us;   /* when it arrived */
	int64_t waited_us; /* from there until it was recorded */
	bool accepted;
	bool answered; /* the whole response was handed to the network */
	int status;	   /* HTTP status of the response, 0 if none */
	int code;	   /* Graph error code, 0 if none */
	const char *number;
	const char *to; /* digits, or a business-scoped user id */
	const char *type;
	const char *template_name;
	const char *language;
	const char *opaque;
	const char *context;
	const char *wamid;
	const char *fault; /* name of the rule that was applied */
	const char *body;
	size_t body_len;
} SimRecord;

typedef struct SimCounters
{
	uint64_t requests;
	uint64_t send_requests;
	uint64_t accepted;
	uint64_t refused;
	uint64_t faults;
	uint64_t duplicates; /* accepted with opaque data seen before */
	uint64_t connections;
	int64_t open_connections;
	int64_t max_open_connections;
	int64_t concurrent;
	int64_t max_concurrent;
	uint64_t cut_connections;
	uint64_t last_accepted_wall_us;
} SimCounters;

extern SimCounters sim_counters;

extern void sim_journal_open(const char *path);
extern void sim_journal_close(void);

/* Flushes the file. */
extern void sim_journal_flush(void);

/* Copies the record, numbers and counts it.  Returns its number. */
extern uint64_t sim_journal_add(const SimRecord *record);

/* The whole response of this record was sent. */
extern void sim_journal_answered(uint64_t seq);

/* The accepted message with this id; NULL if it is unknown or was overwritten. */
extern const SimRecord *sim_journal_find(const char *wamid);

extern void sim_journal_reset(void);

/* {"records": [...], "last": n, "forgotten": n} with records after since. */
extern void sim_journal_write_log(HttpdBuf *out, uint64_t since, uint64_t limit, bool all);
extern json_t *sim_journal_stats(void);

#endif
