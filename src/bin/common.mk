# What the Makefiles of the programs here share.  One of them reads:
#
#	PROGRAM = wa_example
#	OBJS = main.o routes.o
#	LIBS = -ljansson
#	include ../common.mk
#
# That makes PROGRAM out of OBJS and the HTTP server in httpd/.  Each program
# compiles httpd/ into its own build directory, so two programs can be built at
# the same time, each with its own flags.
#
#	make CFLAGS='-O1 -g' SAN='-fsanitize=address,undefined'
BIN := $(patsubst %/,%,$(dir $(lastword $(MAKEFILE_LIST))))

CC ?= cc
CFLAGS ?= -O2 -g
BIN_CFLAGS = -std=gnu11 -Wall -Wextra -Wmissing-prototypes -Wstrict-prototypes \
	-Wdeclaration-after-statement -Wshadow -Wvla -Wformat=2 -Wno-unused-parameter -Wno-sign-compare
BIN_CPPFLAGS = -D_GNU_SOURCE -I$(BIN)/.. -MMD -MP
COMPILE = $(CC) $(BIN_CFLAGS) $(CFLAGS) $(SAN) $(BIN_CPPFLAGS) $(CPPFLAGS)

HTTPD_OBJS = \
	httpd/buf.o \
	httpd/clock.o \
	httpd/connection.o \
	httpd/head.o \
	httpd/lag.o \
	httpd/listener.o \
	httpd/loop.o \
	httpd/reply.o \
	httpd/request.o \
	httpd/timer.o \
	httpd/tls.o \
	httpd/util.o
HTTPD_LIBS = -lmicrohttpd -lgnutls

# What a program takes from ../common, common/jsonscan.o say, is in COMMON_OBJS.
ALL_OBJS = $(addprefix build/,$(OBJS) $(HTTPD_OBJS) $(COMMON_OBJS))

$(PROGRAM): $(ALL_OBJS)
	$(CC) $(CFLAGS) $(SAN) -o $@ $(ALL_OBJS) $(LDFLAGS) $(LIBS) $(HTTPD_LIBS)

build/%.o: %.c build/flags
	$(COMPILE) -c -o $@ $<

build/httpd/%.o: $(BIN)/httpd/%.c build/flags
	$(COMPILE) -c -o $@ $<

build/common/%.o: $(BIN)/../common/%.c build/flags
	$(COMPILE) -c -o $@ $<

# Objects made with other flags, without sanitizers say, are made again.
build/flags: FORCE
	@mkdir -p build/httpd build/common
	@echo '$(COMPILE)' | cmp -s - $@ || echo '$(COMPILE)' > $@

clean:
	rm -rf build $(PROGRAM)

-include $(ALL_OBJS:.o=.d)

.PHONY: FORCE clean
