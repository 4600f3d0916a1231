/*
 * points.c
 *	  Calls that fail when a test wants them to.  For the build of make
 *	  check-fail-points alone: the linker puts these functions between the extension
 *	  and what it calls (generate.pl).
 *
 * The state is in memory that all processes of the server share, because it is made
 * when the postmaster loads the library.  A test names the kind of process, the class
 * of calls and which of them is to fail; 0 counts them.
 *
 * What a process does at a time of its own is not done in the same order twice.  So
 * calls have also a name that stays: their path, which is a hash of where they and
 * their callers are called.  While calls are
 * counted, the paths are noted; the first call of a path can be the one that fails.
 */
#include "postgres.h"

#include <curl/curl.h>
#include <errno.h>
#include <execinfo.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "common/hashfn.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "postmaster/bgworker.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

typedef enum Class
{
	WA_FAIL_NOTHING,
	WA_FAIL_MEMORY,
	WA_FAIL_MALLOC,
	WA_FAIL_CURL,
	WA_FAIL_SPI,
	WA_FAIL_COMMIT,
	WA_FAIL_SYSTEM,
	WA_FAIL_INSIDE_CURL, /* libcurl's own allocations */
} Class;

static const char *const class_names[] = {"nothing", "memory", "malloc", "curl",
										  "spi",	 "commit", "system", "inside_curl"};
static const char *const process_names[] = {"backend", "sender", "launcher"};

static const struct
{
	const char *name;
	Class class;
	bool raises;
} points[] = {
#include "names.h"
};

/* Of a path: callers that tell it from others, and different paths of a process. */
#define DEPTH 6
#define MAX_PATHS 16384

/* Guarded by nothing: a test changes it while the process that counts waits. */
typedef struct State
{
	volatile int process;
	volatile int class;
	volatile uint32 at;
	pg_atomic_uint32 count;
	volatile uint32 fired; /* how often: once, or there is a fault in here */
	volatile int pid;
	volatile uint64 offset; /* of the call, in the library */
	char name[64];
	volatile uint32 path; /* if not 0: only its calls count */
	volatile int npaths;
	uint32 paths[MAX_PATHS]; /* those seen, in the order of their first calls */
} State;

static State *state;

/* What the caller has handed over, as before.S has pushed it. */
typedef struct Registers
{
	uint64 r9, r8, rcx, rdx, rsi, rdi, rax;
} Registers;

extern int wa_fail_point(int id, const char *caller, const Registers *registers)
	__attribute__((visibility("hidden")));
extern void *__real_malloc(size_t size);
extern void *__real_calloc(size_t n, size_t size);
extern void *__real_realloc(void *p, size_t size);
extern char *__real_strdup(const char *s);

PGDLLEXPORT Datum wa_fail_arm(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum wa_fail_state(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum wa_fail_paths(PG_FUNCTION_ARGS);

static void __attribute__((constructor)) make_state(void)
{
	state = mmap(NULL, sizeof(State), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (state == MAP_FAILED)
		abort();
}

static int
kind_of_process(void)
{
	if (MyBgworkerEntry == NULL)
		return IsUnderPostmaster && MyBackendType == B_BACKEND ? 0 : -1;
	if (strcmp(MyBgworkerEntry->bgw_type, "whatsapp_shared sender") == 0)
		return 1;
	if (strcmp(MyBgworkerEntry->bgw_type, "whatsapp_shared launcher") == 0)
		return 2;
	return -1;
}

/* ---- paths ---- */

extern const char __ehdr_start __attribute__((visibility("hidden")));
extern const char etext __attribute__((visibility("hidden")));

static bool
is_ours(const void *address)
{
	return (const char *) address > &__ehdr_start && (const char *) address < &etext;
}

/*
 * Of the caller and the callers in the library before it; of libcurl's allocations, which
 * have no caller here, those in libcurl.
 */
static uint32
path_of(const char *caller)
{
	void *addresses[DEPTH + 4]; /* and of the functions of this file and before.S */
	int n = backtrace(addresses, lengthof(addresses));
	int first = 2;
	uint32 path = 0;

	while (caller != NULL && first < n && addresses[first] != caller)
		first++;
	for (int i = first; i < Min(n, first + DEPTH); i++)
	{
		if (caller != NULL && !is_ours(addresses[i]))
			break;
		path = hash_combine(path, murmurhash32((uint32) ((char *) addresses[i] - &__ehdr_start)));
	}
	return Max(path, 1);
}

static void
note_path(uint32 path)
{
	for (int i = 0; i < state->npaths; i++)
		if (state->paths[i] == path)
			return;
	if (state->npaths < MAX_PATHS)
		state->paths[state->npaths++] = path;
}

/* Are calls of this class and process looked at? */
static bool
is_asked_for(Class class)
{
	return state != NULL && state->class == class && kind_of_process() == state->process;
}

/* Is this the call that is to fail?  caller is NULL within libcurl. */
static __attribute__((noinline)) bool
is_due(const char *name, const char *caller)
{
	uint32 path = state->at == 0 || state->path != 0 ? path_of(caller) : 0;

	if (state->path != 0 && state->path != path)
		return false;
	if (state->at == 0)
		note_path(path);
	if (pg_atomic_add_fetch_u32(&state->count, 1) != state->at)
		return false;
	state->fired++;
	state->pid = MyProcPid;
	state->offset = caller != NULL ? (uint64) (caller - &__ehdr_start) : 0;
	strlcpy(state->name, name, sizeof(state->name));
	return true;
}

/* Those that give NULL when they are asked to, and what cannot fail as it is called. */
static bool
may_return_null(const char *name, const Registers *r)
{
	if (strcmp(name, "palloc_extended") == 0)
		return (r->rsi & MCXT_ALLOC_NO_OOM) != 0;
	if (strcmp(name, "MemoryContextAllocExtended") == 0)
		return (r->rdx & MCXT_ALLOC_NO_OOM) != 0;
	return false;
}

static bool
cannot_fail(const char *name, const Registers *r)
{
	return strcmp(name, "hash_search") == 0 && (HASHACTION) r->rdx != HASH_ENTER;
}

/* 0: the call goes on.  1: it returns its value for failure. */
int
wa_fail_point(int id, const char *caller, const Registers *registers)
{
	const char *name = points[id].name;
	int save_errno = errno;

	if (!is_asked_for(points[id].class) || cannot_fail(name, registers) || !is_due(name, caller))
	{
		errno = save_errno;
		return 0;
	}
	if (!points[id].raises || may_return_null(name, registers))
	{
		errno = points[id].class == WA_FAIL_SYSTEM ? EMFILE : ENOMEM;
		return 1;
	}
	if (points[id].class == WA_FAIL_MEMORY)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory"),
						errdetail("Fail point %s.", name)));
	ereport(ERROR, (errcode(ERRCODE_DISK_FULL), errmsg("could not write: fail point %s", name)));
	return 0;
}

/* ---- libcurl's own allocations ---- */

static __attribute__((noinline)) bool
is_due_in_curl(const char *name)
{
	return is_asked_for(WA_FAIL_INSIDE_CURL) && is_due(name, NULL);
}

static void *
curl_malloc(size_t size)
{
	return is_due_in_curl("malloc") ? NULL : __real_malloc(size);
}

static void *
curl_calloc(size_t n, size_t size)
{
	return is_due_in_curl("calloc") ? NULL : __real_calloc(n, size);
}

static void *
curl_realloc(void *p, size_t size)
{
	return is_due_in_curl("realloc") ? NULL : __real_realloc(p, size);
}

static char *
curl_strdup(const char *s)
{
	return is_due_in_curl("strdup") ? NULL : __real_strdup(s);
}

/* Instead of a function of before.S. */
extern CURLcode __wrap_curl_global_init(long flags) __attribute__((visibility("hidden")));

CURLcode
__wrap_curl_global_init(long flags)
{
	if (is_asked_for(WA_FAIL_CURL) && is_due("curl_global_init", __builtin_return_address(0)))
		return CURLE_OUT_OF_MEMORY;
	return curl_global_init_mem(flags, curl_malloc, free, curl_realloc, curl_strdup, curl_calloc);
}

/* ---- for the test ---- */

/*
 * wa_fail_arm(process text, class text, at integer, path bigint)
 *
 * Of calls of this path, if it is not 0, as wa_fail_paths() has given it.
 */
PG_FUNCTION_INFO_V1(wa_fail_arm);
Datum
wa_fail_arm(PG_FUNCTION_ARGS)
{
	char *process = text_to_cstring(PG_GETARG_TEXT_PP(0));
	char *class = text_to_cstring(PG_GETARG_TEXT_PP(1));
	int class_index = -1;

	state->class = WA_FAIL_NOTHING;
	state->process = -1;
	for (int i = 0; i < lengthof(process_names); i++)
		if (strcmp(process, process_names[i]) == 0)
			state->process = i;
	for (int i = 0; i < lengthof(class_names); i++)
		if (strcmp(class, class_names[i]) == 0)
			class_index = i;
	if (state->process < 0 || class_index < 0)
		elog(ERROR, "there is no process \"%s\" or class \"%s\"", process, class);
	state->at = PG_GETARG_INT32(2);
	state->path = (uint32) PG_GETARG_INT64(3);
	state->npaths = 0;
	state->fired = 0;
	state->pid = 0;
	state->name[0] = '\0';
	pg_atomic_write_u32(&state->count, 0);
	pg_memory_barrier();
	state->class = class_index;
	PG_RETURN_VOID();
}

/* wa_fail_state() RETURNS text: how many there were, how many failed, which and where; ends it. */
PG_FUNCTION_INFO_V1(wa_fail_state);
Datum
wa_fail_state(PG_FUNCTION_ARGS)
{
	uint32 count = pg_atomic_read_u32(&state->count);

	state->class = WA_FAIL_NOTHING;
	PG_RETURN_TEXT_P(cstring_to_text(psprintf("%u %u %s 0x%llx", count, state->fired,
											  state->name[0] ? state->name : "-",
											  (unsigned long long) state->offset)));
}

/* wa_fail_paths() RETURNS text: the paths of what has been counted, in order. */
PG_FUNCTION_INFO_V1(wa_fail_paths);
Datum
wa_fail_paths(PG_FUNCTION_ARGS)
{
	StringInfoData text;

	initStringInfo(&text);
	for (int i = 0; i < state->npaths; i++)
		appendStringInfo(&text, "%s%u", i > 0 ? " " : "", state->paths[i]);
	PG_RETURN_TEXT_P(cstring_to_text_with_len(text.data, text.len));
}
