# whatsapp_shared: PostgreSQL extension (PGXS), its simulator, tests and demo.
EXTENSION = whatsapp_shared
EXTVERSION = $(shell sed -n "s/^default_version = '\(.*\)'/\1/p" whatsapp_shared.control)

MODULE_big = whatsapp_shared
OBJS = \
	src/args.o \
	src/attempt.o \
	src/budget.o \
	src/bulk.o \
	src/checks.o \
	src/claim.o \
	src/content.o \
	src/dbguard.o \
	src/dispatch.o \
	src/due.o \
	src/enqueue.o \
	src/enqueue_rows.o \
	src/error_class.o \
	src/error_codes_sql.o \
	src/fate.o \
	src/gate.o \
	src/graph.o \
	src/graph_reply.o \
	src/guc.o \
	src/http.o \
	src/http_answer.o \
	src/http_buffer.o \
	src/http_headers.o \
	src/http_list.o \
	src/http_session.o \
	src/http_transfer.o \
	src/http_url.o \
	src/init.o \
	src/interactive.o \
	src/job.o \
	src/jsonbutil.o \
	src/jsonread.o \
	src/jsonscan.o \
	src/language.o \
	src/launcher.o \
	src/lifecycle.o \
	src/limiter.o \
	src/lookup.o \
	src/mask.o \
	src/media.o \
	src/media_enqueue.o \
	src/media_form.o \
	src/message.o \
	src/message_limits.o \
	src/notify.o \
	src/notify_create.o \
	src/notify_failure.o \
	src/notify_format.o \
	src/notify_key.o \
	src/notify_parameters.o \
	src/notify_plan.o \
	src/notify_retry.o \
	src/notify_role.o \
	src/notify_scope.o \
	src/options.o \
	src/owner.o \
	src/pair.o \
	src/pair_order.o \
	src/pair_waiting.o \
	src/plan.o \
	src/poller.o \
	src/quiet.o \
	src/recipient.o \
	src/recovery.o \
	src/reply_handlers.o \
	src/schema.o \
	src/secret.o \
	src/senderstate.o \
	src/settle.o \
	src/shmem.o \
	src/signature.o \
	src/stats.o \
	src/store.o \
	src/store_accept.o \
	src/store_claim.o \
	src/store_fence.o \
	src/store_settle.o \
	src/store_wamid.o \
	src/sync.o \
	src/targets.o \
	src/template_build.o \
	src/template_check.o \
	src/template_registry.o \
	src/template_spec.o \
	src/template_values.o \
	src/turns.o \
	src/upkeep.o \
	src/usage.o \
	src/wake.o \
	src/webhook.o \
	src/webhook_apply.o \
	src/webhook_consequence.o \
	src/webhook_contact.o \
	src/webhook_event.o \
	src/webhook_group.o \
	src/webhook_inbound.o \
	src/webhook_park.o \
	src/webhook_preference.o \
	src/webhook_rematch.o \
	src/webhook_reply.o \
	src/webhook_status.o \
	src/webhook_traffic.o \
	src/webhook_update.o \
	src/window.o \
	src/worker.o \
	src/workerfuncs.o

DATA_built = sql/whatsapp_shared--$(EXTVERSION).sql
SQL_FRAGMENTS = $(sort $(wildcard sql/[0-9][0-9]-*.sql))

SHLIB_LINK = -lcurl
EXTRA_CLEAN = sql/whatsapp_shared--$(EXTVERSION).sql build results output_iso tmp_check tmp_check_iso

# make installcheck: against an installed build, as a user that may run servers.
REGRESS = $(sort $(basename $(notdir $(wildcard test/sql/*.sql))))
REGRESS_OPTS = --inputdir=test --encoding=UTF8 --no-locale \
	--temp-instance=./tmp_check --temp-config=test/tools/server.conf
ISOLATION = $(sort $(basename $(notdir $(wildcard test/specs/*.spec))))
ISOLATION_OPTS = --inputdir=test --encoding=UTF8 --no-locale \
	--temp-instance=./tmp_check_iso --temp-config=test/tools/server.conf
TAP_TESTS = 1
PROVE_TESTS = test/t/*.pl
PG_PROVE_FLAGS = -I test/lib

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

# PGXS knows no header dependencies, nor that objects made for another version
# of PostgreSQL or with other flags must be made again; a stale object is a crash.
FLAGS = $(VERSION) $(bindir) $(CC) $(CPPFLAGS) $(CFLAGS)
$(OBJS): $(wildcard src/*.h) build/flags
build/flags: FORCE
	@mkdir -p build
	@echo '$(FLAGS)' | cmp -s - $@ || echo '$(FLAGS)' > $@

# The list is a prerequisite, too: a fragment that has gone must leave the script.
$(DATA_built): $(SQL_FRAGMENTS) whatsapp_shared.control build/fragments
	cat $(SQL_FRAGMENTS) > $@
build/fragments: FORCE
	@mkdir -p build
	@echo '$(SQL_FRAGMENTS)' | cmp -s - $@ || echo '$(SQL_FRAGMENTS)' > $@

# ---- programs beside the extension ----

simulator:
	$(MAKE) -C src/simulator

clean: clean-programs
clean-programs:
	$(MAKE) -C src/simulator clean
	$(MAKE) -C test/unit clean
	$(MAKE) -C test/fuzz clean

# ---- tests: all of them, or one suite; see test/tools/run-tests.sh ----

SUITES = lists conventions format symbols strict sql unit fuzz simulator regress isolation pgtap contract tap

test:
	@PG_CONFIG=$(PG_CONFIG) test/tools/run-tests.sh

$(addprefix check-,$(SUITES)): check-%:
	@PG_CONFIG=$(PG_CONFIG) test/tools/run-tests.sh $*

# ---- what else there is to run ----

# Histories of faults with new seeds, for an hour or HISTORY_SECONDS.
check-history-long:
	@PG_CONFIG=$(PG_CONFIG) WA_TESTS=test/t/050_history.pl \
		HISTORY_SECONDS=$${HISTORY_SECONDS:-3600} test/tools/run-tests.sh tap

# The fuzz targets for an hour each, two at a time, or FUZZ_SECONDS.
check-fuzz-long:
	@PG_CONFIG=$(PG_CONFIG) FUZZ_SECONDS=$${FUZZ_SECONDS:-3600} test/tools/run-tests.sh fuzz

bench:
	@PG_CONFIG=$(PG_CONFIG) test/bench/run.sh

demo:
	@PG_CONFIG=$(PG_CONFIG) demo/run.sh

format:
	clang-format -i src/*.[ch] src/*/*.[ch] $(wildcard test/*/*.[ch])

format-check: check-format

.PHONY: FORCE simulator clean-programs test check-history-long check-fuzz-long bench demo format format-check $(addprefix check-,$(SUITES))
