/*
 * usage_header.h
 *	  How much of a request quota is used up, as Meta's headers tell it.  Pure.
 */
#ifndef WA_GRAPH_USAGE_HEADER_H
#define WA_GRAPH_USAGE_HEADER_H

/*
 * The highest percentage in an x-business-use-case-usage header, a JSON object
 * of arrays of {call_count, total_cputime, total_time}; 0 if it has none.
 */
extern double wa_usage_percent(const char *header);

#endif
