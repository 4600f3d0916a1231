/*
 * keyring.c
 *	  The tokens that are valid now, by the roles that they give.
 */
#include "bin/gateway/keyring.h"

#include "bin/gateway/complain.h"
#include "bin/gateway/settings.h"
#include "bin/gateway/watched_file.h"
#include "bin/httpd/clock.h"
#include "bin/httpd/timer.h"
#include "bin/httpd/util.h"

typedef struct File
{
	GwRole role;
	GwWatchedFile watched;
	GwTokens tokens;
} File;

/* The lesser role first. */
static File files[] = {{.role = GW_VIEWER}, {.role = GW_ADMIN}};
#define FILES (sizeof(files) / sizeof(files[0]))

static HttpdTimer timer;

static void
load(File *file, bool at_start)
{
	char error[600];

	if (file->watched.path[0] == '\0')
		return;
	gw_watched_file_look(&file->watched);
	if (gw_tokens_read(file->watched.path, &file->tokens, error, sizeof(error)))
		return;
	if (at_start)
		httpd_die("%s", error);
	gw_complain("%s; the tokens that it had before are still valid", error);
}

static void
look_for_changes(void *arg)
{
	for (size_t i = 0; i < FILES; i++)
	{
		if (gw_watched_file_has_changed(&files[i].watched))
			load(&files[i], false);
	}
	httpd_timer_set(&timer, httpd_now_us() + GW_LOOK_US, look_for_changes, NULL);
}

void
gw_keyring_open(void)
{
	files[0].watched.path = gw_settings->viewer_token_file;
	files[1].watched.path = gw_settings->admin_token_file;
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
