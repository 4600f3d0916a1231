/*
 * wakes.c
 *	  Takes in what commits have told the sender (shared/wake.h).
 *
 * It comes through shared memory and says little: at which rank a number has something
 * ready, when something is due.  So a cursor is lowered, or the next look comes earlier;
 * what there is stands in the tables.
 */
#include "postgres.h"

#include "sender/tasks.h"
#include "sender/wakes.h"
#include "shared/shmem.h"

/* Deferred until then, by somebody else. */
static void
becomes_due(WaSender *sender, TimestampTz due)
{
	sender->next_due = Min(sender->next_due, due);
	sender->told_due = Min(sender->told_due, due);
	if (due <= wa_now())
		wa_tasks_requested();
}

/* There were too many wake-ups to tell each number's from the others'. */
static void
take_spilled(WaSender *sender, const WaSpilledWakes *spilled)
{
	HASH_SEQ_STATUS scan;
	WaNumber *number;
	int64 rank;

	hash_seq_init(&scan, sender->numbers.table);
	while ((number = hash_seq_search(&scan)) != NULL)
		if (number->mine && wa_wake_spilled(spilled, number->key, &rank))
			wa_number_lower_cursor(number, rank);
	if (spilled->any_due)
		becomes_due(sender, spilled->due);
}

void
wa_wakes_take(WaSender *sender)
{
	static WaWake wakes[WA_WAKE_RING];
	static WaSpilledWakes spilled;
	bool everything = false;
	int n = wa_shmem_drain_wakes(sender->slot, wakes, &spilled, &everything);

	for (int i = 0; i < n; i++)
	{
		if (wakes[i].kind == WA_WAKE_DUE)
		{
			becomes_due(sender, wakes[i].value);
		}
		else
		{
			WaNumber *number =
				hash_search(sender->numbers.table, &wakes[i].number_key, HASH_FIND, NULL);

			if (wakes[i].kind == WA_WAKE_INBOUND)
			{
				if (number != NULL)
					wa_number_came_in(number, wakes[i].value, wa_now_us());
			}
			else if (number != NULL)
				wa_number_lower_cursor(number, wakes[i].value);
			else
				sender->next_sweep_us = 0; /* a number never heard of: look for it */
		}
	}
	if (spilled.any)
		take_spilled(sender, &spilled);
	if (everything)
		sender->next_sweep_us = 0;
}
