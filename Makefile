# whatsapp_shared: PostgreSQL extension (PGXS), its simulator, tests and demo.
EXTENSION = whatsapp_shared
EXTVERSION = $(shell sed -n "s/^default_version = '\(.*\)'/\1/p" whatsapp_shared.control)

MODULE_big = whatsapp_shared
OBJS = \
	src/args.o \
	src/budget.o \
	src/claim.o \
	src/dbguard.o \
	src/dispatch.o \
	src/enqueue.o \
	src/enqueue_rows.o \
	src/error_class.o \
	src/error_codes_sql.o \
	src/graph.o \
	src/graph_reply.o \
	src/guc.o \
	src/http.o \
	src/http_headers.o \
	src/http_transfer.o \
	src/init.o \
	src/job.o \
	src/jsonscan.o \
	src/launcher.o \
	src/limiter.o \
	src/lookup.o \
	src/mask.o \
	src/message.o \
	src/options.o \
	src/plan.o \
	src/poller.o \
	src/quiet.o \
	src/recipient.o \
	src/recovery.o \
	src/schema.o \
	src/secret.o \
	src/senderstate.o \
	src/settle.o \
	src/shmem.o \
	src/signature.o \
	src/stats.o \
	src/store.o \
	src/sync.o \
	src/targets.o \
	src/upkeep.o \
	src/usage.o \
	src/wake.o \
	src/webhook.o \
	src/webhook_apply.o \
	src/webhook_consequence.o \
	src/webhook_park.o \
	src/webhook_status.o \
	src/webhook_update.o \
	src/worker.o \
	src/workerfuncs.o

DATA_built = sql/whatsapp_shared--$(EXTVERSION).sql
SQL_FRAGMENTS = $(sort $(wildcard sql/[0-9][0-9]-*.sql))

SHLIB_LINK = -lcurl
EXTRA_CLEAN = sql/whatsapp_shared--$(EXTVERSION).sql

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

# PGXS knows no header dependencies; a stale object after a change of a struct is a crash.
$(OBJS): $(wildcard src/*.h)

$(DATA_built): $(SQL_FRAGMENTS) whatsapp_shared.control
	cat $(SQL_FRAGMENTS) > $@
