/*
 * trust.c
 *	  Which certificate authorities a sender's HTTP client trusts.
 *
 * libcurl takes one bundle: a file named to it replaces the system's.  So the two are
 * written one after the other into a file in memory, which libcurl gets the name of.
 * (Given the bundle's bytes instead, it would parse them for every connection; of a
 * file it keeps what it has parsed.)  The system's bundle is libcurl's own, or what
 * SSL_CERT_FILE names in the server's environment.
 *
 * The files are read once, when the client is opened.  One that is missing, being
 * written or without a certificate changes nothing: what was in force stays, the
 * system's authorities alone at first.
 */
#include "postgres.h"

#include <sys/mman.h>
#include <unistd.h>

#include "base/file.h"
#include "base/guc.h"
#include "http/http.h"
#include "sender/trust.h"

/* A system's bundle has 200 kB; somebody's own, a few. */
#define MAX_BUNDLE (4 * 1024 * 1024)

/* How soon to look again for a file that could not be used. */
#define LOOK_AGAIN_MS 5000

static char ca_path[MAXPGPATH];		/* whatsapp_shared.ca_file when it was last looked at */
static WaFileWatch watch;			/* of it */
static WaFileState read_state;		/* when it was last read */
static bool was_read;				/* with that path and state, good or not */
static WaFileProblem reported;		/* in the log already */
static int bundle_fd = -1;			/* the file in memory; -1: none */
static char bundle_path[MAXPGPATH]; /* its name */
static int64 look_again_ms;			/* when a file that could not be used is due; 0: none */

static const char *
system_bundle(void)
{
	const char *named = getenv("SSL_CERT_FILE");

	return named != NULL && *named != '\0' ? named : wa_http_system_ca_file();
}

static void
forget_bundle(void)
{
	if (bundle_fd >= 0)
		close(bundle_fd);
	bundle_fd = -1;
}

static void
watch_path(void)
{
	if (strcmp(ca_path, wa_guc_ca_file) == 0)
		return;
	strlcpy(ca_path, wa_guc_ca_file, sizeof(ca_path));
	watch.since_ms = 0;
	was_read = false;
	reported = WA_FILE_GOOD;
}

/* To the log once; and when to look again. */
static void
note(WaFileProblem problem, int error)
{
	bool pending = problem != WA_FILE_GOOD;

	look_again_ms = pending ? wa_file_now_ms() + LOOK_AGAIN_MS : 0;
	if (problem == WA_FILE_UNSETTLED)
	{
		look_again_ms = wa_file_now_ms() + WA_FILE_SETTLE_MS;
		return;
	}
	if (pending && problem != reported)
	{
		char *text = wa_file_problem_text(problem, error, ca_path);

		ereport(LOG,
				(errmsg("the file of \"%s\" cannot be used", "whatsapp_shared.ca_file"),
				 errdetail("%s", text),
				 errhint("It must hold certificates in PEM format. %s",
						 bundle_fd < 0 ? "Until then only the system's authorities are trusted."
									   : "What was read before stays in force.")));
		pfree(text);
	}
	reported = problem;
}

bool
wa_trust_changed(void)
{
	WaFileProblem problem;

	watch_path();
	if (ca_path[0] == '\0')
		return bundle_fd >= 0;
	problem = wa_file_look(ca_path, &watch);
	if (problem != WA_FILE_GOOD)
		note(problem, errno);
	else if (!was_read || !wa_file_same_state(&watch.state, &read_state))
		return true;
	else
		look_again_ms = 0;
	return false;
}

long
wa_trust_wait_ms(void)
{
	return look_again_ms == 0 ? -1 : (long) Max(0, look_again_ms - wa_file_now_ms());
}

static bool
append(int fd, const char *bytes, size_t len)
{
	while (len > 0)
	{
		ssize_t n = write(fd, bytes, len);

		if (n < 0)
			return false;
		bytes += n;
		len -= n;
	}
	return true;
}

/* Puts both bundles into a new file in memory.  False: there is no room for it. */
static bool
combine(const char *extra, size_t extra_len)
{
	char *buffer = palloc(MAX_BUNDLE);
	const char *path = system_bundle();
	size_t len = 0;
	int fd = memfd_create("whatsapp_shared certificate authorities", MFD_CLOEXEC);
	bool good = fd >= 0;

	if (good && path != NULL)
	{
		WaFileWatch system = {0};

		(void) wa_file_look(path, &system);
		if (wa_file_read(path, &system, false, buffer, MAX_BUNDLE, &len) == WA_FILE_GOOD)
			good = append(fd, buffer, len) && append(fd, "\n", 1);
	}
	pfree(buffer);
	if (!good || !append(fd, extra, extra_len))
	{
		if (fd >= 0)
			close(fd);
		return false;
	}
	forget_bundle();
	bundle_fd = fd;
	snprintf(bundle_path, sizeof(bundle_path), "/proc/self/fd/%d", fd);
	return true;
}

static void
read_extra(void)
{
	char *buffer = palloc(MAX_BUNDLE);
	size_t len = 0;
	WaFileProblem problem = wa_file_read(ca_path, &watch, false, buffer, MAX_BUNDLE - 1, &len);
	int error = errno;

	read_state = watch.state;
	was_read = problem != WA_FILE_UNREADABLE && problem != WA_FILE_UNSETTLED;
	if (problem == WA_FILE_GOOD)
	{
		buffer[len] = '\0';
		if (strstr(buffer, "-----BEGIN CERTIFICATE-----") == NULL || !combine(buffer, len))
			problem = WA_FILE_UNUSABLE;
	}
	note(problem, error);
	pfree(buffer);
}

const char *
wa_trust_bundle(void)
{
	watch_path();
	if (ca_path[0] == '\0')
		forget_bundle();
	else if (wa_trust_changed())
		read_extra();
	return wa_trust_bundle_in_force();
}

const char *
wa_trust_bundle_in_force(void)
{
	if (bundle_fd >= 0)
		return bundle_path;
	return getenv("SSL_CERT_FILE") != NULL ? system_bundle() : NULL;
}
