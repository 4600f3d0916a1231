/*
 * descriptors.c
 *	  How many connections a sender may have open.
 *
 * Over HTTP/1.1 each request needs a connection, and each connection a descriptor.
 * A process may have so many of them (ulimit -n), and PostgreSQL counts on most of
 * these for its own files: up to max_files_per_process of them, or all but a few
 * if the limit is lower.  Whoever opens more makes requests fail, or takes from
 * PostgreSQL what it needs to write.
 *
 * So first the limit is raised, as far as the system lets us: the usual 1024 is there
 * for programs that use select(), and this one does not.  What is missing then is
 * borrowed from PostgreSQL's share (ReserveExternalFD), which closes files that it
 * has open only for later use; and what is still missing, the client does without:
 * requests wait for a connection.
 */
#include "postgres.h"

#include <sys/resource.h>

#include "storage/fd.h"
#include "storage/latch.h"
#include "utils/memutils.h"

#include "compat.h"
#include "http/config.h"
#include "sender/descriptors.h"

/*
 * Outside of PostgreSQL's count: what it leaves free (NUM_RESERVED_FDS), what every
 * process has open (log, latch, wait sets), and what libcurl needs besides sockets.
 */
#define OUTSIDE 48

/* What PostgreSQL keeps at least: relations, indexes and WAL of a cycle; its own minimum is 48. */
#define LEFT_TO_POSTGRES 100

static int reserved; /* borrowed from PostgreSQL's share */
static int connections_possible;

/* What this process may open, after having asked for this much. */
static int
file_limit(int wanted)
{
	struct rlimit limit;
	rlim_t before;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return max_safe_fds;
	before = limit.rlim_cur;
	if (before != RLIM_INFINITY && before < (rlim_t) wanted)
	{
		limit.rlim_cur = limit.rlim_max == RLIM_INFINITY ? (rlim_t) wanted
														 : Min((rlim_t) wanted, limit.rlim_max);
		if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
			limit.rlim_cur = before;
	}
	if (limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur > (rlim_t) wanted)
		return wanted;
	return (int) limit.rlim_cur;
}

void
wa_descriptors_borrow(int *borrowed, int count)
{
	for (; *borrowed < count; (*borrowed)++)
		ReserveExternalFD();
	for (; *borrowed > count; (*borrowed)--)
		ReleaseExternalFD();
}

static void
report(int connections, int limit)
{
	static int reported_connections;
	static int reported_wanted;

	if (reported_connections == connections_possible && reported_wanted == connections)
		return;
	reported_connections = connections_possible;
	reported_wanted = connections;
	if (connections_possible < connections)
		ereport(WARNING,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("a sender can have %d connections open, not %d", connections_possible,
						connections),
				 errdetail("The process may open %d files, of which PostgreSQL needs some itself. "
						   "Over HTTP/1.1 each request on the wire has its own connection.",
						   limit),
				 errhint("Raise the limit on open files for the server (\"ulimit -n\", or "
						 "LimitNOFILE of its service), or lower whatsapp_shared.max_in_flight.")));
}

int
wa_descriptors_for_sockets(int connections)
{
	/* twice, for what is still out when the client is opened with other settings */
	int wanted = 2 * connections * WA_HTTP_SOCKETS_PER_CONNECTION;
	int limit = file_limit(max_safe_fds + OUTSIDE + wanted);
	int own = Max(limit - max_safe_fds - OUTSIDE, 0);
	int granted;

	wa_descriptors_borrow(&reserved,
						  Min(Max(wanted - own, 0), Max(max_safe_fds - LEFT_TO_POSTGRES, 0)));
	granted = Max(own + reserved, WA_HTTP_SOCKETS_PER_CONNECTION);
	connections_possible = Min(connections, granted / WA_HTTP_SOCKETS_PER_CONNECTION);
	report(connections, limit);
	return granted < wanted ? granted : 0;
}

/*
 * PostgreSQL refuses a wait set to whoever has taken a third of its share.  We have
 * borrowed what is for sockets, and give it back for the moment.
 */
WaitEventSet *
wa_descriptors_create_wait_set(int events)
{
	int count = reserved;
	WaitEventSet *volatile set = NULL;

	wa_descriptors_borrow(&reserved, 0);
	PG_TRY();
	{
		set = wa_create_wait_event_set(events);
	}
	PG_FINALLY();
	{
		wa_descriptors_borrow(&reserved, count);
	}
	PG_END_TRY();
	return set;
}

int
wa_descriptors_connections(void)
{
	return connections_possible;
}
