/*
 * finding.h
 *	  What --check finds: a line of text, and how bad it is.
 */
#ifndef GW_FINDING_H
#define GW_FINDING_H

typedef enum GwFinding
{
	GW_FINE,
	GW_DOUBTFUL, /* it works, but somebody should look at it */
	GW_BROKEN
} GwFinding;

/* Prints it; todo, where it is not NULL, on a line of its own. */
extern void gw_found(GwFinding finding, const char *todo, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* How many were broken. */
extern int gw_found_broken(void);

#endif
