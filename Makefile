# `make help` lists what there is to make.

PREFIX ?= /usr/local
DESTDIR ?=
CARGO ?= cargo
RELEASE := $(shell $(CARGO) -vV 2>/dev/null | sed -n 's/^host: //p')/release/clockgate
# What `make install` installs as the program.
BINARY ?= target/$(RELEASE)
SCRIPTS = $(shell git ls-files -co --exclude-standard | while read -r f; do \
	[ -f "$$f" ] && head -c 32 "$$f" | head -n 1 | grep -qaE '^\#!.*\b(ba)?sh\b' && echo "$$f"; done)
UNITS = $(wildcard packaging/usr/lib/systemd/system/*.service packaging/usr/lib/systemd/system/*.target)

.SHELLFLAGS := -euo pipefail -c
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help build check test demo bench install setup clean-lab

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
	@# Advisories need the network; the rest does not.
	if [ -f deny.toml ] && $(CARGO) deny --version >/dev/null 2>&1; then \
		$(CARGO) deny --offline check bans licenses sources; fi
	shellcheck $(SCRIPTS)
	$(if $(UNITS),tests/verify-units $(UNITS))

test: ## Everything: make check, then every test; installs what it needs
	tests/setup
	$(MAKE) --no-print-directory check
	$(CARGO) test --no-fail-fast 2>&1 | tests/summary

demo: ## A night with clockgate beside a night with the usual hook
	tests/setup
	$(CARGO) test --test demo

bench: ## The ratios of docs/performance.md, measured on this machine
	tests/setup
	$(CARGO) bench

install: ## Install the release binary and its units below DESTDIR and PREFIX
	@[ -f "$(BINARY)" ] || { echo "there is no $(BINARY): run make build first" >&2; exit 1; }
	install -D -m 755 "$(BINARY)" "$(DESTDIR)$(PREFIX)/bin/clockgate"

clean-lab: ## Remove what tests/setup unpacked
	rm -rf target/lab
