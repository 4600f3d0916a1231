/*
 * media.h
 *	  Uploaded files.
 */
#ifndef SIM_MEDIA_H
#define SIM_MEDIA_H

#include <stdbool.h>

#include "bin/simulator/path.h"
#include "bin/simulator/request.h"

/* POST /{version}/{number}/media */
extern void sim_media_upload(SimRequest *request, const SimPath *path);

/* GET and DELETE /{version}/{media id}, GET .../content.  False if there is no such file. */
extern bool sim_media_node(SimRequest *request, const SimPath *path);

extern bool sim_media_exists(const char *id);
extern void sim_media_reset(void);

#endif
