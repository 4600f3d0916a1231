/*
 * event_rows.h
 *	  What a sender writes down of itself and of the settings: rows of whatsapp_events.
 *
 * All need a transaction begun with wa_store_begin, and raise on failure.  Nothing is
 * locked but what is written.
 */
#ifndef WA_SENDER_STORE_EVENT_ROWS_H
#define WA_SENDER_STORE_EVENT_ROWS_H

#include "datatype/timestamp.h"

extern void wa_store_note_start(int index, TimestampTz launcher_began);
extern void wa_store_note_stop(int index);

/* The settings as they are now, and the names of n of which nobody may know more. */
extern void wa_store_note_settings(const char **secrets, int n);

/* Removes so many events that are too old, at most; true: there may be more. */
extern bool wa_store_forget_events(int max);

#endif
