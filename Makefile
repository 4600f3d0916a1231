# whatsapp_shared: PostgreSQL extension (PGXS), its simulator, tests and demo.
EXTENSION = whatsapp_shared

# Where this file is: in a VPATH build that is not the directory of the build.
TOP := $(patsubst %/,%,$(dir $(firstword $(MAKEFILE_LIST))))
EXTVERSION := $(shell sed -n "s/^default_version = '\(.*\)'/\1/p" $(TOP)/whatsapp_shared.control)

MODULE_big = whatsapp_shared
OBJS = \
	src/base/args.o \
	src/base/arrays.o \
	src/base/caller.o \
	src/base/disk.o \
	src/base/file.o \
	src/base/guc.o \
	src/base/home.o \
	src/base/jsonb.o \
	src/base/life_cycle.o \
	src/base/lookup.o \
	src/base/mark.o \
	src/base/owner.o \
	src/base/ownership.o \
	src/base/quote.o \
	src/base/registration.o \
	src/base/role_section.o \
	src/base/rows.o \
	src/base/schema.o \
	src/base/secret.o \
	src/base/secret_file.o \
	src/base/secret_value.o \
	src/base/similar.o \
	src/base/snapshots.o \
	src/base/statement.o \
	src/base/subtransaction.o \
	src/base/tenant_role.o \
	src/base/version.o \
	src/base/web_address.o \
	src/base/zone.o \
	src/common/blank_text.o \
	src/common/clock.o \
	src/common/jsonread.o \
	src/common/jsonscan.o \
	src/common/language.o \
	src/common/limiter.o \
	src/common/media_types.o \
	src/common/message_state.o \
	src/common/plain_text.o \
	src/common/recipient.o \
	src/common/sha256.o \
	src/common/signature.o \
	src/common/uncertain_policy.o \
	src/common/webhook_body.o \
	src/enqueue/bulk.o \
	src/enqueue/checks.o \
	src/enqueue/content.o \
	src/enqueue/enqueue.o \
	src/enqueue/enqueue_rows.o \
	src/enqueue/interactive.o \
	src/enqueue/lifecycle.o \
	src/enqueue/media_use.o \
	src/enqueue/message_functions.o \
	src/enqueue/options.o \
	src/enqueue/placement.o \
	src/enqueue/queue_guard.o \
	src/enqueue/quiet.o \
	src/enqueue/service_window.o \
	src/enqueue/template_message.o \
	src/graph/error_class.o \
	src/graph/error_codes.o \
	src/graph/mask.o \
	src/graph/media.o \
	src/graph/multipart.o \
	src/graph/request.o \
	src/graph/response.o \
	src/graph/usage_header.o \
	src/http/begun.o \
	src/http/buffer.o \
	src/http/capacity.o \
	src/http/client.o \
	src/http/connections.o \
	src/http/date.o \
	src/http/headers.o \
	src/http/http.o \
	src/http/list.o \
	src/http/lookup.o \
	src/http/outcome.o \
	src/http/poller.o \
	src/http/refusal.o \
	src/http/response.o \
	src/http/session.o \
	src/http/step.o \
	src/http/transfer.o \
	src/http/url.o \
	src/init.o \
	src/launcher/dbguard.o \
	src/launcher/launcher.o \
	src/launcher/room.o \
	src/launcher/standby.o \
	src/launcher/targets.o \
	src/notify/create.o \
	src/notify/failure.o \
	src/notify/fit.o \
	src/notify/format.o \
	src/notify/key.o \
	src/notify/parameters.o \
	src/notify/plan.o \
	src/notify/retry.o \
	src/notify/role.o \
	src/notify/scope.o \
	src/notify/trigger.o \
	src/sender/aside.o \
	src/sender/begin.o \
	src/sender/claim.o \
	src/sender/clean_stop.o \
	src/sender/config.o \
	src/sender/consent.o \
	src/sender/descriptors.o \
	src/sender/dispatch.o \
	src/sender/disposition.o \
	src/sender/due.o \
	src/sender/events.o \
	src/sender/fetch.o \
	src/sender/fetch_client.o \
	src/sender/former_primary.o \
	src/sender/forward.o \
	src/sender/forward_client.o \
	src/sender/home.o \
	src/sender/http_client.o \
	src/sender/measure.o \
	src/sender/notice.o \
	src/sender/overdue.o \
	src/sender/pace/concurrency.o \
	src/sender/pace/gate.o \
	src/sender/pace/messaging_limit.o \
	src/sender/pace/pair.o \
	src/sender/pace/pair_joined.o \
	src/sender/pace/pair_order.o \
	src/sender/pace/pair_person.o \
	src/sender/pace/pair_rest.o \
	src/sender/pace/pair_seed.o \
	src/sender/pace/pair_waiting.o \
	src/sender/pace/turns.o \
	src/sender/prepared.o \
	src/sender/reach.o \
	src/sender/receipts.o \
	src/sender/recovery.o \
	src/sender/session.o \
	src/sender/settle.o \
	src/sender/state/number.o \
	src/sender/state/sender.o \
	src/sender/state/trouble.o \
	src/sender/state/wire.o \
	src/sender/store/acceptance.o \
	src/sender/store/alert.o \
	src/sender/store/claim_rows.o \
	src/sender/store/config_rows.o \
	src/sender/store/consent_rows.o \
	src/sender/store/consequence.o \
	src/sender/store/dispositions.o \
	src/sender/store/due_rows.o \
	src/sender/store/event_rows.o \
	src/sender/store/fence.o \
	src/sender/store/fetch_rows.o \
	src/sender/store/forward_rows.o \
	src/sender/store/home_rows.o \
	src/sender/store/learned.o \
	src/sender/store/lease.o \
	src/sender/store/orphans.o \
	src/sender/store/pair_rows.o \
	src/sender/store/person_rows.o \
	src/sender/store/plan_size.o \
	src/sender/store/prepared_rows.o \
	src/sender/store/reach_rows.o \
	src/sender/store/receipt_rows.o \
	src/sender/store/replication.o \
	src/sender/store/settled_rows.o \
	src/sender/store/sync_rows.o \
	src/sender/store/takeover_rows.o \
	src/sender/store/transaction.o \
	src/sender/store/upkeep_rows.o \
	src/sender/store/upload_rows.o \
	src/sender/store/wamids.o \
	src/sender/sync.o \
	src/sender/takeover.o \
	src/sender/task_client.o \
	src/sender/tasks.o \
	src/sender/trust.o \
	src/sender/uncertain.o \
	src/sender/upkeep.o \
	src/sender/upload.o \
	src/sender/wakes.o \
	src/sender/withdraw.o \
	src/sender/worker.o \
	src/shared/first_xid.o \
	src/shared/hearing.o \
	src/shared/held_numbers.o \
	src/shared/histogram.o \
	src/shared/lost_ids.o \
	src/shared/metricfuncs.o \
	src/shared/processfuncs.o \
	src/shared/shmem.o \
	src/shared/unserved.o \
	src/shared/wake.o \
	src/template/build.o \
	src/template/check.o \
	src/template/check_buttons.o \
	src/template/extras.o \
	src/template/registry.o \
	src/template/shape.o \
	src/template/text_limits.o \
	src/template/values.o \
	src/webhook/account.o \
	src/webhook/apply.o \
	src/webhook/consequence.o \
	src/webhook/contact.o \
	src/webhook/credentials.o \
	src/webhook/delivered.o \
	src/webhook/envelope.o \
	src/webhook/erased.o \
	src/webhook/event.o \
	src/webhook/field.o \
	src/webhook/forward.o \
	src/webhook/group.o \
	src/webhook/handover.o \
	src/webhook/history.o \
	src/webhook/identity_change.o \
	src/webhook/inbound.o \
	src/webhook/ingest.o \
	src/webhook/ingest_many.o \
	src/webhook/learned.o \
	src/webhook/media_type.o \
	src/webhook/newcomer.o \
	src/webhook/park.o \
	src/webhook/preference.o \
	src/webhook/rematch.o \
	src/webhook/reply.o \
	src/webhook/reply_handlers.o \
	src/webhook/reprocess.o \
	src/webhook/status.o \
	src/webhook/traffic.o \
	src/webhook/update.o

# The script of the version is built from its fragments; scripts that update from
# one version to another are written by hand.
DATA_built = sql/whatsapp_shared--$(EXTVERSION).sql
DATA = $(patsubst $(TOP)/%,%,$(wildcard $(TOP)/sql/whatsapp_shared--*--*.sql))
SQL_FRAGMENTS = $(sort $(wildcard $(TOP)/sql/[0-9][0-9]-*.sql))

# A function that the headers do not declare may be missing in the server, too.
PG_CPPFLAGS = -I$(TOP)/src -DWA_VERSION=$(EXTVERSION) -Werror=implicit-function-declaration
SHLIB_LINK = -lcurl -lm
EXTRA_CLEAN = sql/whatsapp_shared--$(EXTVERSION).sql build results output_iso tmp_check tmp_check_iso

# make installcheck: against an installed build, as a user that may run servers.
REGRESS = $(sort $(basename $(notdir $(wildcard test/sql/*.sql))))
REGRESS_OPTS = --inputdir=test --encoding=UTF8 --no-locale \
	--temp-instance=./tmp_check --temp-config=test/tools/server.conf
ISOLATION = $(sort $(basename $(notdir $(wildcard test/specs/*.spec))))
ISOLATION_OPTS = --inputdir=test --encoding=UTF8 --no-locale \
	--temp-instance=./tmp_check_iso --temp-config=test/tools/server.conf
TAP_TESTS = 1
PROVE_TESTS = test/security/*.pl test/t/*.pl
PG_PROVE_FLAGS = -I test/lib

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

# PGXS knows no header dependencies, nor that objects made for another version
# of PostgreSQL or with other flags must be made again; a stale object is a crash.
FLAGS = $(VERSION) $(bindir) $(CC) $(CPPFLAGS) $(CFLAGS)
HEADERS := $(shell find $(TOP)/src -path $(TOP)/src/bin -prune -o -name '*.h' -print)
$(OBJS) $(OBJS:.o=.bc): $(HEADERS) build/flags
build/flags: FORCE
	@mkdir -p build $(sort $(dir $(OBJS)))
	@echo '$(FLAGS)' | cmp -s - $@ || echo '$(FLAGS)' > $@

# A symbol that nobody defines keeps the server from starting.  The linker leaves that
# to the loader; so what no library that we name has must be the server's.
all: build/resolved
build/resolved: $(shlib)
	@mkdir -p $(@D)
	@test ! -x $(bindir)/postgres || { export LC_ALL=C; \
		nm -D --defined-only $(bindir)/postgres | sed 's/.* //; s/@.*//' | sort > $@.server && \
		ldd -r $(abspath $(shlib)) 2>&1 | sed -n 's/^undefined symbol: \([A-Za-z0-9_]*\).*/\1/p' | \
		sort -u | comm -23 - $@.server > $@.missing && \
		if test -s $@.missing; then sed 's|^|$(bindir)/postgres has no symbol |' $@.missing >&2; exit 1; fi; }
	@touch $@

# The list is a prerequisite, too: a fragment that has gone must leave the script.
$(DATA_built): $(SQL_FRAGMENTS) $(TOP)/whatsapp_shared.control build/fragments
	@mkdir -p $(@D)
	cat $(SQL_FRAGMENTS) > $@
build/fragments: FORCE
	@mkdir -p build
	@echo '$(SQL_FRAGMENTS)' | cmp -s - $@ || echo '$(SQL_FRAGMENTS)' > $@

# For a server that loads no foreign library, and the one beside it: docs/managed.md.
OUTBOX_DIR = $(DESTDIR)$(datadir)/whatsapp_shared
install: install-outbox
install-outbox:
	$(MKDIR_P) '$(OUTBOX_DIR)'
	$(INSTALL_DATA) $(TOP)/sql/outbox/application.sql $(TOP)/sql/outbox/sidecar.sql '$(OUTBOX_DIR)/'
uninstall: uninstall-outbox
uninstall-outbox:
	rm -f '$(OUTBOX_DIR)/application.sql' '$(OUTBOX_DIR)/sidecar.sql'

# ---- programs beside the extension ----

simulator:
	$(MAKE) -C $(TOP)/src/bin/simulator

# A site that needs no HTTP needs neither the gateway nor its libraries, so
# "make install" does not ask for it.
gateway:
	$(MAKE) -C $(TOP)/src/bin/gateway PG_CONFIG='$(PG_CONFIG)'

install-gateway:
	$(MAKE) -C $(TOP)/src/bin/gateway PG_CONFIG='$(PG_CONFIG)' install

clean: clean-programs
clean-programs:
	$(MAKE) -C $(TOP)/src/bin/simulator clean
	$(MAKE) -C $(TOP)/src/bin/gateway clean
	$(MAKE) -C $(TOP)/test/simulator/httpd clean
	$(MAKE) -C $(TOP)/test/unit clean
	$(MAKE) -C $(TOP)/test/fuzz clean

# ---- tests: all of them, or one suite; see test/tools/run-tests.sh ----

SUITES = lists conventions format build symbols strict sql unit fuzz simulator regress isolation pgtap contract security tap tap-long

test:
	@PG_CONFIG=$(PG_CONFIG) test/tools/run-tests.sh

$(addprefix check-,$(SUITES)): check-%:
	@PG_CONFIG=$(PG_CONFIG) test/tools/run-tests.sh $*

# ---- what else there is to run ----

# Histories of faults with new seeds, for an hour or HISTORY_SECONDS.
check-history-long:
	@PG_CONFIG=$(PG_CONFIG) WA_TESTS=test/t/050_history.pl \
		HISTORY_SECONDS=$${HISTORY_SECONDS:-3600} test/tools/run-tests.sh tap

# Outbox and sidecar under OUTBOX_KILLS (200) kills of either side and OUTBOX_FAILOVERS (6) failovers.
check-outbox-long:
	@PG_CONFIG=$(PG_CONFIG) WA_TESTS=test/outbox/long.pl test/tools/run-tests.sh tap

# Failovers under Patroni, WA_ROUNDS (3) of each kind; needs root, and makes namespaces.
check-patroni:
	@PG_CONFIG=$(PG_CONFIG) test/patroni/run.sh

# A million histories of persons, or PERSONS_HISTORIES=n; with PERSONS_PROGRESS=file it may be stopped, and goes on from there.
check-persons-long:
	@PG_CONFIG=$(PG_CONFIG) test/tools/run-tests.sh persons

# Which lines of C the tests run; below 90 percent it fails.
coverage:
	@PG_CONFIG=$(PG_CONFIG) test/coverage/run.sh

# Each call that can fail, failed once; see test/failpoints.
check-fail-points:
	@PG_CONFIG=$(PG_CONFIG) test/failpoints/run.sh

# The suites under AddressSanitizer and UBSan: PART=programs here, PART=backend in a chroot, which needs root.
check-sanitizers:
	@PG_CONFIG=$(PG_CONFIG) test/sanitizers/run.sh $(PART)

# A server and its sender under valgrind.
check-valgrind:
	@PG_CONFIG=$(PG_CONFIG) test/valgrind/run.sh

# The suites on a PostgreSQL built with assertions; WA_SUITES and WA_TESTS choose.
check-assertions:
	@PG_CONFIG=$(PG_CONFIG) test/assertions/run.sh

# TESTS, files of t or pgtap, TIMES (10) times each at the lowest priority and beside a busy process.
check-repeat:
	@PG_CONFIG=$(PG_CONFIG) WA_TESTS='$(TESTS)' WA_TIMES='$(TIMES)' test/tools/run-tests.sh repeat

# docs/reference, from the catalog; the suite sql compares it.
references:
	@PG_CONFIG=$(PG_CONFIG) test/tools/run-tests.sh references

# The fuzz targets for an hour each, two at a time, or FUZZ_SECONDS.
check-fuzz-long:
	@PG_CONFIG=$(PG_CONFIG) FUZZ_SECONDS=$${FUZZ_SECONDS:-3600} test/tools/run-tests.sh fuzz

bench:
	@PG_CONFIG=$(PG_CONFIG) test/bench/run.sh $(MEASURES)

# "make bench webhooks" measures that alone: the other goals are measures.
ifeq ($(firstword $(MAKECMDGOALS)),bench)
MEASURES := $(filter-out bench,$(MAKECMDGOALS))
ifneq ($(MEASURES),)
.PHONY: $(MEASURES)
$(MEASURES): ; @:
endif
endif

demo:
	@PG_CONFIG=$(PG_CONFIG) demo/run.sh

demo-managed:
	@PG_CONFIG=$(PG_CONFIG) demo/managed.sh

# ---- packages ----

# Debian packages, and an image for CloudNativePG; see packaging/README.md.
deb:
	packaging/build-deb.sh

oci:
	@PG_CONFIG=$(PG_CONFIG) packaging/build-oci.sh

# A tree that can be tagged: the script frozen, the changelog dated.
release:
	@packaging/release.sh

# These need root and chroots, and are no part of "make test".
check-deb:
	@test/packaging/deb.sh

check-matrix:
	@test/matrix/run.sh $(MATRIX)

# Of these what says soonest whether a version works: it builds, with the server's own warnings
# as errors, and sends.
check-matrix-smoke:
	@COPT=-Werror WA_SUITES='regress tap' WA_TESTS='test/t/020_*.pl' test/matrix/run.sh $(MATRIX)

format:
	clang-format -i $$(find src test -name '*.[ch]')

format-check: check-format

.PHONY: FORCE install-outbox uninstall-outbox simulator gateway install-gateway clean-programs test check-history-long check-persons-long check-outbox-long check-patroni check-repeat check-fuzz-long coverage check-fail-points check-sanitizers check-valgrind check-assertions references bench demo demo-managed deb oci release check-deb check-matrix check-matrix-smoke format format-check $(addprefix check-,$(SUITES))
