/*
 * newcomer.h
 *	  Locks for persons of whom nobody has heard.
 */
#ifndef WA_WEBHOOK_NEWCOMER_H
#define WA_WEBHOOK_NEWCOMER_H

/* Before a webhook locks persons, in the same subtransaction in which they will be let go. */
extern void wa_newcomers_begin(void);

/* They are in the tables now, and who waits for them can wait there, for nobody else. */
extern void wa_newcomers_let_go(void);

#endif
