/*
 * tls.c
 *	  A certificate for a listener: from files, or made on the spot.
 *
 * A CA that is made here lives as long as the process and its key is never
 * written, so whoever trusts the file trusts this one run only.
 */
#include "bin/httpd/tls.h"

#include <errno.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "bin/httpd/buf.h"
#include "bin/httpd/util.h"

#define CHECK(call)                                                                                \
	do                                                                                             \
	{                                                                                              \
		int check_result = (call);                                                                 \
                                                                                                   \
		if (check_result < 0)                                                                      \
			httpd_die("could not make a certificate: %s", gnutls_strerror(check_result));          \
	} while (0)

static char *
read_file(const char *path)
{
	FILE *f = fopen(path, "re");
	HttpdBuf buf = {0};
	char piece[4096];
	size_t n;

	if (f == NULL)
		httpd_die("could not open \"%s\": %s", path, strerror(errno));
	httpd_buf_reserve(&buf, 0);
	while ((n = fread(piece, 1, sizeof(piece), f)) > 0)
		httpd_buf_add(&buf, piece, n);
	if (ferror(f))
		httpd_die("could not read \"%s\": %s", path, strerror(errno));
	fclose(f);
	return buf.data;
}

static FILE *
create_temporary(HttpdTls *tls)
{
	HttpdBuf path = {0};
	int fd;

	httpd_buf_printf(&path, "/tmp/%s_ca.XXXXXX", program_invocation_short_name);
	tls->ca_file = path.data;
	tls->ca_file_temporary = true;
	fd = mkstemp(tls->ca_file);
	return fd < 0 ? NULL : fdopen(fd, "w");
}

static void
write_ca(HttpdTls *tls, const char *pem, const char *ca_out)
{
	FILE *f;

	if (ca_out == NULL)
		f = create_temporary(tls);
	else
	{
		tls->ca_file = httpd_strdup(ca_out);
		f = fopen(ca_out, "we");
	}
	if (f == NULL || fputs(pem, f) == EOF || fchmod(fileno(f), 0644) != 0 || fclose(f) != 0)
		httpd_die("could not write \"%s\": %s", tls->ca_file, strerror(errno));
}

static char *
exported(gnutls_datum_t datum)
{
	char *text = httpd_strdup((const char *) datum.data);

	gnutls_free(datum.data);
	return text;
}

static gnutls_x509_crt_t
new_certificate(gnutls_x509_privkey_t private_key, const char *name)
{
	gnutls_x509_crt_t crt;
	unsigned char serial[8];
	time_t now = time(NULL);

	/* Positive, as RFC 5280 wants it. */
	CHECK(gnutls_rnd(GNUTLS_RND_NONCE, serial, sizeof(serial)));
	serial[0] &= 0x7f;

	CHECK(gnutls_x509_crt_init(&crt));
	CHECK(gnutls_x509_crt_set_version(crt, 3));
	CHECK(gnutls_x509_crt_set_serial(crt, serial, sizeof(serial)));
	CHECK(gnutls_x509_crt_set_activation_time(crt, now - 3600));
	CHECK(gnutls_x509_crt_set_expiration_time(crt, now + 365 * 86400));
	CHECK(gnutls_x509_crt_set_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, name,
										(unsigned int) strlen(name)));
	CHECK(gnutls_x509_crt_set_key(crt, private_key));
	return crt;
}

static gnutls_x509_privkey_t
new_key(void)
{
	gnutls_x509_privkey_t private_key;

	CHECK(gnutls_x509_privkey_init(&private_key));
	CHECK(gnutls_x509_privkey_generate(private_key, GNUTLS_PK_ECDSA,
									   GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0));
	return private_key;
}

void
httpd_tls_make(HttpdTls *tls, const char *ca_out)
{
	static const unsigned char loopback4[] = {127, 0, 0, 1};
	static const unsigned char loopback6[16] = {[15] = 1};
	gnutls_x509_privkey_t ca_key = new_key();
	gnutls_x509_privkey_t server_key = new_key();
	gnutls_x509_crt_t ca;
	gnutls_x509_crt_t server = new_certificate(server_key, "localhost");
	unsigned int number;
	char name[64];
	gnutls_datum_t pem;
	char *ca_pem;

	/* Whoever trusts two of them must be able to tell them apart. */
	CHECK(gnutls_rnd(GNUTLS_RND_NONCE, &number, sizeof(number)));
	snprintf(name, sizeof(name), "%s CA %08x", program_invocation_short_name, number);
	ca = new_certificate(ca_key, name);
	CHECK(gnutls_x509_crt_set_basic_constraints(ca, 1, 0));
	CHECK(gnutls_x509_crt_set_key_usage(ca, GNUTLS_KEY_KEY_CERT_SIGN));
	CHECK(gnutls_x509_crt_sign2(ca, ca, ca_key, GNUTLS_DIG_SHA256, 0));

	CHECK(gnutls_x509_crt_set_basic_constraints(server, 0, -1));
	CHECK(gnutls_x509_crt_set_key_usage(server, GNUTLS_KEY_DIGITAL_SIGNATURE));
	CHECK(gnutls_x509_crt_set_key_purpose_oid(server, GNUTLS_KP_TLS_WWW_SERVER, 0));
	CHECK(gnutls_x509_crt_set_subject_alt_name(server, GNUTLS_SAN_DNSNAME, "localhost", 9,
											   GNUTLS_FSAN_SET));
	CHECK(gnutls_x509_crt_set_subject_alt_name(server, GNUTLS_SAN_IPADDRESS, loopback4,
											   sizeof(loopback4), GNUTLS_FSAN_APPEND));
	CHECK(gnutls_x509_crt_set_subject_alt_name(server, GNUTLS_SAN_IPADDRESS, loopback6,
											   sizeof(loopback6), GNUTLS_FSAN_APPEND));
	CHECK(gnutls_x509_crt_sign2(server, ca, ca_key, GNUTLS_DIG_SHA256, 0));

	CHECK(gnutls_x509_crt_export2(ca, GNUTLS_X509_FMT_PEM, &pem));
	ca_pem = exported(pem);
	CHECK(gnutls_x509_crt_export2(server, GNUTLS_X509_FMT_PEM, &pem));
	tls->certificate = exported(pem);
	CHECK(gnutls_x509_privkey_export2(server_key, GNUTLS_X509_FMT_PEM, &pem));
	tls->key = exported(pem);
	write_ca(tls, ca_pem, ca_out);

	free(ca_pem);
	gnutls_x509_crt_deinit(server);
	gnutls_x509_crt_deinit(ca);
	gnutls_x509_privkey_deinit(server_key);
	gnutls_x509_privkey_deinit(ca_key);
}

void
httpd_tls_read(HttpdTls *tls, const char *certificate_file, const char *key_file,
			   const char *ca_out)
{
	tls->certificate = read_file(certificate_file);
	tls->key = read_file(key_file);
	if (ca_out != NULL)
		write_ca(tls, tls->certificate, ca_out);
	else
		tls->ca_file = httpd_strdup(certificate_file);
}

void
httpd_tls_free(HttpdTls *tls)
{
	if (tls->ca_file_temporary)
		unlink(tls->ca_file);
	if (tls->key != NULL)
		gnutls_memset(tls->key, 0, strlen(tls->key));
	free(tls->certificate);
	free(tls->key);
	free(tls->ca_file);
	memset(tls, 0, sizeof(*tls));
}
