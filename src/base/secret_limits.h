/*
 * secret_limits.h
 *	  How many credentials there can be in one place, and how long.
 */
#ifndef WA_BASE_SECRET_LIMITS_H
#define WA_BASE_SECRET_LIMITS_H

/* The current app secret and the previous one. */
#define WA_MAX_APP_SECRETS 2

/* Bytes of the longest credential, and of the longest file that holds some. */
#define WA_MAX_SECRET_LENGTH 4096
#define WA_MAX_SECRET_FILE (3 * WA_MAX_SECRET_LENGTH)

#endif
