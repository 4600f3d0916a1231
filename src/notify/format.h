/*
 * format.h
 *	  Values as people write them, in a given language.
 */
#ifndef WA_NOTIFY_FORMAT_H
#define WA_NOTIFY_FORMAT_H

#include "fmgr.h"

typedef enum WaFormat
{
	WA_FORMAT_NONE,
	WA_FORMAT_NUMBER,
	WA_FORMAT_MONEY,
	WA_FORMAT_DATE,
	WA_FORMAT_SHORT_DATE,
	WA_FORMAT_TIME,
	WA_FORMAT_DATETIME
} WaFormat;

/* The name of a format, and the format of a name; false if there is none. */
extern const char *wa_format_name(WaFormat format);
extern bool wa_format_find(const char *name, WaFormat *format);

/* Whether values of a type can be written so. */
extern bool wa_format_takes(WaFormat format, Oid type);

/* What is best for values of a type if nothing is said. */
extern WaFormat wa_format_default(Oid type);

typedef struct WaFormatOptions
{
	WaFormat format;
	const char *language; /* such as es_MX; unknown ones are written neutrally */
	const char *currency; /* of WA_FORMAT_MONEY: an ISO 4217 code */
	int digits;			  /* of the two numeric ones; -1: the usual */
	text *time_zone;	  /* of absolute times; NULL: the server's */
} WaFormatOptions;

/* The type must be one that the format takes; numbers come as numeric. */
extern char *wa_format_value(const WaFormatOptions *options, Datum value, Oid type);

/* A text that is the same in every session, for keys. */
extern char *wa_format_canonical(Datum value, Oid type);

/*
 * A date or timestamp as an absolute time: one without a zone is the tenant's.
 */
extern Datum wa_format_instant(Datum value, Oid type, text *time_zone);

#endif
