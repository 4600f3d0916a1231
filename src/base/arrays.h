/*
 * arrays.h
 *	  Arrays as arguments of set-based statements, and sorted message ids.
 *
 * One statement serves a whole batch: what belongs to one message stands at the
 * same place of each array.  Mostly a batch is an array of structs, of which each
 * member becomes an array of SQL:
 *
 *		static const WaColumn columns[] = {WA_COLUMN(Item, id), WA_COLUMN_TIME(Item, at)};
 *		Datum values[lengthof(columns)];
 *
 *		WA_ARRAYS_OF(values, columns, items, n);
 *
 * Arrays are made in the current memory context; n may be 0.
 */
#ifndef WA_BASE_ARRAYS_H
#define WA_BASE_ARRAYS_H

#include "datatype/timestamp.h"
#include "storage/itemptr.h"

typedef enum WaColumnType
{
	WA_COLUMN_INT2, /* int16 */
	WA_COLUMN_INT4, /* int32 */
	WA_COLUMN_INT8, /* int64 */
	WA_COLUMN_BOOL,
	WA_COLUMN_TEXT,		   /* const char *; NULL becomes NULL */
	WA_COLUMN_TIMESTAMPTZ, /* TimestampTz; 0 becomes NULL */
	WA_COLUMN_TID		   /* ItemPointerData */
} WaColumnType;

/* A member of a struct, and so the type of the array's elements. */
typedef struct WaColumn
{
	WaColumnType type;
	size_t offset;
} WaColumn;

/* clang-format off */
#define WA_COLUMN_TYPE(value) \
	_Generic((value), \
		int16: WA_COLUMN_INT2, \
		int32: WA_COLUMN_INT4, \
		int64: WA_COLUMN_INT8, \
		bool: WA_COLUMN_BOOL, \
		char *: WA_COLUMN_TEXT, \
		const char *: WA_COLUMN_TEXT, \
		ItemPointerData: WA_COLUMN_TID)
#define WA_COLUMN_TYPE_OF_TIME(value) _Generic((value), TimestampTz: WA_COLUMN_TIMESTAMPTZ)
/* clang-format on */

/*
 * The member's C type decides; one that has no array does not compile.  To C a time
 * is an int64, too, so it is told apart by name.
 */
#define WA_COLUMN(item, member)                                                                    \
	{                                                                                              \
		WA_COLUMN_TYPE(((item *) 0)->member), offsetof(item, member)                               \
	}
#define WA_COLUMN_TIME(item, member)                                                               \
	{                                                                                              \
		WA_COLUMN_TYPE_OF_TIME(((item *) 0)->member), offsetof(item, member)                       \
	}

/* One array for each column, of n items that stand "size" bytes apart. */
extern void wa_arrays_of(Datum *values, const WaColumn *columns, int ncolumns, const void *items,
						 size_t size, int n);

#define WA_ARRAYS_OF(values, columns, items, n)                                                    \
	do                                                                                             \
	{                                                                                              \
		StaticAssertStmt(lengthof(values) >= lengthof(columns), "an array for each column");       \
		wa_arrays_of((values), (columns), lengthof(columns), (items), sizeof(*(items)), (n));      \
	} while (0)

/* Arrays of plain values. */
extern Datum wa_array_of_int8(const int64 *values, int n);
extern Datum wa_array_of_int2(const int16 *values, int n);
extern Datum wa_array_of_int4(const int32 *values, int n);
extern Datum wa_array_of_text(const char *const *values, int n);
extern Datum wa_array_of_tid(const ItemPointerData *values, int n);
extern Datum wa_array_of_time(const TimestampTz *values, int n);

/* Message ids that a statement has returned, to be searched. */
extern void wa_ids_sort(int64 *ids, int n);
extern bool wa_ids_contain(int64 id, const int64 *sorted, int n);

#endif
