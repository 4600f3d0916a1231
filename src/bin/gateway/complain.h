/*
 * complain.h
 *	  What the operator is to know, a line at a time.
 */
#ifndef GW_COMPLAIN_H
#define GW_COMPLAIN_H

/*
 * A line on standard error.  Control characters, line ends among them, become blanks:
 * the server's messages may quote what a stranger sent.  It never waits: what a reader
 * that has stopped does not take is lost.
 */
extern void gw_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
