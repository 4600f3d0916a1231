/*
 * peer.h
 *	  Something slow that is asked over a socket, as a database is.
 */
#ifndef PEER_H
#define PEER_H

/*
 * Starts the peer.  answered is called in the loop for each question, in order.
 */
extern void peer_start(void (*answered)(void));

/* Asks a question without waiting for its answer. */
extern void peer_ask(void);

/* Ends the connection as a library would, saying nothing to the loop, and makes another. */
extern void peer_reconnect(void);

#endif
