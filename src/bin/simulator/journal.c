/*
 * journal.c
 *	  The log: one record for every send request, and the counters.
 *
 * Records live in a ring, one allocation each, so that a benchmark of millions
 * of messages neither slows down nor fills memory.
 */
#include "bin/simulator/journal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bin/httpd/clock.h"
#include "bin/httpd/util.h"
#include "bin/simulator/map.h"
#include "bin/simulator/random.h"
#include "bin/simulator/settings.h"
#include "bin/simulator/text.h"

SimCounters sim_counters;

static SimRecord **ring;
static uint64_t ring_size;
static uint64_t first_seq = 1; /* of the oldest record in the ring */
static uint64_t next_seq = 1;  /* not reset */
static uint64_t evicted;	   /* records overwritten */

static FILE *file;
static bool file_dirty;

/* How often each error was returned, and which opaque data was accepted. */
typedef struct CodeCount
{
	int code;
	uint64_t count;
} CodeCount;

static CodeCount codes[128];
static int ncodes;
static uint64_t *seen_opaque; /* set of hashes, open addressing, 0: empty */
static uint64_t seen_size;
static uint64_t seen_count;
static json_t *duplicate_examples;

#define MAX_DUPLICATE_EXAMPLES 100

/*
 * The file
 */

void
sim_journal_open(const char *path)
{
	file = fopen(path, "ae");
	if (file == NULL)
		httpd_die("could not open log file \"%s\": %s", path, strerror(errno));
}

void
sim_journal_close(void)
{
	if (file != NULL && fclose(file) != 0)
		httpd_die("could not write the log file: %s", strerror(errno));
	file = NULL;
}

void
sim_journal_flush(void)
{
	if (!file_dirty)
		return;
	file_dirty = false;
	if (fflush(file) != 0)
		httpd_die("could not write the log file: %s", strerror(errno));
}

/*
 * Writing a record
 */

static void
add_member(HttpdBuf *out, const char *name, const char *value)
{
	if (value == NULL)
		return;
	httpd_buf_printf(out, ",\"%s\":", name);
	httpd_buf_json(out, value);
}

/* UTF-8 without NUL, as a JSON string needs it. */
static bool
is_text(const char *data, size_t len)
{
	json_t *string = json_stringn(data, len);
	bool text = string != NULL && memchr(data, '\0', len) == NULL;

	json_decref(string);
	return text;
}

static void
write_record(HttpdBuf *out, const SimRecord *record)
{
	httpd_buf_printf(out, "{\"seq\":%llu,\"time\":%lld.%06lld,\"accepted\":%s,\"answered\":%s",
					 (unsigned long long) record->seq, (long long) (record->wall_us / 1000000),
					 (long long) (record->wall_us % 1000000), record->accepted ? "true" : "false",
					 record->answered ? "true" : "false");
	if (record->status != 0)
		httpd_buf_printf(out, ",\"status\":%d", record->status);
	if (record->code != 0)
		httpd_buf_printf(out, ",\"code\":%d", record->code);
	add_member(out, "number", record->number);
	add_member(out, "to", record->to);
	add_member(out, "type", record->type);
	add_member(out, "template", record->template_name);
	add_member(out, "language", record->language);
	add_member(out, "biz_opaque_callback_data", record->opaque);
	add_member(out, "context", record->context);
	add_member(out, "wamid", record->wamid);
	add_member(out, "fault", record->fault);
	if (record->body != NULL && is_text(record->body, record->body_len))
		add_member(out, "body", record->body);
	else if (record->body != NULL)
	{
		char *text = httpd_alloc((record->body_len + 2) / 3 * 4 + 1);

		sim_base64(text, record->body, record->body_len);
		add_member(out, "body_base64", text);
		free(text);
	}
	httpd_buf_add(out, "}", 1);
}

/*
 * Keeping records
 */

static size_t
text_size(const char *text)
{
	return text == NULL ? 0 : strlen(text) + 1;
}

static const char *
copy_text(char **tail, const char *text, size_t size)
{
	char *copy = *tail;

	if (text == NULL)
		return NULL;
	memcpy(copy, text, size);
	*tail += size;
	return copy;
}

/* A copy of the record and all its texts in one allocation. */
static SimRecord *
copy_record(const SimRecord *record)
{
	const char *const *texts[] = {&record->number,		  &record->to,		 &record->type,
								  &record->template_name, &record->language, &record->opaque,
								  &record->context,		  &record->wamid,	 &record->fault};
	size_t ntexts = sizeof(texts) / sizeof(texts[0]);
	size_t size = sizeof(SimRecord) + record->body_len + 1;
	SimRecord *copy;
	char *tail;

	for (size_t i = 0; i < ntexts; i++)
		size += text_size(*texts[i]);
	copy = httpd_alloc(size);
	*copy = *record;
	tail = (char *) (copy + 1);
	for (size_t i = 0; i < ntexts; i++)
	{
		/* the same member of the copy */
		size_t offset = (size_t) ((const char *) texts[i] - (const char *) record);

		*(const char **) ((char *) copy + offset) =
			copy_text(&tail, *texts[i], text_size(*texts[i]));
	}
	if (record->body != NULL)
	{
		memcpy(tail, record->body, record->body_len);
		tail[record->body_len] = '\0';
		copy->body = tail;
	}
	return copy;
}

static void
forget_oldest(void)
{
	free(ring[first_seq % ring_size]);
	ring[first_seq % ring_size] = NULL;
	first_seq++;
}

/* Resizes the ring to the setting, and keeps the newest records. */
static void
fit_ring(void)
{
	uint64_t size = (uint64_t) sim_settings.log_memory;
	SimRecord **bigger;

	for (; next_seq - first_seq > size; evicted++)
		forget_oldest();
	if (size == ring_size)
		return;
	bigger = httpd_alloc0(size * sizeof(*bigger));
	for (uint64_t seq = first_seq; seq < next_seq; seq++)
		bigger[seq % size] = ring[seq % ring_size];
	free(ring);
	ring = bigger;
	ring_size = size;
}

static void
count_code(int code)
{
	for (int i = 0; i < ncodes; i++)
	{
		if (codes[i].code == code)
		{
			codes[i].count++;
			return;
		}
	}
	if (ncodes < (int) (sizeof(codes) / sizeof(codes[0])))
		codes[ncodes++] = (CodeCount){code, 1};
}

/* True if the text was seen before.  A 64-bit hash makes a collision unlikely. */
static bool
remember_opaque(const char *opaque)
{
	uint64_t hash = sim_hash(opaque, strlen(opaque)) | 1;
	uint64_t i;

	if ((seen_count + 1) * 3 > seen_size * 2)
	{
		uint64_t size = seen_size == 0 ? 1024 : seen_size * 2;
		uint64_t *bigger = httpd_alloc0(size * sizeof(*bigger));

		for (uint64_t old = 0; old < seen_size; old++)
		{
			if (seen_opaque[old] == 0)
				continue;
			for (i = seen_opaque[old] & (size - 1); bigger[i] != 0; i = (i + 1) & (size - 1))
				;
			bigger[i] = seen_opaque[old];
		}
		free(seen_opaque);
		seen_opaque = bigger;
		seen_size = size;
	}
	for (i = hash & (seen_size - 1); seen_opaque[i] != 0; i = (i + 1) & (seen_size - 1))
	{
		if (seen_opaque[i] == hash)
			return true;
	}
	seen_opaque[i] = hash;
	seen_count++;
	return false;
}

static void
count_record(const SimRecord *record)
{
	sim_counters.send_requests++;
	if (record->fault != NULL)
		sim_counters.faults++;
	if (record->code != 0)
	{
		sim_counters.refused++;
		count_code(record->code);
	}
	if (!record->accepted)
		return;
	sim_counters.accepted++;
	sim_counters.last_accepted_wall_us = (uint64_t) record->wall_us;
	if (record->opaque != NULL && remember_opaque(record->opaque))
	{
		sim_counters.duplicates++;
		if (duplicate_examples == NULL)
			duplicate_examples = json_array();
		if (json_array_size(duplicate_examples) < MAX_DUPLICATE_EXAMPLES)
			json_array_append_new(duplicate_examples, json_string(record->opaque));
	}
}

uint64_t
sim_journal_add(const SimRecord *record)
{
	SimRecord numbered = *record;

	numbered.seq = next_seq;
	numbered.wall_us = httpd_wall_us() - record->waited_us;
	if (!sim_settings.log_bodies)
	{
		numbered.body = NULL;
		numbered.body_len = 0;
	}
	count_record(&numbered);
	if (file != NULL)
	{
		HttpdBuf line = {0};

		write_record(&line, &numbered);
		httpd_buf_add(&line, "\n", 1);
		fwrite(line.data, 1, line.len, file);
		httpd_buf_free(&line);
		file_dirty = true;
	}
	fit_ring();
	if (ring_size == 0)
	{
		first_seq++;
		evicted++;
	}
	else
	{
		if (next_seq - first_seq == ring_size)
		{
			forget_oldest();
			evicted++;
		}
		ring[next_seq % ring_size] = copy_record(&numbered);
	}
	return next_seq++;
}

const SimRecord *
sim_journal_find(const char *wamid)
{
	/* From the newest, which is the one most often asked for. */
	for (uint64_t seq = next_seq; seq-- > first_seq;)
	{
		const SimRecord *record = ring[seq % ring_size];

		if (record->wamid != NULL && strcmp(record->wamid, wamid) == 0)
			return record;
	}
	return NULL;
}

void
sim_journal_answered(uint64_t seq)
{
	if (seq >= first_seq && seq < next_seq)
		ring[seq % ring_size]->answered = true;
}

void
sim_journal_reset(void)
{
	int64_t open_connections = sim_counters.open_connections;
	int64_t concurrent = sim_counters.concurrent;

	while (first_seq < next_seq)
		forget_oldest();
	evicted = 0;
	free(seen_opaque);
	seen_opaque = NULL;
	seen_size = seen_count = 0;
	json_decref(duplicate_examples);
	duplicate_examples = NULL;
	ncodes = 0;
	memset(&sim_counters, 0, sizeof(sim_counters));
	sim_counters.open_connections = sim_counters.max_open_connections = open_connections;
	sim_counters.concurrent = sim_counters.max_concurrent = concurrent;
}

/*
 * Reading
 */

void
sim_journal_write_log(HttpdBuf *out, uint64_t since, uint64_t limit, bool all)
{
	uint64_t seq = since + 1 > first_seq ? since + 1 : first_seq;
	uint64_t last = since;
	uint64_t written = 0;

	httpd_buf_puts(out, "{\"records\":[");
	for (; seq < next_seq && written < limit; seq++)
	{
		const SimRecord *record = ring[seq % ring_size];

		last = seq;
		if (!all && !record->accepted)
			continue;
		if (written++ > 0)
			httpd_buf_add(out, ",", 1);
		write_record(out, record);
	}
	httpd_buf_printf(out, "],\"last\":%llu,\"more\":%s,\"forgotten\":%llu}",
					 (unsigned long long) last, seq < next_seq ? "true" : "false",
					 (unsigned long long) evicted);
}

json_t *
sim_journal_stats(void)
{
	json_t *refused = json_object();
	json_t *stats;

	for (int i = 0; i < ncodes; i++)
	{
		char name[16];

		snprintf(name, sizeof(name), "%d", codes[i].code);
		json_object_set_new(refused, name, json_integer((json_int_t) codes[i].count));
	}
	stats = json_object();
#define COUNT(name) json_object_set_new(stats, #name, json_integer((json_int_t) sim_counters.name))
	COUNT(requests);
	COUNT(send_requests);
	COUNT(accepted);
	COUNT(refused);
	COUNT(faults);
	COUNT(duplicates);
	COUNT(connections);
	COUNT(open_connections);
	COUNT(max_open_connections);
	COUNT(concurrent);
	COUNT(max_concurrent);
	COUNT(cut_connections);
#undef COUNT
	json_object_set_new(stats, "refused_by_code", refused);
	json_object_set_new(stats, "duplicate_examples",
						duplicate_examples != NULL ? json_copy(duplicate_examples) : json_array());
	json_object_set_new(stats, "last_accepted",
						json_real((double) sim_counters.last_accepted_wall_us / 1e6));
	return stats;
}
