/*
 * Token files, and the sessions that tokens begin.
 */
#include "bin/gateway/session.h"
#include "bin/gateway/token.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../tap.h"

#define A "0123456789abcdef0123456789abcdef"
#define B "fedcba9876543210fedcba9876543210"

static char path[] = "/tmp/wa_test_token.XXXXXX";
static char error[400];

static void
write_file(const char *text)
{
	FILE *file;

	chmod(path, 0600);
	file = fopen(path, "w");
	fputs(text, file);
	fclose(file);
}

static int
count(const char *text)
{
	GwTokens tokens = {.n = -1};

	write_file(text);
	return gw_tokens_read(path, &tokens, error, sizeof(error)) ? tokens.n : tokens.n - 1;
}

static bool
readable(mode_t mode)
{
	GwTokens tokens;

	write_file(A "\n");
	chmod(path, mode);
	return gw_tokens_read(path, &tokens, error, sizeof(error));
}

static void
test_files(void)
{
	GwTokens tokens;

	is_int(count(A), 1, "a token");
	is_int(count("# mine\n\n" A "\r\n" B " \n"), 2, "two, with other lines");
	is_int(count(""), -2, "none");
	ok(strstr(error, "has no token") != NULL && strstr(error, path) != NULL, "with a reason");
	is_int(count("# " A "\n"), -2, "a comment is none");
	is_int(count(A "\n" B "\n" A "x\n"), -2, "three");
	is_int(count(A "\n" A "\n"), -2, "the same twice");
	is_int(count("0123456789abcdef0123456789abcde\n"), -2, "31 characters");
	is_int(count(A "\x01\n"), -2, "a control character");
	is_int(count(A " " A "\n"), -2, "a blank");
	ok(readable(0600) && readable(0400) && readable(0640), "who may read it");
	ok(!readable(0604), "others may not");
	ok(!readable(0602), "nor write");
	ok(!readable(0660), "nor may the group");
	write_file(A "\n");
	if (geteuid() == 0)
	{
		ok(chown(path, 12345, 0) == 0 && !gw_tokens_read(path, &tokens, error, sizeof(error)),
		   "somebody else's");
		ok(chown(path, 0, 0) == 0, "back");
	}
	ok(!gw_tokens_read("/tmp", &tokens, error, sizeof(error)), "a directory");
	ok(!gw_tokens_read("/nonexistent", &tokens, error, sizeof(error)) &&
		   strstr(error, "No such file") != NULL,
	   "none at all");
}

static void
test_find(void)
{
	GwTokens tokens;

	write_file(A "\n" B "\n");
	gw_tokens_read(path, &tokens, error, sizeof(error));
	ok(gw_tokens_find(&tokens, A) == &tokens.tokens[0], "the first");
	ok(gw_tokens_find(&tokens, B) == &tokens.tokens[1], "the second");
	ok(gw_tokens_find(&tokens, "") == NULL, "nothing");
	ok(gw_tokens_find(&tokens, A "x") == NULL, "more");
	ok(gw_tokens_find(&tokens, "0123456789abcdef0123456789abcdee") == NULL, "another");
	tokens.n = 0;
	ok(gw_tokens_find(&tokens, A) == NULL, "of none");
}

static void
test_sessions(void)
{
	GwTokens both;
	GwTokens other = {.n = 1};
	char value[GW_SESSION_MAX];
	char again[GW_SESSION_MAX + 1];
	const int64_t now = 1800000000;
	bool forged = false;

	write_file(A "\n" B "\n");
	gw_tokens_read(path, &both, error, sizeof(error));
	other.tokens[0] = both.tokens[1];
	gw_session_make(&both.tokens[0], "admin", now, value, sizeof(value));
	ok(gw_session_is_valid(&both, "admin", value, now), "a session");
	ok(gw_session_is_valid(&both, "admin", value, now + GW_SESSION_SECONDS - 1), "to the end");
	ok(!gw_session_is_valid(&both, "admin", value, now + GW_SESSION_SECONDS), "and no longer");
	ok(!gw_session_is_valid(&both, "viewer", value, now), "of another role");
	ok(!gw_session_is_valid(&both, "owner", value, now), "of one with as many letters");
	ok(!gw_session_is_valid(&other, "admin", value, now), "its token was removed");
	gw_session_make(&both.tokens[0], "admin", now, again, sizeof(again));
	ok(strcmp(value, again) != 0, "no two are the same");

	for (size_t i = 0; value[i] != '\0'; i++)
	{
		char kept = value[i];

		value[i] = kept == '1' ? '2' : '1';
		forged |= gw_session_is_valid(&both, "admin", value, now);
		value[i] = kept;
	}
	ok(!forged, "another character, anywhere");
	for (size_t len = strlen(value); len > 0; len--)
	{
		snprintf(again, sizeof(again), "%.*s", (int) len - 1, value);
		forged |= gw_session_is_valid(&both, "admin", again, now);
	}
	ok(!forged, "cut short, anywhere");
	snprintf(again, sizeof(again), "%s0", value);
	ok(!gw_session_is_valid(&both, "admin", again, now), "too long");
}

int
main(void)
{
	close(mkstemp(path));
	test_files();
	test_find();
	test_sessions();
	unlink(path);
	return done_testing();
}
