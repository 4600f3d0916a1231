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
 * postgresql.conf and of its backups.  The server runs the check hook of every
 * setting in its configuration files at every reload, changed or not, so
 * reading the file there picks up new contents under an unchanged path.  A
 * file that cannot be used refuses the setting, and the old value stays.
 *
 * What this cannot hide: the configuration file itself (pg_file_settings shows
 * it to superusers), and a statement ALTER SYSTEM in the server log.  That is
 * why the files are what the manual recommends.
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/secret.h"
#include "compat.h"

typedef enum SecretName
{
	SECRET_ACCESS_TOKEN,
	SECRET_APP_SECRET,
	SECRET_VERIFY_TOKEN
} SecretName;

#define SECRETS 3

/*
 * A setting's "extra": what was given, cut into its parts.  One allocation,
 * because the settings machinery frees it with one call.
 */
typedef struct SecretValue
{
	int count;
	size_t starts[WA_MAX_APP_SECRETS]; /* of each part, in text */
	size_t size;					   /* of text, with the terminators */
	char text[FLEXIBLE_ARRAY_MEMBER];
} SecretValue;

typedef struct Secret
{
	const SecretValue *given;	  /* by the setting itself */
	const SecretValue *from_file; /* by its twin; goes before */
} Secret;

static Secret secrets[SECRETS];
static uint64 generation = 1;

static const SecretValue *
secret_in_force(SecretName name)
{
	return secrets[name].from_file ? secrets[name].from_file : secrets[name].given;
}

static const char *
secret_part(SecretName name, int part)
{
	const SecretValue *value = secret_in_force(name);

	return value && part >= 0 && part < value->count ? value->text + value->starts[part] : NULL;
}

const char *
wa_secret_access_token(void)
{
	return secret_part(SECRET_ACCESS_TOKEN, 0);
}

const char *
wa_secret_verify_token(void)
{
	return secret_part(SECRET_VERIFY_TOKEN, 0);
}

const char *
wa_secret_app_secret(int which)
{
	return secret_part(SECRET_APP_SECRET, which);
}

uint64
wa_secret_generation(void)
{
	return generation;
}

static int
most_parts(SecretName name)
{
	return name == SECRET_APP_SECRET ? WA_MAX_APP_SECRETS : 1;
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

/*
 * Cuts text into its parts at commas and line ends, dropping white space
 * around them.  *result becomes NULL if nothing is left.  On failure *problem
 * says why, without quoting anything.
 */
static bool
parse_secret(SecretName name, const char *text, size_t len, SecretValue **result,
			 const char **problem)
{
	SecretValue *value;
	size_t used = 0;
	size_t at = 0;

	*result = NULL;
	value = wa_guc_alloc(offsetof(SecretValue, text) + len + WA_MAX_APP_SECRETS + 1);
	if (value == NULL)
	{
		*problem = "Out of memory.";
		return false;
	}
	memset(value, 0, offsetof(SecretValue, text));

	while (at < len)
	{
		size_t start;

		if (strchr(" \t\r\n,", text[at]) != NULL && text[at] != '\0')
		{
			at++;
			continue;
		}
		start = at;
		while (at < len && text[at] > 0x20 && text[at] < 0x7f && text[at] != ',')
			at++;
		if (at < len && (text[at] == '\0' || strchr(" \t\r\n,", text[at]) == NULL))
			*problem = "It contains a character that is not printable ASCII.";
		else if (value->count == most_parts(name))
			*problem = name == SECRET_APP_SECRET
						   ? "At most two app secrets can be given: the current and the previous."
						   : "It must be one word without spaces or commas.";
		else if (at - start > WA_MAX_SECRET_LENGTH)
			*problem = "It is too long.";
		if (*problem != NULL)
		{
			wa_guc_release(value);
			return false;
		}
		value->starts[value->count++] = used;
		memcpy(value->text + used, text + start, at - start);
		used += at - start;
		value->text[used++] = '\0';
	}

	value->size = used;
	if (value->count == 0)
	{
		wa_guc_release(value);
		value = NULL;
	}
	*result = value;
	return true;
}

/*
 * Reads a whole small file.  Returns its length, or -1 with *problem set; an
 * error number is in errno then, or 0.
 *
 * Others must not be able to read it: a token that any local user can read is
 * a token that has leaked.  The file is opened without blocking and must be a
 * regular one, so that a path to a pipe cannot stop the postmaster.
 */
static ssize_t
read_secret_file(const char *path, char *buffer, size_t size, const char **problem)
{
	struct stat st;
	ssize_t len = 0;
	int fd;

	fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC, 0);
	if (fd < 0)
	{
		*problem = "Could not open file";
		return -1;
	}
	if (fstat(fd, &st) != 0)
		*problem = "Could not stat file";
	else
	{
		ssize_t n;

		errno = 0;
		if (!S_ISREG(st.st_mode))
			*problem = "This is not a regular file:";
		else if (st.st_mode & S_IRWXO)
			*problem = "Users other than the owner and group have access to file";
		else if (st.st_size > (off_t) size)
			*problem = "This is too large to be a credential:";
		else
		{
			while ((n = read(fd, buffer + len, size - len)) > 0)
				len += n;
			if (n < 0)
				*problem = "Could not read file";
		}
	}
	if (*problem != NULL)
	{
		int save_errno = errno;

		close(fd);
		errno = save_errno;
		return -1;
	}
	close(fd);
	return len;
}

static bool
check_given(SecretName name, const char *setting, char **newval, void **extra)
{
	SecretValue *value = NULL;
	const char *problem = NULL;
	char *nothing;

	if (*newval == NULL)
		return true;
	if (!parse_secret(name, *newval, strlen(*newval), &value, &problem))
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

static bool
check_file(SecretName name, const char *setting, char **newval, void **extra)
{
	char buffer[WA_MAX_SECRET_FILE];
	SecretValue *value = NULL;
	const char *problem = NULL;
	ssize_t len;
	bool good;

	if (*newval == NULL || **newval == '\0')
		return true;

	/* What is no path may be a secret in the wrong place: do not quote it. */
	if (!is_absolute_path(*newval))
	{
		GUC_check_errmsg("invalid value for parameter \"whatsapp_shared.%s_file\"", setting);
		GUC_check_errdetail("It must be the absolute path of a file.");
		return false;
	}

	len = read_secret_file(*newval, buffer, sizeof(buffer), &problem);
	if (len < 0)
	{
		if (errno != 0)
			GUC_check_errdetail("%s \"%s\": %m.", problem, *newval);
		else
			GUC_check_errdetail("%s \"%s\".", problem, *newval);
		GUC_check_errhint("The file must be readable by the server's operating-system user and by "
						  "nobody else (mode 0600, or 0640 with a group of its own).");
		return false;
	}
	good = parse_secret(name, buffer, len, &value, &problem);
	explicit_bzero(buffer, sizeof(buffer));
	if (good && value == NULL)
	{
		problem = "It is empty.";
		good = false;
	}
	if (!good)
	{
		GUC_check_errdetail("The contents of file \"%s\" cannot be used. %s", *newval, problem);
		return false;
	}
	*extra = value;
	return true;
}

static bool
same_value(const SecretValue *a, const SecretValue *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return a->count == b->count && a->size == b->size && memcmp(a->text, b->text, a->size) == 0;
}

/*
 * Publishes a new value in *place.  The one it replaces is still there: the
 * settings machinery frees it after this.
 */
static void
publish(SecretName name, const SecretValue **place, const SecretValue *value)
{
	const SecretValue *before = secret_in_force(name);

	*place = value;
	if (!same_value(before, secret_in_force(name)))
		generation++;
}

#define DEFINE_SECRET_HOOKS(setting, name)                                                         \
	bool wa_secret_check_##setting(char **newval, void **extra, GucSource source)                  \
	{                                                                                              \
		return check_given(name, #setting, newval, extra);                                         \
	}                                                                                              \
	void wa_secret_assign_##setting(const char *newval, void *extra)                               \
	{                                                                                              \
		publish(name, &secrets[name].given, extra);                                                \
	}                                                                                              \
	const char *wa_secret_show_##setting(void)                                                     \
	{                                                                                              \
		return secrets[name].given ? "(set)" : "";                                                 \
	}                                                                                              \
	bool wa_secret_check_##setting##_file(char **newval, void **extra, GucSource source)           \
	{                                                                                              \
		return check_file(name, #setting, newval, extra);                                          \
	}                                                                                              \
	void wa_secret_assign_##setting##_file(const char *newval, void *extra)                        \
	{                                                                                              \
		publish(name, &secrets[name].from_file, extra);                                            \
	}

DEFINE_SECRET_HOOKS(access_token, SECRET_ACCESS_TOKEN)
DEFINE_SECRET_HOOKS(app_secret, SECRET_APP_SECRET)
DEFINE_SECRET_HOOKS(webhook_verify_token, SECRET_VERIFY_TOKEN)
