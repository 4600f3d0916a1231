/*
 * keyring.c
 *	  The tokens that are valid now, by the roles that they give.
 */
#include "bin/gateway/keyring.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "bin/gateway/settings.h"
#include "bin/httpd/clock.h"
#include "bin/httpd/timer.h"
#include "bin/httpd/util.h"

#define LOOK_US 1000000

typedef struct File
{
	GwRole role;
	const char *path; /* "": none */
	GwTokens tokens;
	struct stat seen; /* all zeroes: could not be looked at */
} File;

/* The lesser role first. */
static File files[] = {{.role = GW_VIEWER}, {.role = GW_ADMIN}};
#define FILES (sizeof(files) / sizeof(files[0]))

static HttpdTimer timer;

static void
look(const char *path, struct stat *seen)
{
	if (stat(path, seen) != 0)
		memset(seen, 0, sizeof(*seen));
}

static bool
same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
		   a->st_mode == b->st_mode && a->st_uid == b->st_uid &&
		   a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
		   a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* Looked at before it is read, so that a change in between is seen the next time. */
static void
load(File *file, bool at_start)
{
	char error[600];

	if (file->path[0] == '\0')
		return;
	look(file->path, &file->seen);
	if (gw_tokens_read(file->path, &file->tokens, error, sizeof(error)))
		return;
	if (at_start)
		httpd_die("%s", error);
	fprintf(stderr, "wa_gateway: %s; the tokens that it had before are still valid\n", error);
}

static void
look_for_changes(void *arg)
{
	for (size_t i = 0; i < FILES; i++)
	{
		struct stat now;

		look(files[i].path, &now);
		if (files[i].path[0] != '\0' && !same_file(&now, &files[i].seen))
			load(&files[i], false);
	}
	httpd_timer_set(&timer, httpd_now_us() + LOOK_US, look_for_changes, NULL);
}

void
gw_keyring_open(void)
{
	files[0].path = gw_settings->viewer_token_file;
	files[1].path = gw_settings->admin_token_file;
	for (size_t i = 0; i < FILES; i++)
		load(&files[i], true);
	look_for_changes(NULL);
}

void
gw_keyring_reload(void)
{
	for (size_t i = 0; i < FILES; i++)
		load(&files[i], false);
}

GwRole
gw_keyring_role_of(const char *token)
{
	GwRole role = GW_NOBODY;

	for (size_t i = FILES; i > 0; i--)
	{
		if (gw_tokens_find(&files[i - 1].tokens, token) != NULL)
			role = files[i - 1].role;
	}
	return role;
}

const GwTokens *
gw_keyring_tokens(GwRole role)
{
	return role == GW_ADMIN ? &files[1].tokens : &files[0].tokens;
}
