/*
 * secret_file.c
 *	  Credentials from files: read by whoever needs them, known to all.
 *
 * A process looks at the file when it needs the credential, unless it has done so a
 * moment ago, and reads it if it is another than before.  What was read goes into
 * shared memory, because of the day on which the file is missing, empty, half written
 * or refused: then what is in force stays in force, in new sessions too, until the
 * file can be used again.  (Without preloading each session is by itself.)
 *
 * Processes hear of a reload at different times.  Those whose configuration is older
 * than the one under which the contents were read leave the file at their path alone,
 * and use what is in force.
 *
 * What is wrong with a file is logged once, by the process that finds it, and to the
 * log only: without its statement and context, which may hold what others must not
 * see.
 */
#include "postgres.h"

#include "storage/lwlock.h"
#include "utils/timestamp.h"

#include "base/file.h"
#include "base/secret.h"
#include "base/secret_value.h"
#include "compat.h"

/* How soon a process looks at a file again, and when it has a reason to. */
#define LOOK_EVERY_MS 100
#define LOOK_AGAIN_MS 5000

/* Guarded by the lock. */
typedef struct Shared
{
	uint64 sequence; /* counts the changes */
	bool present;	 /* a value is in force */
	char path[MAXPGPATH];
	TimestampTz reloaded_at; /* the configuration that named the path */
	WaFileState state;		 /* of the file when it was read */

	/* of what was logged last; WA_FILE_GOOD: nothing, or it is over */
	WaFileProblem problem;
	int error;
	char why[128];
	WaFileState problem_state; /* of the file then, if there was one */

	union
	{
		SecretValue value;
		char room[WA_MAX_SECRET_VALUE];
	} u;
} Shared;

/* This process's part. */
typedef struct Followed
{
	const char *setting;
	char path[MAXPGPATH];
	SecretValue *value; /* in force from the file */
	uint64 sequence;	/* of Shared.u.value that it is a copy of */
	WaFileWatch watch;
	WaFileState examined; /* what was read last, */
	bool has_examined;	  /* if anything, */
	bool examined_good;	  /* and whether it could be used */
	WaFileProblem problem;
	int error;
	const char *why;		/* of WA_FILE_UNUSABLE */
	WaFileProblem reported; /* where nothing is shared */
	int64 looked_at_ms;
	TimestampTz looked_reload;
} Followed;

static Shared *shared;
static LWLock *lock;
static Followed followed[SECRETS];

Size
wa_secret_shared_size(void)
{
	return mul_size(SECRETS, sizeof(Shared));
}

void
wa_secret_share(void *memory, struct LWLock *its_lock, bool fresh)
{
	shared = memory;
	lock = its_lock;
	if (fresh)
		memset(memory, 0, wa_secret_shared_size());
}

static void
replace(Followed *f, SecretValue *value)
{
	wa_secret_release(f->value);
	f->value = value;
}

/*
 * Does the file that we know of count?  Not if our configuration is older than the one
 * that named another.  The caller holds the lock.
 */
static bool
is_ours(const Shared *s, const Followed *f)
{
	return !s->present || strcmp(s->path, f->path) == 0 || PgReloadTime > s->reloaded_at;
}

/* Takes over what others have read.  False: the file that we know of does not count. */
static bool
take_over(SecretName name, Followed *f)
{
	Shared *s = &shared[name];
	union
	{
		SecretValue value;
		char room[WA_MAX_SECRET_VALUE];
	} taken;
	uint64 sequence;
	bool present;
	bool ours;

	LWLockAcquire(lock, LW_SHARED);
	sequence = s->sequence;
	present = s->present;
	if (sequence != f->sequence && present)
		memcpy(&taken, &s->u, offsetof(SecretValue, text) + s->u.value.size);
	ours = is_ours(s, f);
	if (present && ours && strcmp(s->path, f->path) == 0 && !f->has_examined)
	{
		f->examined = s->state;
		f->has_examined = true;
		f->examined_good = true;
	}
	LWLockRelease(lock);

	if (sequence != f->sequence)
	{
		SecretValue *copy = present ? wa_secret_copy(&taken.value) : NULL;

		if (copy != NULL || !present)
		{
			replace(f, copy);
			f->sequence = sequence;
		}
		explicit_bzero(&taken, sizeof(taken));
	}
	return ours;
}

/* Makes a value of ours the one in force everywhere; it is this process's from now on. */
static void
publish(SecretName name, Followed *f, SecretValue *value)
{
	Shared *s;

	if (shared == NULL)
	{
		replace(f, value);
		return;
	}
	s = &shared[name];
	LWLockAcquire(lock, LW_EXCLUSIVE);
	if (!is_ours(s, f))
	{
		/* Meanwhile somebody has read another; it is taken over the next time. */
		LWLockRelease(lock);
		wa_secret_release(value);
		return;
	}
	if (!s->present || !wa_secret_same_value(&s->u.value, value))
	{
		explicit_bzero(&s->u, sizeof(s->u));
		memcpy(&s->u, value, offsetof(SecretValue, text) + value->size);
		s->present = true;
		s->sequence++;
	}
	strlcpy(s->path, f->path, sizeof(s->path));
	s->reloaded_at = Max(PgReloadTime, s->reloaded_at);
	s->state = f->watch.state;
	s->problem = WA_FILE_GOOD;
	f->sequence = s->sequence;
	LWLockRelease(lock);
	replace(f, value);
}

/* There is no file any more: so is what was read from it, unless others know better. */
static void
withdraw(SecretName name, Followed *f)
{
	if (shared != NULL)
	{
		Shared *s = &shared[name];

		LWLockAcquire(lock, LW_EXCLUSIVE);
		if (s->present && PgReloadTime > s->reloaded_at)
		{
			explicit_bzero(&s->u, sizeof(s->u));
			s->present = false;
			s->sequence++;
			s->reloaded_at = PgReloadTime;
			s->problem = WA_FILE_GOOD;
		}
		f->sequence = s->sequence - 1; /* whatever is there counts again with a path */
		LWLockRelease(lock);
	}
	replace(f, NULL);
	f->problem = WA_FILE_GOOD;
}

/* Is this something that the log does not have yet?  Then it is about to. */
static bool
is_news(SecretName name, Followed *f)
{
	Shared *s = shared + name;
	const char *why = f->why == NULL ? "" : f->why;
	bool news;

	if (shared == NULL)
	{
		news = f->reported != f->problem;
		f->reported = f->problem;
		return news;
	}
	LWLockAcquire(lock, LW_EXCLUSIVE);
	news = s->problem != f->problem || s->error != f->error || strcmp(s->why, why) != 0 ||
		   (f->problem != WA_FILE_UNREADABLE &&
			!wa_file_same_state(&s->problem_state, &f->watch.state));
	s->problem_state = f->watch.state;
	s->problem = f->problem;
	s->error = f->error;
	strlcpy(s->why, why, sizeof(s->why));
	LWLockRelease(lock);
	return news;
}

static void
report(SecretName name, Followed *f)
{
	char *text;

	if (!is_news(name, f))
		return;
	text = wa_file_problem_text(f->problem, f->error, f->path);
	ereport(LOG_SERVER_ONLY,
			(errmsg("the file of \"whatsapp_shared.%s_file\" cannot be used", f->setting),
			 f->why == NULL ? errdetail("%s", text) : errdetail("%s %s", text, f->why),
			 errhint("The file must be readable by the server's operating-system user and by "
					 "nobody else (mode 0600, or 0640 with a group of its own). %s",
					 f->value == NULL ? "Until then there is none."
									  : "What was read before stays in force."),
			 errhidestmt(true), errhidecontext(true)));
	pfree(text);
}

/* Reads the file, which has been left alone for long enough. */
static WaFileProblem
read_file(SecretName name, Followed *f)
{
	char buffer[WA_MAX_SECRET_FILE];
	SecretValue *value = NULL;
	size_t len = 0;
	WaFileProblem problem = wa_file_read(f->path, &f->watch, true, buffer, sizeof(buffer), &len);

	f->why = NULL;
	f->error = problem == WA_FILE_UNREADABLE ? errno : 0;
	if (problem == WA_FILE_GOOD)
	{
		if (!wa_secret_parse(name, buffer, len, &value, &f->why))
			problem = WA_FILE_UNUSABLE;
		else if (value == NULL)
		{
			f->why = "It is empty.";
			problem = WA_FILE_UNUSABLE;
		}
		else
			publish(name, f, value);
	}
	explicit_bzero(buffer, sizeof(buffer));
	return problem;
}

static void
look(SecretName name, Followed *f)
{
	f->problem = wa_file_look(f->path, &f->watch);
	f->error = f->problem == WA_FILE_UNREADABLE ? errno : 0;
	f->why = NULL;
	if (f->problem == WA_FILE_GOOD)
		f->problem = read_file(name, f);
	if (f->problem == WA_FILE_GOOD || f->problem == WA_FILE_UNUSABLE)
	{
		f->examined = f->watch.state;
		f->has_examined = true;
		f->examined_good = f->problem == WA_FILE_GOOD;
	}
	else
		f->has_examined = false;
	if (f->problem != WA_FILE_GOOD && f->problem != WA_FILE_UNSETTLED)
		report(name, f);
}

/* The file is as it was when somebody last read it. */
static bool
is_known(Followed *f)
{
	return f->has_examined && wa_file_look(f->path, &f->watch) != WA_FILE_UNREADABLE &&
		   wa_file_same_state(&f->examined, &f->watch.state);
}

const SecretValue *
wa_secret_follow(SecretName name, const char *setting, const char *path)
{
	Followed *f = &followed[name];
	int64 now = wa_file_now_ms();

	f->setting = setting;
	if (f->looked_at_ms != 0 && f->looked_reload == PgReloadTime &&
		now - f->looked_at_ms < LOOK_EVERY_MS)
		return f->value;
	f->looked_at_ms = now;
	f->looked_reload = PgReloadTime;
	if (strcmp(f->path, path) != 0)
	{
		strlcpy(f->path, path, sizeof(f->path));
		f->has_examined = false;
		f->watch.since_ms = 0;
		f->problem = WA_FILE_GOOD;
	}
	if (f->path[0] == '\0')
		withdraw(name, f);
	else if (shared == NULL || take_over(name, f))
	{
		if (!is_known(f))
			look(name, f);
		else if (f->examined_good && f->problem != WA_FILE_GOOD)
		{
			f->problem = WA_FILE_GOOD;
			(void) is_news(name, f);
		}
	}
	return f->value;
}

WaFileProblem
wa_secret_followed_problem(SecretName name, const char **why, int *error)
{
	*why = followed[name].why;
	*error = followed[name].error;
	return followed[name].problem;
}

long
wa_secret_wait_ms(void)
{
	long ms = -1;

	for (int i = 0; i < SECRETS; i++)
	{
		if (followed[i].problem == WA_FILE_UNSETTLED)
			return WA_FILE_SETTLE_MS;
		if (followed[i].problem != WA_FILE_GOOD)
			ms = LOOK_AGAIN_MS;
	}
	return ms;
}
