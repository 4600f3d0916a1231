/*
 * watched_file.h
 *	  Has a file changed since it was last looked at?
 */
#ifndef GW_WATCHED_FILE_H
#define GW_WATCHED_FILE_H

#include <stdbool.h>
#include <sys/stat.h>

/* How often it is worth looking: a change is in force within a second. */
#define GW_LOOK_US 1000000

typedef struct GwWatchedFile
{
	const char *path; /* "": none */
	struct stat seen; /* all zeroes: could not be looked at */
} GwWatchedFile;

/*
 * Looks, and remembers what it saw.  To be called before the file is read, so that a
 * change in between is seen the next time.
 */
extern void gw_watched_file_look(GwWatchedFile *file);

/* The same; true if something was different.  Another file of that name is, too. */
extern bool gw_watched_file_has_changed(GwWatchedFile *file);

#endif
