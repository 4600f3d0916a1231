/*
 * arrays.c
 *	  Arrays as arguments of set-based statements, and sorted message ids.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/arrays.h"

/* How core stores an element of each type. */
static const struct
{
	Oid type;
	int16 length;
	bool by_value;
	char align;
} storage[] = {
	[WA_COLUMN_INT2] = {INT2OID, sizeof(int16), true, TYPALIGN_SHORT},
	[WA_COLUMN_INT4] = {INT4OID, sizeof(int32), true, TYPALIGN_INT},
	[WA_COLUMN_INT8] = {INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE},
	[WA_COLUMN_BOOL] = {BOOLOID, sizeof(bool), true, TYPALIGN_CHAR},
	[WA_COLUMN_TEXT] = {TEXTOID, -1, false, TYPALIGN_INT},
	[WA_COLUMN_TIMESTAMPTZ] = {TIMESTAMPTZOID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE},
	[WA_COLUMN_TID] = {TIDOID, sizeof(ItemPointerData), false, TYPALIGN_SHORT},
};

static inline Datum
element(WaColumnType type, const void *member, bool *isnull)
{
	*isnull = false;
	switch (type)
	{
		case WA_COLUMN_INT2:
			return Int16GetDatum(*(const int16 *) member);
		case WA_COLUMN_INT4:
			return Int32GetDatum(*(const int32 *) member);
		case WA_COLUMN_INT8:
			return Int64GetDatum(*(const int64 *) member);
		case WA_COLUMN_BOOL:
			return BoolGetDatum(*(const bool *) member);
		case WA_COLUMN_TEXT:
			*isnull = *(const char *const *) member == NULL;
			return *isnull ? (Datum) 0 : CStringGetTextDatum(*(const char *const *) member);
		case WA_COLUMN_TIMESTAMPTZ:
			*isnull = *(const TimestampTz *) member == 0;
			return TimestampTzGetDatum(*(const TimestampTz *) member);
		case WA_COLUMN_TID:
			return PointerGetDatum(member);
	}
	return (Datum) 0; /* not reached */
}

static Datum
array_of(WaColumnType type, const char *first, size_t size, int n)
{
	Datum *datums = palloc(sizeof(Datum) * Max(n, 1));
	bool *nulls = palloc(sizeof(bool) * Max(n, 1));
	int lower = 1;

	if (n == 0)
		return PointerGetDatum(construct_empty_array(storage[type].type));
	for (int i = 0; i < n; i++)
		datums[i] = element(type, first + i * size, &nulls[i]);
	return PointerGetDatum(construct_md_array(datums, nulls, 1, &n, &lower, storage[type].type,
											  storage[type].length, storage[type].by_value,
											  storage[type].align));
}

void
wa_arrays_of(Datum *values, const WaColumn *columns, int ncolumns, const void *items, size_t size,
			 int n)
{
	for (int i = 0; i < ncolumns; i++)
		values[i] = array_of(columns[i].type, (const char *) items + columns[i].offset, size, n);
}

#define ARRAY_OF(column_type, values, n)                                                           \
	array_of((column_type), (const char *) (values), sizeof(*(values)), (n))

Datum
wa_array_of_int8(const int64 *values, int n)
{
	return ARRAY_OF(WA_COLUMN_INT8, values, n);
}

Datum
wa_array_of_int2(const int16 *values, int n)
{
	return ARRAY_OF(WA_COLUMN_INT2, values, n);
}

Datum
wa_array_of_int4(const int32 *values, int n)
{
	return ARRAY_OF(WA_COLUMN_INT4, values, n);
}

Datum
wa_array_of_text(const char *const *values, int n)
{
	return ARRAY_OF(WA_COLUMN_TEXT, values, n);
}

Datum
wa_array_of_tid(const ItemPointerData *values, int n)
{
	return ARRAY_OF(WA_COLUMN_TID, values, n);
}

Datum
wa_array_of_time(const TimestampTz *values, int n)
{
	return ARRAY_OF(WA_COLUMN_TIMESTAMPTZ, values, n);
}

static int
compare_ids(const void *a, const void *b)
{
	int64 x = *(const int64 *) a;
	int64 y = *(const int64 *) b;

	return (x > y) - (x < y);
}

void
wa_ids_sort(int64 *ids, int n)
{
	qsort(ids, n, sizeof(int64), compare_ids);
}

bool
wa_ids_contain(int64 id, const int64 *sorted, int n)
{
	return n > 0 && bsearch(&id, sorted, n, sizeof(int64), compare_ids) != NULL;
}
