/*
 * person_rows.h
 *	  Whose the recipients of claimed messages are: whatsapp_contact_identities.
 */
#ifndef WA_SENDER_STORE_PERSON_ROWS_H
#define WA_SENDER_STORE_PERSON_ROWS_H

#include "sender/store/claim_rows.h"

/*
 * Sets person of each row whose recipient is one of the identities that Meta has told
 * of, by what is committed now.  Needs a transaction begun with wa_store_begin, and
 * raises on failure.  Strings are in the current memory context.
 */
extern void wa_store_read_persons(WaClaimRow *rows, int n);

#endif
