/*
 * process.c
 *	  What the kernel says of this process, under the names that every client
 *	  library of Prometheus gives it.
 *
 * Files of /proc are made of memory, so reading them does not wait.
 */
#include "bin/gateway/process.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static double
cpu_seconds(void)
{
	struct rusage usage;

	if (getrusage(RUSAGE_SELF, &usage) != 0)
		return 0;
	return (double) (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
		   (double) (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static double
resident_bytes(void)
{
	FILE *file = fopen("/proc/self/statm", "r");
	unsigned long total = 0;
	unsigned long resident = 0;

	if (file == NULL)
		return 0;
	if (fscanf(file, "%lu %lu", &total, &resident) != 2)
		resident = 0;
	fclose(file);
	return (double) resident * (double) sysconf(_SC_PAGESIZE);
}

/* With . and .. and the one that reads the directory. */
static double
open_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	if (dir == NULL)
		return 0;
	while (readdir(dir) != NULL)
		n++;
	closedir(dir);
	return n - 3;
}

void
gw_process_write(GwExposition *exposition)
{
	struct rlimit limit;

	gw_exposition_add(exposition, "process_cpu_seconds_total", GW_COUNTER,
					  "Total user and system CPU time spent in seconds.", "", cpu_seconds());
	gw_exposition_add(exposition, "process_resident_memory_bytes", GW_GAUGE,
					  "Resident memory size in bytes.", "", resident_bytes());
	gw_exposition_add(exposition, "process_open_fds", GW_GAUGE, "Number of open file descriptors.",
					  "", open_descriptors());
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
		gw_exposition_add(exposition, "process_max_fds", GW_GAUGE,
						  "Maximum number of open file descriptors.", "", (double) limit.rlim_cur);
}
