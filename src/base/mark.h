/*
 * mark.h
 *	  Small files in the data directory that know whether they were copied.
 *
 * Read gives false, with value untouched, if there is no such mark or if it is
 * a copy; it logs a file that cannot be read and raises nothing.  Write raises
 * on failure, and leaves the former mark in place then; writers of the same
 * mark exclude each other by a lock of their own.
 */
#ifndef WA_BASE_MARK_H
#define WA_BASE_MARK_H

/* The longest value, with its terminator; it has no spaces and no line ends. */
#define WA_MARK_SIZE 64

extern bool wa_mark_read(const char *name, char *value);
extern void wa_mark_write(const char *name, const char *value);

#endif
