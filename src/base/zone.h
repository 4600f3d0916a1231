/*
 * zone.h
 *	  In which time zone somebody lives.
 */
#ifndef WA_BASE_ZONE_H
#define WA_BASE_ZONE_H

/* The server's own, as text: that of whoever names none. */
extern Datum wa_zone_of_server(void);

/* This one, as text; the server's if it is NULL, or not known. */
extern Datum wa_zone_if_known(const text *name);

#endif
