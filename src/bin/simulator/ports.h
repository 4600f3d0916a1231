/*
 * ports.h
 *	  The ports: one that simulates Meta, and one for control.
 */
#ifndef SIM_PORTS_H
#define SIM_PORTS_H

/* Opens them and prints where they are; "listening on URL" comes last. */
extern void sim_ports_open(void);

/* After the loop. */
extern void sim_ports_close(void);

#endif
