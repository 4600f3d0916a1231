/*
 * exposition.h
 *	  The text in which Prometheus reads metrics, format 0.0.4.
 */
#ifndef GW_EXPOSITION_H
#define GW_EXPOSITION_H

#include "bin/httpd/buf.h"

typedef enum GwMetricType
{
	GW_COUNTER,
	GW_GAUGE,
	GW_HISTOGRAM
} GwMetricType;

typedef struct GwExposition
{
	HttpdBuf text;
	char family[96]; /* that the last sample belonged to */
} GwExposition;

/*
 * One line, and before the first of a family what it is.  labels is what stands
 * between the braces, or "".  The samples of a family must follow each other; those
 * of a histogram are called NAME_bucket, NAME_sum and NAME_count.
 */
extern void gw_exposition_add(GwExposition *exposition, const char *name, GwMetricType type,
							  const char *help, const char *labels, double value);

/* Appends name="value" to labels, with a comma where it is needed. */
extern void gw_exposition_label(HttpdBuf *labels, const char *name, const char *value);

#endif
