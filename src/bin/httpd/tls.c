/*
 * tls.c
 *	  The certificate for --tls: given, or made at start.
 *
 * The CA lives as long as the process and its key is never written, so that
 * trusting the file trusts this one run only.
 */
#include "bin/httpd/tls.h"

#include <errno.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "bin/httpd/buf.h"
#include "bin/simulator/settings.h"
#include "bin/httpd/util.h"

static char *certificate;
static char *key;
static char *ca_file;
static bool ca_file_temporary;

#define CHECK(call)                                                                                \
	do                                                                                             \
	{                                                                                              \
		int check_result = (call);                                                                 \
                                                                                                   \
		if (check_result < 0)                                                                      \
			sim_die("could not make a certificate: %s", gnutls_strerror(check_result));            \
	} while (0)

static char *
read_file(const char *path)
{
	FILE *f = fopen(path, "re");
	SimBuf buf = {0};
	char piece[4096];
	size_t n;

	if (f == NULL)
		sim_die("could not open \"%s\": %s", path, strerror(errno));
	sim_buf_reserve(&buf, 0);
	while ((n = fread(piece, 1, sizeof(piece), f)) > 0)
		sim_buf_add(&buf, piece, n);
	if (ferror(f))
		sim_die("could not read \"%s\": %s", path, strerror(errno));
	fclose(f);
	return buf.data;
}

static void
write_ca(const char *pem)
{
	FILE *f;

	if (sim_settings.ca_out[0] != '\0')
	{
		ca_file = sim_strdup(sim_settings.ca_out);
		f = fopen(ca_file, "we");
	}
	else
	{
		int fd;

		ca_file = sim_strdup("/tmp/wa_simulator_ca.XXXXXX");
		ca_file_temporary = true;
		fd = mkstemp(ca_file);
		f = fd < 0 ? NULL : fdopen(fd, "w");
	}
	if (f == NULL || fputs(pem, f) == EOF || fchmod(fileno(f), 0644) != 0 || fclose(f) != 0)
		sim_die("could not write \"%s\": %s", ca_file, strerror(errno));
}

static char *
exported(gnutls_datum_t datum)
{
	char *text = sim_strdup((const char *) datum.data);

	gnutls_free(datum.data);
	return text;
}

static gnutls_x509_crt_t
new_certificate(gnutls_x509_privkey_t private_key, const char *name)
{
	gnutls_x509_crt_t crt;
	uint64_t serial = sim_seed_from_system() >> 1;
	time_t now = time(NULL);

	CHECK(gnutls_x509_crt_init(&crt));
	CHECK(gnutls_x509_crt_set_version(crt, 3));
	CHECK(gnutls_x509_crt_set_serial(crt, &serial, sizeof(serial)));
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

static void
make_certificates(void)
{
	static const unsigned char loopback4[] = {127, 0, 0, 1};
	static const unsigned char loopback6[16] = {[15] = 1};
	gnutls_x509_privkey_t ca_key = new_key();
	gnutls_x509_privkey_t server_key = new_key();
	gnutls_x509_crt_t ca = new_certificate(ca_key, "wa_simulator CA");
	gnutls_x509_crt_t server = new_certificate(server_key, "localhost");
	gnutls_datum_t pem;
	char *ca_pem;

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
	certificate = exported(pem);
	CHECK(gnutls_x509_privkey_export2(server_key, GNUTLS_X509_FMT_PEM, &pem));
	key = exported(pem);
	write_ca(ca_pem);

	free(ca_pem);
	gnutls_x509_crt_deinit(server);
	gnutls_x509_crt_deinit(ca);
	gnutls_x509_privkey_deinit(server_key);
	gnutls_x509_privkey_deinit(ca_key);
}

void
sim_tls_prepare(void)
{
	if ((sim_settings.cert[0] == '\0') != (sim_settings.key[0] == '\0'))
		sim_die("--cert and --key belong together");
	if (sim_settings.cert[0] == '\0')
	{
		make_certificates();
		return;
	}
	certificate = read_file(sim_settings.cert);
	key = read_file(sim_settings.key);

	/* Whoever brings a certificate knows its CA; ours to say is the chain. */
	if (sim_settings.ca_out[0] != '\0')
		write_ca(certificate);
	else
		ca_file = sim_strdup(sim_settings.cert);
}

const char *
sim_tls_certificate(void)
{
	return certificate;
}

const char *
sim_tls_key(void)
{
	return key;
}

const char *
sim_tls_ca_file(void)
{
	return ca_file;
}

void
sim_tls_cleanup(void)
{
	if (ca_file_temporary)
		unlink(ca_file);
	if (key != NULL)
		gnutls_memset(key, 0, strlen(key));
	free(certificate);
	free(key);
	free(ca_file);
	certificate = key = ca_file = NULL;
}
