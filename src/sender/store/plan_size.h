/*
 * plan_size.h
 *	  For which size of our tables a sender's statements are planned.
 */
#ifndef WA_SENDER_STORE_PLAN_SIZE_H
#define WA_SENDER_STORE_PLAN_SIZE_H

/* From now on, in this process: tables of this schema are planned for as large ones. */
extern void wa_plan_size_assume(Oid schema);

#endif
