/*
 * lease.h
 *	  Leases: the durable intent to send, from before the first byte of a request
 *	  until its settlement.
 *
 * All need a transaction begun with wa_store_begin, and raise on failure.
 */
#ifndef WA_SENDER_STORE_LEASE_H
#define WA_SENDER_STORE_LEASE_H

/*
 * Writes down that these attempts are about to be made, and returns the lease's
 * id.  The caller has locked their queue rows; what is leased may be begun once
 * the transaction is committed.
 */
extern int64 wa_store_lease(int sender, int64 generation, const int64 *ids, const int16 *attempts,
							int n);

/* Locks these leases and returns how many still exist: the fence against other senders. */
extern int wa_store_lock_leases(const int64 *leases, int n);

/* These leases name these messages no more: nothing of them is on the wire. */
extern void wa_store_shrink_leases(const int64 *leases, const int64 *messages, int n);

/* Nothing of these is on the wire any more. */
extern void wa_store_drop_leases(const int64 *leases, int n);

/*
 * Ends the leases of a dead process: those up to *last of this sender or, for sender
 * 0, also of those that a set of nsenders does not have.  Their messages become
 * uncertain for grace_ms, for this reason.  Returns how many messages there are.
 *
 * What somebody else has locked is passed by, and its lease stands: *last becomes that
 * of the last one that does, or 0, and this is to be called again.
 *
 * Nobody but the holder of the sender's advisory lock may call it, and not with
 * leases of its own among them.
 */
extern uint64 wa_store_end_dead_leases(int sender, int nsenders, int64 *last, int grace_ms,
									   const char *reason);

/* What leases name as on the wire, anybody's; and how much there is. */
typedef struct WaOnWireRow
{
	int64 message_id;
	const char *phone_number_id;
	int64 rank;
} WaOnWireRow;

extern int wa_store_on_wire(WaOnWireRow **on_wire);

#endif
