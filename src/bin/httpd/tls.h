/*
 * tls.h
 *	  The certificate for --tls: given, or made at start.
 */
#ifndef HTTPD_TLS_H
#define HTTPD_TLS_H

/* Reads --cert and --key, or makes a CA and a certificate for the loopback names. */
extern void sim_tls_prepare(void);

/* PEM, valid until cleanup. */
extern const char *sim_tls_certificate(void);
extern const char *sim_tls_key(void);

/* The file with the certificate to trust. */
extern const char *sim_tls_ca_file(void);

/* Forgets the key; removes the CA file if it was a temporary one. */
extern void sim_tls_cleanup(void);

#endif
