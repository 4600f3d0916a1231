/*
 * config_rows.h
 *	  What a sender keeps in memory of the tables that people write.
 *
 * All need a transaction begun with wa_store_begin, lock nothing, and raise on
 * failure.  Rows and strings live until that transaction ends.
 */
#ifndef WA_SENDER_STORE_CONFIG_ROWS_H
#define WA_SENDER_STORE_CONFIG_ROWS_H

#include "datatype/timestamp.h"

typedef struct WaNumberRow
{
	const char *phone_number_id;
	double messages_per_second;	  /* an operator's; 0: not set */
	const char *throughput_level; /* Meta's word, or NULL */
	const char *messaging_limit;  /* Meta's word, or NULL */
	bool is_on_biz_app;			  /* also in the app on a phone */
	double rate_factor;			  /* share of the rate that is for this installation */
} WaNumberRow;

typedef struct WaTenantRow
{
	const char *tenant_id;
	bool enabled;
	double messages_per_second;	 /* 0: no rate of its own */
	double daily_share;			 /* of the account's messaging limit; below 0: it has none */
	const char *phone_number_id; /* NULL: it has none */
	bool marketing_api;			 /* its marketing templates go to the Marketing Messages API */
	bool takes_over;			 /* its messages take over conversations that others have */
} WaTenantRow;

typedef struct WaPauseRow
{
	const char *scope; /* account, number, tenant, template */
	char *key;
	TimestampTz until; /* DT_NOEND: until somebody lifts it */
} WaPauseRow;

/*
 * Each returns how many there are: all rows, or those that have changed since a
 * reading that began with this; InvalidTransactionId: all.
 */
extern int wa_store_numbers(TransactionId since, WaNumberRow **rows);
extern int wa_store_tenants(TransactionId since, WaTenantRow **rows);
extern int wa_store_pauses(WaPauseRow **rows);

/* The messaging limits that numbers have, each once: Meta's words. */
extern int wa_store_messaging_limits(const char ***limits);

/* What a reading in this transaction begins with. */
extern TransactionId wa_store_config_horizon(void);

#endif
