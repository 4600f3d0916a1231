/*
 * disk.c
 *	  How much room there is where our tables are, and where WAL is written.
 */
#include "postgres.h"

#include <sys/stat.h>
#include <sys/statvfs.h>

#include "access/xlog_internal.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(wa_internal_disk_space);

/* What users without privileges may still write; a server runs as one. */
static void
put(ReturnSetInfo *rsinfo, const char *what, const struct statvfs *fs)
{
	Datum values[] = {CStringGetTextDatum(what),
					  Int64GetDatum((int64) fs->f_blocks * (int64) fs->f_frsize),
					  Int64GetDatum((int64) fs->f_bavail * (int64) fs->f_frsize)};
	bool nulls[] = {false, false, false};

	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

static void
look(const char *path, struct statvfs *fs, struct stat *place)
{
	if (statvfs(path, fs) != 0 || stat(path, place) != 0)
		ereport(ERROR, (errcode_for_file_access(),
						errmsg("could not determine the free space at \"%s\": %m", path)));
}

/*
 * wa_internal_disk_space(relation regclass): size and free bytes of its file system,
 * and of that of WAL if it is another one.  Paths are relative to the data directory,
 * in which every process of the server is.
 */
Datum
wa_internal_disk_space(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	char *path = TextDatumGetCString(DirectFunctionCall1(pg_relation_filepath, PG_GETARG_DATUM(0)));
	struct statvfs data;
	struct statvfs wal;
	struct stat data_place;
	struct stat wal_place;

	look(path, &data, &data_place);
	look(XLOGDIR, &wal, &wal_place);
	InitMaterializedSRF(fcinfo, 0);
	put(rsinfo, "data", &data);
	if (wal_place.st_dev != data_place.st_dev)
		put(rsinfo, "wal", &wal);
	return (Datum) 0;
}
