/*
 * tls.h
 *	  A certificate for a listener: from files, or made on the spot.
 */
#ifndef HTTPD_TLS_H
#define HTTPD_TLS_H

#include <stdbool.h>

/* All zeroes is none.  The texts are PEM. */
typedef struct HttpdTls
{
	char *certificate;
	char *key;
	char *ca_file; /* with the certificate that clients must trust */
	bool ca_file_temporary;
} HttpdTls;

/* Both end the program if a file cannot be read or written. */

/*
 * Reads a certificate (chain) and its key.  Clients are assumed to know the
 * certificate's CA; the chain is also written to ca_out unless that is NULL.
 */
extern void httpd_tls_read(HttpdTls *tls, const char *certificate_file, const char *key_file,
						   const char *ca_out);

/*
 * Makes a CA and a certificate for the loopback names, and writes the CA's
 * certificate to ca_out or, if that is NULL, to a temporary file.
 */
extern void httpd_tls_make(HttpdTls *tls, const char *ca_out);

/* Wipes the key; removes the CA file if it is a temporary one. */
extern void httpd_tls_free(HttpdTls *tls);

#endif
