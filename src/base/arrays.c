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

Datum
wa_array_of_int8(const int64 *values, int n)
{
	Datum *datums = palloc(sizeof(Datum) * Max(n, 1));

	for (int i = 0; i < n; i++)
		datums[i] = Int64GetDatum(values[i]);
	return PointerGetDatum(
		construct_array(datums, n, INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

Datum
wa_array_of_int2(const int16 *values, int n)
{
	Datum *datums = palloc(sizeof(Datum) * Max(n, 1));

	for (int i = 0; i < n; i++)
		datums[i] = Int16GetDatum(values[i]);
	return PointerGetDatum(construct_array(datums, n, INT2OID, 2, true, TYPALIGN_SHORT));
}

Datum
wa_array_of_int4(const int32 *values, int n)
{
	Datum *datums = palloc(sizeof(Datum) * Max(n, 1));

	for (int i = 0; i < n; i++)
		datums[i] = Int32GetDatum(values[i]);
	return PointerGetDatum(construct_array(datums, n, INT4OID, 4, true, TYPALIGN_INT));
}

Datum
wa_array_of_bool(const bool *values, int n)
{
	Datum *datums = palloc(sizeof(Datum) * Max(n, 1));

	for (int i = 0; i < n; i++)
		datums[i] = BoolGetDatum(values[i]);
	return PointerGetDatum(construct_array(datums, n, BOOLOID, 1, true, TYPALIGN_CHAR));
}

Datum
wa_array_of_tid(const ItemPointerData *values, int n)
{
	Datum *datums = palloc(sizeof(Datum) * Max(n, 1));

	for (int i = 0; i < n; i++)
		datums[i] = PointerGetDatum(&values[i]);
	return PointerGetDatum(
		construct_array(datums, n, TIDOID, sizeof(ItemPointerData), false, TYPALIGN_SHORT));
}

static Datum
nullable_array(Datum *datums, bool *nulls, int n, Oid type, int16 len, bool byval, char align)
{
	int lower = 1;

	if (n == 0)
		return PointerGetDatum(construct_empty_array(type));
	return PointerGetDatum(
		construct_md_array(datums, nulls, 1, &n, &lower, type, len, byval, align));
}

Datum
wa_array_of_text(const char *const *values, int n)
{
	Datum *datums = palloc(sizeof(Datum) * Max(n, 1));
	bool *nulls = palloc(sizeof(bool) * Max(n, 1));

	for (int i = 0; i < n; i++)
	{
		nulls[i] = values[i] == NULL;
		datums[i] = nulls[i] ? (Datum) 0 : CStringGetTextDatum(values[i]);
	}
	return nullable_array(datums, nulls, n, TEXTOID, -1, false, TYPALIGN_INT);
}

Datum
wa_array_of_time(const TimestampTz *values, int n)
{
	Datum *datums = palloc(sizeof(Datum) * Max(n, 1));
	bool *nulls = palloc(sizeof(bool) * Max(n, 1));

	for (int i = 0; i < n; i++)
	{
		nulls[i] = values[i] == 0;
		datums[i] = TimestampTzGetDatum(values[i]);
	}
	return nullable_array(datums, nulls, n, TIMESTAMPTZOID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE);
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
