/*
 * wa_c.h
 *	  First include of the pure files, which are compiled twice: into the
 *	  extension, and into programs without a server (unit tests, fuzzers).
 */
#ifndef WA_C_H
#define WA_C_H

#ifdef FRONTEND
#include "postgres_fe.h"
#else
#include "postgres.h"
#endif

#endif
