/*
 * subtransaction.h
 *	  Running other people's code that may fail without failing the statement.
 */
#ifndef WA_BASE_SUBTRANSACTION_H
#define WA_BASE_SUBTRANSACTION_H

/*
 * Runs step(argument) in a subtransaction of its own.  NULL, or what went wrong,
 * with everything that the step did undone; the caller decides whether to go on
 * or to ReThrowError() it, and may do either.
 */
extern ErrorData *wa_subtransaction_run(void (*step)(void *argument), void *argument);

#endif
