/*
 * guc.h
 *	  The settings, whatsapp_shared.*, as C variables.
 *
 * Secrets are not here: see base/secret.h.
 */
#ifndef WA_BASE_GUC_H
#define WA_BASE_GUC_H

/* Bounds that other modules and the tests rely on. */
#define WA_MAX_SENDERS_PER_DATABASE 8
#define WA_MAX_FETCH_SIZE (100 * 1024) /* kB: Meta's limit for a file */
#define WA_MIN_IN_FLIGHT 1
#define WA_MAX_IN_FLIGHT 10000
#define WA_MAX_CONNECTIONS 10000
#define WA_MIN_CONNECT_TIMEOUT 100	  /* ms */
#define WA_MAX_CONNECT_TIMEOUT 120000 /* ms */
#define WA_MIN_REQUEST_TIMEOUT 1000	  /* ms */
#define WA_MAX_REQUEST_TIMEOUT 600000 /* ms */
#define WA_MIN_RATE 0.01			  /* messages per second */
#define WA_MAX_RATE 10000.0			  /* messages per second */
#define WA_MAX_PAIR_INTERVAL 3600000  /* ms: an hour */
#define WA_MAX_PAIR_BURST 10000		  /* messages */
#define WA_MAX_ATTEMPTS 1000		  /* fits smallint with room for retries by hand */
#define WA_MIN_RETRY_DELAY 50		  /* ms */
#define WA_MIN_RETRY_MAX_DELAY 1000	  /* ms */
#define WA_MIN_PAIR_INTERVAL 100	  /* ms, but for 0 */
#define WA_MIN_GRACE 1000			  /* ms */
#define WA_MIN_RETENTION (24 * 60)	  /* minutes: a day, but for 0 */
#define WA_MIN_SYNC_INTERVAL 60		  /* s, but for 0 */
#define WA_MAX_RETRY_DELAY 604800000  /* ms: a week */
#define WA_MAX_GRACE 604800000		  /* ms: a week */
#define WA_MAX_RETENTION 52560000	  /* minutes: a hundred years */
#define WA_MAX_SYNC_INTERVAL 604800	  /* s: a week */
#define WA_MAX_NUMBER_ID_DIGITS 20	  /* ids of numbers and accounts have 15 to 17 today */
#define WA_MIN_NUMBER_ID_DIGITS 5

extern bool wa_guc_enabled;
extern char *wa_guc_databases;
extern char *wa_guc_business_account_id;
extern char *wa_guc_phone_number_id; /* default number, "" if none */
extern char *wa_guc_api_version;
extern char *wa_guc_graph_url; /* without a slash at its end */
extern char *wa_guc_ca_file;
extern int wa_guc_fetch_media_max_size; /* kB */
extern int wa_guc_senders;
extern int wa_guc_max_in_flight;
extern int wa_guc_max_connections; /* 0: chosen by the protocol spoken */
extern int wa_guc_connect_timeout; /* ms */
extern int wa_guc_request_timeout; /* ms */
extern double wa_guc_messages_per_second;
extern double wa_guc_messaging_limit_share;
extern int wa_guc_pair_interval; /* ms */
extern int wa_guc_pair_burst;
extern int wa_guc_max_attempts;
extern int wa_guc_retry_delay;	   /* ms */
extern int wa_guc_retry_max_delay; /* ms */
extern int wa_guc_takeover_grace;
extern int wa_guc_uncertain_grace; /* ms */
extern int wa_guc_uncertain_policy;
extern char *wa_guc_default_language;
extern int wa_guc_retention;	 /* minutes; 0 keeps all */
extern int wa_guc_sync_interval; /* seconds; 0 never */

extern void wa_guc_define(void);

#endif
