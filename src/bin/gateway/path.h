/*
 * path.h
 *	  A request's path, taken apart and decoded.
 */
#ifndef GW_PATH_H
#define GW_PATH_H

#define GW_MAX_SEGMENTS 12
#define GW_MAX_PATH 2048
#define GW_MAX_SEGMENT 256

/* All zeroes is an empty one. */
typedef struct GwPath
{
	char *segments[GW_MAX_SEGMENTS]; /* decoded */
	int n;
	char *memory; /* of the segments */
} GwPath;

/*
 * Takes the path of a request target ("/a/b%20c?query") apart.  Returns NULL, or
 * what is wrong with it, for the client.  A segment is never empty, and contains
 * neither a slash nor a control character nor bytes that are not UTF-8, however
 * they were written: what a proxy in front has checked is what is looked up here.
 */
extern const char *gw_path_split(const char *target, GwPath *out);
extern void gw_path_free(GwPath *path);

#endif
