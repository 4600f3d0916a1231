/*
 * lookup.c
 *	  How many lookups of names may be without an answer.
 *
 * libcurl asks for a name on a thread of its own, since the C library's function
 * cannot be interrupted: it gives up when resolv.conf says so, some 30 seconds
 * after the last name server has fallen silent.  A request that is given up
 * meanwhile must not wait for that thread, because everybody who waits for this
 * process would wait, too (DROP DATABASE, of any database, is one).  So it is left
 * behind, to end by itself (CURLOPT_QUICK_EXIT).
 *
 * Left behind for how many?  Each has a stack and two descriptors.  So when there
 * are too many of them, requests that need a lookup fail at once, as they would
 * have done later.  The kernel knows how many threads there are; we ask it only
 * while some have been left.
 */
#include <sys/stat.h>

#include "http/lookup.h"

/* More than one sender needs at once, and less than would be noticed. */
#define MAX_LEFT_BEHIND 32

/* Of this process; 1 if the kernel does not say. */
static int
count_threads(void)
{
	struct stat tasks;

	/* a directory has a link for itself, one in its parent, one for each directory in it */
	if (stat("/proc/self/task", &tasks) != 0 || tasks.st_nlink < 3)
		return 1;
	return (int) tasks.st_nlink - 2;
}

bool
wa_lookups_may_begin(WaLookups *lookups)
{
	int others;

	if (!lookups->left_behind)
		return true;
	others = count_threads() - 1;
	lookups->left_behind = others > 0;
	return others < MAX_LEFT_BEHIND;
}
