/*
 * error_codes.c
 *	  The table of error codes as rows.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "graph/error_class.h"

#define COLUMNS 7

PG_FUNCTION_INFO_V1(wa_internal_error_codes);

static Datum
interval_of_seconds(int seconds)
{
	Interval *interval = palloc0(sizeof(Interval));

	interval->time = seconds * USECS_PER_SEC;
	return IntervalPGetDatum(interval);
}

/*
 * One row for each code, also where the table has a range of them, so that
 * "WHERE code = ..." finds it.
 */
Datum
wa_internal_error_codes(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < wa_error_codes_count; i++)
	{
		const WaErrorCode *row = &wa_error_codes[i];
		Datum values[COLUMNS];
		bool nulls[COLUMNS] = {false};

		values[1] = CStringGetTextDatum(row->title);
		values[2] = CStringGetTextDatum(wa_error_class_name(row->error_class));
		values[3] = interval_of_seconds(row->pause_seconds);
		nulls[3] = row->pause_seconds == 0;
		values[4] = Int32GetDatum(row->max_retries);
		nulls[4] = row->max_retries == 0;
		values[5] = BoolGetDatum(row->opts_out);
		values[6] = CStringGetTextDatum(row->remedy);
		for (int code = row->first; code <= row->last; code++)
		{
			values[0] = Int32GetDatum(code);
			tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
		}
	}
	return (Datum) 0;
}
