# `make help` lists what there is to make.

PREFIX ?= /usr/local
DESTDIR ?=
CARGO ?= cargo
RELEASE := $(shell $(CARGO) -vV 2>/dev/null | sed -n 's/^host: //p')/release/clockgate
# What `make install` installs as the program.
BINARY ?= target/$(RELEASE)
SCRIPTS = $(shell git ls-files -co --exclude-standard | while read -r f; do \
	[ -f "$$f" ] && head -c 32 "$$f" | head -n 1 | grep -qaE '^\#!.*\b(ba)?sh\b' && echo "$$f"; done)
MANUALS = $(wildcard docs/man/*.[1-8])

# A network namespace and a tap device take root; building does not.
AS_ROOT = $(if $(filter 0,$(shell id -u)),,--config 'target."cfg(all())".runner="sudo --preserve-env=CLOCKGATE_SOAK,CLOCKGATE_SOAK_SEED"')

.SHELLFLAGS := -euo pipefail -c
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help build check test night soak demo bench install setup clean-lab

help: ## List what there is to make
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

build: ## The release binary: static, one file
	$(CARGO) build --release
	@echo target/$(RELEASE)

setup: ## Install what the tests and the demo need (Debian; root or sudo)
	tests/setup

check: ## Format, lints, documentation, licences, scripts, units: the quick half of the tests
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --no-deps --document-private-items
	@# Advisories need the network; the rest does not, once the crates are there.
	if $(CARGO) deny --version >/dev/null 2>&1; then $(CARGO) deny check bans licenses sources; \
		else echo 'skipped: licences: cargo-deny is not installed (cargo install --locked cargo-deny)'; fi
	shellcheck $(SCRIPTS)
	packaging/verify

test: ## Everything: make check, then every test; installs what it needs
	tests/setup
	$(MAKE) --no-print-directory check
	$(CARGO) test --no-fail-fast 2>&1 | tests/summary

soak: ## 200 disruptions of random kind, size and overlap in one guest; CLOCKGATE_SOAK_SEED repeats a failure (for the night)
	tests/setup
	CLOCKGATE_SOAK=$${CLOCKGATE_SOAK:-200} $(CARGO) $(AS_ROOT) test --test uml -- soak::

night: ## What is too long for make test: the long soak, a hundred thousand walks; writes its record to docs/testing.md (root)
	tests/setup
	tests/night

demo: ## A night with clockgate beside a night with the usual hook
	tests/setup
	$(CARGO) test -q --test demo --no-run
	$(CARGO) $(AS_ROOT) test -q --test demo

bench: ## The tables of docs/performance.md, measured on this machine (forty minutes; on a quiet one)
	tests/setup
	$(CARGO) bench --no-run
	$(CARGO) $(AS_ROOT) bench

# systemd, D-Bus and polkit look for most of packaging/ in /usr alone, so that goes there whatever PREFIX is.
install: ## Install the program, its units, hooks and manuals below DESTDIR and PREFIX
	@[ -f "$(BINARY)" ] || { echo "there is no $(BINARY): run make build first" >&2; exit 1; }
	install -D -m 755 "$(BINARY)" "$(DESTDIR)$(PREFIX)/bin/clockgate"
	install -D -m 755 "$(BINARY)-oci" "$(DESTDIR)$(PREFIX)/lib/clockgate/clockgate-oci"
	for runtime in runc crun; do ln -sf clockgate-oci "$(DESTDIR)$(PREFIX)/lib/clockgate/clockgate-$$runtime"; done
	cd packaging && find usr -type f | while read -r file; do \
		install -d "$(DESTDIR)/$${file%/*}"; \
		sed 's|/usr/bin/clockgate|$(PREFIX)/bin/clockgate|' "$$file" | install -m 644 /dev/stdin "$(DESTDIR)/$$file"; done
	install -d "$(DESTDIR)/usr/lib/systemd/system-sleep" "$(DESTDIR)$(PREFIX)/lib/clockgate"
	for hook in hooks/*; do \
		case $$hook in */systemd-sleep) to=/usr/lib/systemd/system-sleep/clockgate ;; *) to=$(PREFIX)/lib/clockgate/$${hook##*/} ;; esac; \
		sed 's|/usr/bin/clockgate|$(PREFIX)/bin/clockgate|' "$$hook" | install -m 755 /dev/stdin "$(DESTDIR)$$to"; done
	for page in $(MANUALS); do \
		install -D -m 644 "$$page" "$(DESTDIR)$(PREFIX)/share/man/man$${page##*.}/$${page##*/}"; done

clean-lab: ## Remove what tests/setup unpacked
	rm -rf --one-file-system target/lab
