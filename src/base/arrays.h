/*
 * arrays.h
 *	  Arrays as arguments of set-based statements, and sorted message ids.
 *
 * One statement serves a whole batch: what belongs to one message stands at the
 * same place of each array.  Arrays are made in the current memory context.
 */
#ifndef WA_BASE_ARRAYS_H
#define WA_BASE_ARRAYS_H

#include "datatype/timestamp.h"
#include "storage/itemptr.h"

extern Datum wa_array_of_int8(const int64 *values, int n);
extern Datum wa_array_of_int2(const int16 *values, int n);
extern Datum wa_array_of_int4(const int32 *values, int n);
extern Datum wa_array_of_bool(const bool *values, int n);
extern Datum wa_array_of_text(const char *const *values, int n); /* NULL elements allowed */
extern Datum wa_array_of_tid(const ItemPointerData *values, int n);
extern Datum wa_array_of_time(const TimestampTz *values, int n); /* 0 elements become NULL */

/* Message ids that a statement has returned, to be searched. */
extern void wa_ids_sort(int64 *ids, int n);
extern bool wa_ids_contain(int64 id, const int64 *sorted, int n);

#endif
