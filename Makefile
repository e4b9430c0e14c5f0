# bandwidth: order telephone numbers from SQL
#
# A PGXS makefile: "make" builds, "make install" puts the extension into the
# PostgreSQL that PG_CONFIG names.  Everything that does not need a server's
# build system (tests, checks, packaging) is further down and calls script/,
# so that it works the same by hand.

MODULE_big = bandwidth
EXTENSION = bandwidth
DATA = $(wildcard bandwidth--*.sql)
OBJS = $(patsubst %.c,%.o,$(sort $(wildcard src/*.c)))

PG_CONFIG ?= pg_config
PKG_CONFIG ?= pkg-config

# Targets that are ours alone.  PGXS has a "check" too, which only says that
# it has none, so PGXS is left out when nothing but these was asked for.
OURS = check demo unit fuzz lint format format-check bench callback-load sandbox \
	dist

.PHONY: $(OURS)

ifneq ($(or $(filter-out $(OURS),$(MAKECMDGOALS)),$(if $(MAKECMDGOALS),,all)),)

LIBRARIES = libcurl libxml-2.0 libmicrohttpd gnutls

# The server's and the libraries' headers are not ours to keep free of
# warnings: system headers.  -MMD writes each object's list of our headers.
PG_CPPFLAGS = -Isrc -isystem $(shell $(PG_CONFIG) --includedir-server) \
	$(patsubst -I%,-isystem %,$(shell $(PKG_CONFIG) --cflags $(LIBRARIES))) \
	-MMD -MP
# The scripts add COPT=-Werror: a compiler that knows more warnings than ours is
# no reason not to install.
PG_CFLAGS = -std=gnu99 -Wall -Wextra \
	-Wno-unused-parameter -Wno-sign-compare
SHLIB_LINK = $(shell $(PKG_CONFIG) --libs $(LIBRARIES))

# clang takes a few of the flags that Debian's PostgreSQL was built with
# (gcc) for unknown.
ifneq ($(findstring clang,$(CC)),)
PG_CFLAGS += -Wno-unknown-warning-option -Wno-ignored-optimization-argument \
	-Wno-ignored-attributes
endif

# No bitcode: there is nothing in here that inlining into a query would help.
override with_llvm = no

# "make installcheck" wants a running server that preloads the library, and
# the sandbox's address in BW_SANDBOX_URL; "make check" brings its own.
REGRESS = $(sort $(patsubst sql/%.sql,%,$(wildcard sql/*.sql)))

EXTRA_CLEAN = src/*.d src/*.bc test/build bench/build

PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

# Objects depend on this file, too: it holds the flags they are built with.
$(OBJS): Makefile
-include $(OBJS:.o=.d)

else

# Everything, on servers and a sandbox of its own
check:
	script/test

endif

demo:
	script/demo

# C unit tests, and fuzz targets for a while each
unit fuzz:
	script/test --suite $@

lint:
	script/lint

format:
	script/format

format-check:
	script/format --check

bench:
	bench/run

# Posts callbacks, for a benchmark and a test
callback-load:
	$(MAKE) -C bench

sandbox:
	$(MAKE) -C sandbox

# The archive that PGXN takes
DIST = bandwidth-$(shell sed -n 's/^   "version": "\(.*\)",$$/\1/p' META.json)

dist:
	git archive --format zip --prefix=$(DIST)/ --output $(DIST).zip HEAD
