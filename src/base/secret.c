/*
 * secret.c
 *	  Where the master credentials come from, and how they are kept out of
 *	  sight.
 *
 * A string setting is a leaky place for a secret.  The server hands out the
 * stored string in GetConfigOption(), the postmaster logs 'parameter "x"
 * changed to "value"' when that string changes at a reload, and a refused
 * value is quoted in the error.  So the check hook moves what was given into
 * the setting's "extra" and stores the empty string in its place: the stored
 * string never changes, there is nothing to log, and whoever asks for it gets
 * nothing.  The assign hook publishes the extra; the show hook says only
 * whether there is one.  A refusal replaces the primary message, because the
 * default one would quote the value.
 *
 * Each secret can come from a file instead, which keeps it out of
 * postgresql.conf and of its backups.  The hooks see the path only: they run in
 * every session and every parallel worker, and a file that is missing must not
 * break what those do.  base/secret_file.c reads it, when a value is asked for.
 *
 * What this cannot hide: the configuration file itself (pg_file_settings shows
 * it to superusers), and a statement ALTER SYSTEM in the server log.  That is
 * why the files are what the manual recommends.
 */
#include "postgres.h"

#include "catalog/pg_authid.h"
#include "miscadmin.h"
#include "utils/acl.h"

#include "base/file.h"
#include "base/quote.h"
#include "base/secret.h"
#include "base/secret_value.h"
#include "compat.h"

typedef struct Secret
{
	const char *setting;
	const SecretValue *given; /* by the setting itself */
	const char *path;		  /* by its twin, which goes before; NULL or "": none */
	SecretValue *seen;		  /* what was in force when somebody last asked */
	SecretValue *told;		  /* the same for wa_secret_changes() */
} Secret;

static Secret secrets[SECRETS] = {
	{.setting = "access_token"}, {.setting = "app_secret"}, {.setting = "webhook_verify_token"}};

static uint64 generation = 1;

/* What is in force, after a look at the file.  Counts the changes. */
static const SecretValue *
in_force(SecretName name)
{
	Secret *secret = &secrets[name];
	const SecretValue *value =
		wa_secret_follow(name, secret->setting, secret->path ? secret->path : "");

	if (value == NULL)
		value = secret->given;
	if (!wa_secret_same_value(value, secret->seen))
	{
		wa_secret_release(secret->seen);
		secret->seen = wa_secret_copy(value);
		generation++;
	}
	return value;
}

static const char *
part(const SecretValue *value, int which)
{
	return value && which >= 0 && which < value->count ? value->text + value->starts[which] : NULL;
}

/*
 * In a session that cannot do without: a file that was written just now is waited
 * for, if nothing is in force meanwhile.
 */
static const SecretValue *
await(SecretName name)
{
	const SecretValue *value = in_force(name);
	const char *why;
	int error;

	for (int ms = 0; value == NULL && ms < 2 * WA_FILE_SETTLE_MS; ms += 50)
	{
		if (wa_secret_followed_problem(name, &why, &error) != WA_FILE_UNSETTLED)
			break;
		pg_usleep(50 * 1000L);
		CHECK_FOR_INTERRUPTS();
		value = in_force(name);
	}
	return value;
}

const char *
wa_secret_access_token(void)
{
	return part(in_force(SECRET_ACCESS_TOKEN), 0);
}

const char *
wa_secret_verify_token(void)
{
	return part(await(SECRET_VERIFY_TOKEN), 0);
}

const char *
wa_secret_app_secret(int which)
{
	return part(await(SECRET_APP_SECRET), which);
}

uint64
wa_secret_token_generation(void)
{
	(void) in_force(SECRET_ACCESS_TOKEN);
	return generation;
}

static SecretName
name_of(const char *setting)
{
	for (int i = 0; i < SECRETS; i++)
	{
		if (strcmp(setting, secrets[i].setting) == 0)
			return (SecretName) i;
	}
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("unknown credential \"%s\"", wa_quote(setting))));
}

bool
wa_secret_present(const char *setting)
{
	return in_force(name_of(setting)) != NULL;
}

/*
 * May whoever is at the other end of this session see paths of the server?  The
 * function that asks may run as its owner.
 */
static bool
may_see_paths(void)
{
	return superuser_arg(GetOuterUserId()) ||
		   has_privs_of_role(GetOuterUserId(), ROLE_PG_READ_ALL_SETTINGS);
}

char *
wa_secret_problem(const char *setting)
{
	SecretName name = name_of(setting);
	const char *why;
	int error;
	WaFileProblem problem;
	char *text;

	(void) in_force(name);
	problem = wa_secret_followed_problem(name, &why, &error);
	if (problem == WA_FILE_GOOD || problem == WA_FILE_UNSETTLED)
		return NULL;
	text = wa_file_problem_text(problem, error, may_see_paths() ? secrets[name].path : NULL);
	return why == NULL ? text : psprintf("%s %s", text, why);
}

void
wa_secret_refresh(void)
{
	for (int i = 0; i < SECRETS; i++)
		(void) in_force((SecretName) i);
}

int
wa_secret_changes(const char **settings)
{
	static bool asked_before = false;
	int n = 0;

	for (int i = 0; i < SECRETS; i++)
	{
		const SecretValue *value = in_force((SecretName) i);

		if (wa_secret_same_value(value, secrets[i].told))
			continue;
		wa_secret_release(secrets[i].told);
		secrets[i].told = wa_secret_copy(value);
		if (asked_before)
			settings[n++] = secrets[i].setting;
	}
	asked_before = true;
	return n;
}

/*
 * Refuses a value without quoting it.  Called by check hooks only.
 */
static bool
refuse(const char *setting, const char *detail)
{
	GUC_check_errmsg("invalid value for parameter \"whatsapp_shared.%s\"", setting);
	GUC_check_errdetail("%s", detail);
	return false;
}

static bool
check_given(SecretName name, const char *setting, char **newval, void **extra)
{
	SecretValue *value = NULL;
	const char *problem = NULL;
	char *nothing;

	if (*newval == NULL)
		return true;
	if (!wa_secret_parse(name, *newval, strlen(*newval), &value, &problem))
		return refuse(setting, problem);

	/* The string that the server keeps, and may show, is always the same. */
	nothing = wa_guc_alloc(1);
	if (nothing == NULL)
	{
		if (value)
			wa_guc_release(value);
		return refuse(setting, "Out of memory.");
	}
	nothing[0] = '\0';
	explicit_bzero(*newval, strlen(*newval));
	wa_guc_release(*newval);
	*newval = nothing;
	*extra = value;
	return true;
}

/* What is no path may be a secret in the wrong place: it is not quoted. */
static bool
check_path(const char *setting, const char *path)
{
	if (path == NULL || *path == '\0')
		return true;
	if (is_absolute_path(path) && strlen(path) < MAXPGPATH)
		return true;
	GUC_check_errmsg("invalid value for parameter \"whatsapp_shared.%s_file\"", setting);
	GUC_check_errdetail("It must be the absolute path of a file.");
	return false;
}

#define DEFINE_SECRET_HOOKS(setting, name)                                                         \
	bool wa_secret_check_##setting(char **newval, void **extra, GucSource source)                  \
	{                                                                                              \
		return check_given(name, #setting, newval, extra);                                         \
	}                                                                                              \
	void wa_secret_assign_##setting(const char *newval, void *extra)                               \
	{                                                                                              \
		secrets[name].given = extra;                                                               \
	}                                                                                              \
	const char *wa_secret_show_##setting(void)                                                     \
	{                                                                                              \
		return secrets[name].given ? "(set)" : "";                                                 \
	}                                                                                              \
	bool wa_secret_check_##setting##_file(char **newval, void **extra, GucSource source)           \
	{                                                                                              \
		return check_path(#setting, *newval);                                                      \
	}                                                                                              \
	void wa_secret_assign_##setting##_file(const char *newval, void *extra)                        \
	{                                                                                              \
		secrets[name].path = newval;                                                               \
	}

DEFINE_SECRET_HOOKS(access_token, SECRET_ACCESS_TOKEN)
DEFINE_SECRET_HOOKS(app_secret, SECRET_APP_SECRET)
DEFINE_SECRET_HOOKS(webhook_verify_token, SECRET_VERIFY_TOKEN)
