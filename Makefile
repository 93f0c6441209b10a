# ditkit: GNU make, no configure step. `make help` lists the targets.
#
# Every .c below common/ goes into build/<variant>/libdk.a, every directory tools/NAME into one
# program. Headers are tracked by the compiler (-MMD -MP); changed flags rebuild everything.

PREFIX  ?= /usr/local
DESTDIR ?=
BUILD   ?= release
CC      ?= cc
PROTOC_C ?= protoc-c

.SUFFIXES:
.SECONDARY: # keep objects of test programs
.DEFAULT_GOAL := all
# Warnings stop the build only where someone will fix them: `make lint`.
WERROR  ?= 0

# ---- Packages. What is missing is installed once by scripts/deps.sh (or named, where it may not).
PACKAGES := jansson libpng zlib libprotobuf-c libutf8proc libxxhash
NEED_DEPS := $(shell sh scripts/deps.sh --check >/dev/null 2>&1 || echo yes)

V := build/$(BUILD)
# One short line per step; VERBOSE=1 shows the commands.
Q := $(if $(VERBOSE),,@)
B := $(if $(filter release,$(BUILD)),bin,$(V)/bin)

STD     := -std=c11 -D_POSIX_C_SOURCE=200809L
WARN    := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion -Wstrict-prototypes \
           -Wmissing-prototypes -Wundef -Wvla $(if $(filter 1,$(WERROR)),-Werror)
OPT_release := -O3 -g1
OPT_lint    := -O2
OPT_asan    := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
OPT_fuzz    := -O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-omit-frame-pointer
# No -ffast-math: NaN checks must work, and a*b+c must not fuse differently from file to file.
MATHFLAGS := -fno-math-errno -ffp-contract=off -fno-trapping-math
OPENMP  := $(if $(filter fuzz,$(BUILD)),,-fopenmp)
CFLAGS  += $(OPT_$(BUILD)) $(MATHFLAGS) $(OPENMP)
ALL_CFLAGS = $(STD) $(WARN) $(CFLAGS) -Icommon -Ibuild/gen
LIBS    := -ldnnl -lprotobuf-c -lutf8proc -ljansson -lpng -lz -lm

LIB_SRC  := $(sort $(shell find common -name '*.c'))
PROTOS   := $(sort $(shell find common -name '*.proto'))
GEN_C    := $(PROTOS:common/%.proto=build/gen/%.pb-c.c)
GEN_H    := $(GEN_C:.c=.h)
LIB_OBJ  := $(LIB_SRC:%.c=$(V)/%.o) $(GEN_C:build/gen/%.c=$(V)/gen/%.o)
TOOLS    := $(sort $(patsubst tools/%/main.c,%,$(wildcard tools/*/main.c)))
TOOL_BIN := $(TOOLS:%=$(B)/%)
UNIT_SRC := $(sort $(wildcard tests/unit/test_*.c))
UNIT_BIN := $(UNIT_SRC:tests/unit/%.c=$(V)/tests/%)
UNIT_SUP := $(patsubst %.c,$(V)/%.o,$(filter-out $(UNIT_SRC),$(wildcard tests/unit/*.c)))
FUZZ     := $(sort $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c)))

# The bundled GNNs, from scratch (half a minute). Not part of any other target.
.PHONY: models-gnn
models-gnn: all
	@sh scripts/models_gnn.sh

.PHONY: all deps demo test test-asan fuzz-replay fuzz lint bench install uninstall clean help unit-programs

all: deps $(TOOL_BIN)

help:
	@echo 'make              the programs, in bin/'
	@echo 'make demo         a contact sheet of pictures, build/demo/sheet.png'
	@echo 'make test         all tests; installs what is missing first'
	@echo 'make test-asan    the same under AddressSanitizer and UBSan'
	@echo 'make fuzz         every fuzz target with libFuzzer (clang), FUZZ_SECONDS=60 each'
	@echo 'make lint         layering, shell scripts, static analysis'
	@echo 'make models-gnn   trains the bundled GNNs anew'
	@echo 'make bench        timings, stored in docs/bench (needs a quiet machine)'
	@echo 'make install      PREFIX=/usr/local DESTDIR='
	@echo 'Variables: CC CFLAGS WERROR=1 BUILD=release|asan VERBOSE=1'

# ---- Set-up. A marker is not enough: packages come and go, so ask each time (it is quick).
deps:
ifneq ($(NEED_DEPS),)
	sh scripts/deps.sh
endif

# ---- Library and programs.
# The flags are a prerequisite of every object: other flags, other objects.
FLAGS_FILE := $(V)/flags
FLAGS_NOW  := $(CC) $(ALL_CFLAGS) $(LIBS)
$(shell mkdir -p $(V); printf '%s\n' '$(FLAGS_NOW)' | cmp -s - $(FLAGS_FILE) || printf '%s\n' '$(FLAGS_NOW)' > $(FLAGS_FILE))

build/gen/%.pb-c.c build/gen/%.pb-c.h: common/%.proto | deps
	@mkdir -p build/gen
	@echo '  GEN   $@'
	$(Q)$(PROTOC_C) --proto_path=common --c_out=build/gen $<

$(V)/gen/%.o: build/gen/%.c $(FLAGS_FILE)
	@mkdir -p $(@D)
	@echo '  CC    $<'
	$(Q)$(CC) $(filter-out -W%,$(ALL_CFLAGS)) -MMD -MP -c -o $@ $<

$(V)/%.o: %.c $(FLAGS_FILE) | deps $(GEN_H)
	@mkdir -p $(@D)
	@echo '  CC    $<'
	$(Q)$(CC) $(ALL_CFLAGS) $(if $(findstring tests/,$<),-Itests) -MMD -MP -c -o $@ $<

# Built anew, so that the object of a deleted source does not stay inside.
$(V)/libdk.a: $(LIB_OBJ)
	@rm -f $@
	@echo '  AR    $@'
	$(Q)ar rcs $@ $^

define tool_rule
$(B)/$(1): $(patsubst %.c,$(V)/%.o,$(wildcard tools/$(1)/*.c)) $(V)/libdk.a
	@mkdir -p $$(@D)
	@echo '  LINK  $$@'
	$(Q)$$(CC) $$(CFLAGS) $$(LDFLAGS) -o $$@ $$(filter %.o,$$^) $(V)/libdk.a $$(LIBS)
endef
$(foreach t,$(TOOLS),$(eval $(call tool_rule,$(t))))

# ---- Tests.
$(V)/tests/test_%: $(V)/tests/unit/test_%.o $(UNIT_SUP) $(V)/libdk.a
	@mkdir -p $(@D)
	@echo '  LINK  $@'
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) $(V)/libdk.a -lcmocka $(LIBS)

# Small programs that the command-line cases use.
AID_BIN := $(patsubst tests/tools/%.c,$(V)/tests/%,$(wildcard tests/tools/*.c))
$(AID_BIN): $(V)/tests/%: $(V)/tests/tools/%.o $(V)/libdk.a
	@mkdir -p $(@D)
	@echo '  LINK  $@'
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) $(V)/libdk.a $(LIBS)

unit-programs: deps $(UNIT_BIN) $(AID_BIN)

test: deps
	+@$(MAKE) --no-print-directory all unit-programs
	+@$(MAKE) --no-print-directory BUILD=asan fuzz-programs
	@sh tests/run.sh release

test-asan: deps
	+@$(MAKE) --no-print-directory BUILD=asan all unit-programs fuzz-programs
	@sh tests/run.sh asan

# Each fuzz target is one file with LLVMFuzzerTestOneInput; under gcc a small main replays corpora.
FUZZ_BIN := $(FUZZ:%=$(V)/fuzz/%)
$(V)/fuzz/%: $(V)/tests/fuzz/fuzz_%.o $(V)/tests/fuzz/replay.o $(V)/libdk.a
	@mkdir -p $(@D)
	@echo '  LINK  $@'
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) $(V)/libdk.a $(LIBS)
.PHONY: fuzz-programs
fuzz-programs: deps $(FUZZ_BIN)

FUZZ_SECONDS ?= 60
fuzz: deps
	+@$(MAKE) --no-print-directory BUILD=fuzz CC=clang fuzz-engines
	@sh scripts/fuzz.sh $(FUZZ_SECONDS) $(FUZZ)
.PHONY: fuzz-engines
fuzz-engines: $(FUZZ:%=$(V)/engines/%)
$(V)/engines/%: $(V)/tests/fuzz/fuzz_%.o $(V)/libdk.a
	@mkdir -p $(@D)
	@echo '  LINK  $@'
	$(Q)$(CC) $(subst fuzzer-no-link,fuzzer,$(CFLAGS)) -o $@ $(filter %.o,$^) $(V)/libdk.a $(LIBS)

lint: deps
	+@$(MAKE) --no-print-directory BUILD=lint WERROR=1 build/lint/libdk.a $(patsubst %.c,build/lint/%.o,$(wildcard tools/*/*.c))
	@sh scripts/lint.sh

# ---- Demo and benchmarks.
demo: all
	@sh scripts/demo.sh

bench: all $(patsubst tests/perf/%.c,$(V)/perf/%,$(wildcard tests/perf/bench_*.c))
	@sh scripts/bench.sh
$(V)/perf/%: $(V)/tests/perf/%.o $(V)/libdk.a
	@mkdir -p $(@D)
	@echo '  LINK  $@'
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) $(V)/libdk.a $(LIBS)

# ---- Installation: programs, bundled models with their notices, documents.
install: all
	install -d '$(DESTDIR)$(PREFIX)/bin' '$(DESTDIR)$(PREFIX)/share/ditkit' '$(DESTDIR)$(PREFIX)/share/doc/ditkit'
	install -m 755 $(TOOL_BIN) '$(DESTDIR)$(PREFIX)/bin'
	cp -R models '$(DESTDIR)$(PREFIX)/share/ditkit/'
	install -m 644 README.md '$(DESTDIR)$(PREFIX)/share/doc/ditkit'
	for t in $(TOOLS); do install -m 644 tools/$$t/README.md '$(DESTDIR)$(PREFIX)/share/doc/ditkit/'$$t.md; done

uninstall:
	for t in $(TOOLS); do rm -f '$(DESTDIR)$(PREFIX)/bin/'$$t; done
	rm -rf '$(DESTDIR)$(PREFIX)/share/ditkit' '$(DESTDIR)$(PREFIX)/share/doc/ditkit'

clean:
	rm -rf build bin

-include $(shell find $(V) -name '*.d' 2>/dev/null)
