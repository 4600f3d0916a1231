/*
 * worker.h
 *	  The entry point of a sender, and what the launcher expects of it.
 *
 * main_arg is the number of the sender's slot; the slot's generation (uint64)
 * is in MyBgworkerEntry->bgw_extra.  A sender
 *	  - attaches to its slot before it connects to the slot's database, and exits
 *		with 0 if it may not attach;
 *	  - detaches in a before_shmem_exit callback;
 *	  - exits with 0 after wa_shmem_sender_no_extension() if its database has no
 *		extension;
 *	  - exits with 0 soon, a second or so, when wa_shmem_sender_must_leave()
 *		says so, with requests on the wire as well;
 *	  - exits with 1 after a failure; the launcher starts it again, later and later.
 */
#ifndef WA_SENDER_WORKER_H
#define WA_SENDER_WORKER_H

extern PGDLLEXPORT void wa_sender_main(Datum main_arg);

#endif
