/*
 * process.h
 *	  What the kernel says of this process.
 */
#ifndef GW_PROCESS_H
#define GW_PROCESS_H

#include "bin/gateway/exposition.h"

extern void gw_process_write(GwExposition *exposition);

#endif
