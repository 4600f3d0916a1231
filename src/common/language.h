/*
 * language.h
 *	  How numbers, dates and times are written in the languages we know.
 */
#ifndef WA_COMMON_LANGUAGE_H
#define WA_COMMON_LANGUAGE_H

#include "wa_c.h"

/*
 * Texts are UTF-8.  In the patterns of dates %d is the day, %D the same with
 * two digits, %o the same with French "1er", %n and %N the month's number, %m
 * its name, %y the year.
 */
typedef struct WaLanguage
{
	const char *code;
	const char *group;	 /* between groups of three digits */
	const char *decimal; /* before the fraction */
	bool currency_first;
	const char *currency_space;
	const char *date;
	const char *short_date;
	bool twelve_hours; /* 5:30 PM */
	const char *const *months;
} WaLanguage;

typedef struct WaCurrency
{
	const char *code;
	const char *symbol;
	int digits;
} WaCurrency;

/* Whether it is written as Meta writes the codes of languages: es, es_ES, fil, zh_HK. */
extern bool wa_language_is_code(const char *text);

/* By a code such as es_MX; that of es will do.  NULL if it is not known. */
extern const WaLanguage *wa_language_find(const char *code);

/* NULL if it is not known: then its code serves, and two digits. */
extern const WaCurrency *wa_currency_find(const char *code);

#endif
