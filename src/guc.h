/*
 * guc.h
 *	  The settings, whatsapp_shared.*, as C variables.
 *
 * Secrets are not here: see secret.h.
 */
#ifndef WA_GUC_H
#define WA_GUC_H

typedef enum WaUncertainPolicy
{
	WA_UNCERTAIN_AUTO,
	WA_UNCERTAIN_RESEND,
	WA_UNCERTAIN_PARK,
	WA_UNCERTAIN_FAIL
} WaUncertainPolicy;

extern bool wa_guc_enabled;
extern char *wa_guc_databases;
extern char *wa_guc_business_account_id;
extern char *wa_guc_phone_number_id; /* default number, "" if none */
extern char *wa_guc_api_version;
extern char *wa_guc_graph_url;
extern char *wa_guc_ca_file;
extern int wa_guc_senders;
extern int wa_guc_max_in_flight;
extern int wa_guc_max_connections; /* 0: chosen by the protocol spoken */
extern int wa_guc_connect_timeout; /* ms */
extern int wa_guc_request_timeout; /* ms */
extern double wa_guc_messages_per_second;
extern int wa_guc_pair_interval; /* ms */
extern int wa_guc_pair_burst;
extern int wa_guc_max_attempts;
extern int wa_guc_retry_delay;	   /* ms */
extern int wa_guc_retry_max_delay; /* ms */
extern int wa_guc_uncertain_grace; /* ms */
extern int wa_guc_uncertain_policy;
extern char *wa_guc_default_language;
extern int wa_guc_retention;	 /* minutes; 0 keeps all */
extern int wa_guc_sync_interval; /* seconds; 0 never */
extern char *wa_guc_tenant;

extern void wa_guc_define(bool preloading);

#endif
