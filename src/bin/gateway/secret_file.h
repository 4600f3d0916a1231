/*
 * secret_file.h
 *	  Reading a file whose content is a secret.
 */
#ifndef GW_SECRET_FILE_H
#define GW_SECRET_FILE_H

#include <stddef.h>
#include <sys/types.h>

/*
 * Reads the whole file, of at most size bytes, and returns how many there were.  The
 * file must belong to root or to us, and others must not be able to read it, nor its
 * group to write it.  -1, with the reason in *wrong, if it cannot be used.  Who is
 * done with the text wipes it.
 */
extern ssize_t gw_secret_file_read(const char *path, char *text, size_t size, const char **wrong);

#endif
