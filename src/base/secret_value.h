/*
 * secret_value.h
 *	  A credential as it was given, cut into its parts.  For base/secret*.c only.
 */
#ifndef WA_BASE_SECRET_VALUE_H
#define WA_BASE_SECRET_VALUE_H

#include "base/file.h"
#include "base/secret_limits.h"

typedef enum SecretName
{
	SECRET_ACCESS_TOKEN,
	SECRET_APP_SECRET,
	SECRET_VERIFY_TOKEN
} SecretName;

#define SECRETS WA_CREDENTIALS

/*
 * One allocation, because the settings machinery frees it with one call; by
 * wa_guc_alloc().
 */
typedef struct SecretValue
{
	int count;
	size_t starts[WA_MAX_APP_SECRETS]; /* of each part, in text */
	size_t size;					   /* of text, with the terminators */
	char text[FLEXIBLE_ARRAY_MEMBER];
} SecretValue;

/* The largest there can be, whatever the text was. */
#define WA_MAX_SECRET_VALUE                                                                        \
	(offsetof(SecretValue, text) + WA_MAX_SECRET_FILE + WA_MAX_APP_SECRETS + 1)

/*
 * Cuts text into its parts at commas and line ends, dropping white space around
 * them.  *result becomes NULL if nothing is left.  False: *problem says why, without
 * quoting anything.
 */
extern bool wa_secret_parse(SecretName name, const char *text, size_t len, SecretValue **result,
							const char **problem);
extern bool wa_secret_same_value(const SecretValue *a, const SecretValue *b);

/* NULL becomes NULL; out of memory, too. */
extern SecretValue *wa_secret_copy(const SecretValue *value);

/* Leaves nothing of it in memory. */
extern void wa_secret_release(SecretValue *value);

/*
 * base/secret_file.c: follows the file at path ("": none).  Returns what is in force
 * from it, or NULL; valid until the next call for this secret.
 */
extern const SecretValue *wa_secret_follow(SecretName name, const char *setting, const char *path);

/* The file cannot be used, or cannot be used yet. */
extern WaFileProblem wa_secret_followed_problem(SecretName name, const char **why, int *error);

#endif
