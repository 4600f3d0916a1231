/*
 * check.h
 *	  wa_gateway --check: would it work, and what is to be done if not?
 */
#ifndef GW_CHECK_H
#define GW_CHECK_H

/* Prints a line for each thing, and returns the exit status: 0 if nothing fails. */
extern int gw_check(void);

#endif
