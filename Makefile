# `make help` lists what there is to make.

PREFIX ?= /usr/local
DESTDIR ?=
CARGO ?= cargo
# What `make install` installs as the program: what was built last, found without cargo, which is its user's and not root's. Packages take
# their own build, unless somebody says which.
SAID := $(BINARY)
BINARY ?= $(firstword $(shell ls -t target/*/release/clockgate target/release/clockgate 2>/dev/null))
SCRIPTS = $(shell git ls-files -co --exclude-standard | while read -r f; do \
	[ -f "$$f" ] && head -c 32 "$$f" | head -n 1 | grep -qaE '^\#!.*\b(ba)?sh\b' && echo "$$f"; done)
MANUALS = $(wildcard docs/man/*.[1-8])

# A network namespace and a tap device take root; building does not.
AS_ROOT = $(if $(filter 0,$(shell id -u)),,--config 'target."cfg(all())".runner="sudo --preserve-env=CLOCKGATE_SOAK,CLOCKGATE_SOAK_SEED"')

.SHELLFLAGS := -euo pipefail -c
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help rust build check test night soak demo model fuzz bench install uninstall release packages deb kubernetes rpm tarball image sbom checksums setup \
	clean-lab

# An older cargo would stop at words in .cargo/config.toml and Cargo.lock that it does not know, and not say that it is too old.
RUST_IS_NEW_ENOUGH = wanted=$$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml); \
	found=$$($(CARGO) -V 2>/dev/null | cut -d ' ' -f 2) || true; \
	[ -n "$$found" ] || { echo "clockgate: \`$(CARGO)\` is not found: install Rust $$wanted or later (https://rustup.rs), and build as the user who has it, without sudo" >&2; exit 1; }; \
	[ "$$(printf '%s\n' "$$wanted" "$$found" | sort -V | head -n 1)" = "$$wanted" ] || { echo "clockgate: Rust $$wanted or later is needed, and \`$(CARGO)\` is $$found: install it with rustup (https://rustup.rs); Debian's own is older" >&2; exit 1; }

help: ## List what there is to make
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20
	@( $(RUST_IS_NEW_ENOUGH) ) || true

rust:
	@$(RUST_IS_NEW_ENOUGH)

build: rust ## The release binary: static, one file
	$(CARGO) build --release
	@ls -t target/*/release/clockgate target/release/clockgate 2>/dev/null | head -n 1 || true

setup: ## Install what the tests and the demo need (Debian; root or sudo)
	tests/setup

check: rust ## Format, lints, documentation, licences, scripts, units: the quick half of the tests
	$(CARGO) fmt --all --check
	$(CARGO) clippy --all-targets --features demo -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --no-deps --document-private-items
	@# Advisories need the network, and it is said where there is none; the rest does not, once the crates are there.
	if $(CARGO) deny --version >/dev/null 2>&1; then $(CARGO) deny check bans licenses sources && \
		if $(CARGO) deny fetch db >/dev/null 2>&1; then $(CARGO) deny check --disable-fetch advisories; \
		else echo 'skipped: advisories: their database cannot be fetched from here'; fi; \
		else echo 'skipped: licences: cargo-deny is not installed (cargo install --locked cargo-deny)'; fi
	shellcheck $(SCRIPTS)
	packaging/verify

test: rust ## Everything: make check, then every test; installs what it needs
	tests/setup
	$(MAKE) --no-print-directory check
	$(CARGO) test --no-fail-fast 2>&1 | tests/summary

soak: rust ## A thousand disruptions of random kind, size and overlap, in five boots of a guest; goes on where it was interrupted (root)
	tests/setup
	tests/soak

night: rust ## What is too long for make test: every time daemon until it keeps the clock again, the long soak, a hundred thousand walks, the search, the previous release; writes its record to docs/testing.md (root)
	tests/setup
	tests/night

# The guest is downloaded while the programs are built.
DEMO = --profile demo --features demo -p clockgate
demo: rust ## A night with clockgate beside a night with the usual hook
	@$(CARGO) build -q $(DEMO) --bins & built=$$!; tests/setup demo || { kill $$built; exit 1; }; wait $$built
	$(CARGO) $(AS_ROOT) run -q $(DEMO) --bin clockgate-demo

model: rust ## Search the machine breadth first; ends after 20 million states or 20 minutes, or as CLOCKGATE_MODEL_STATES and CLOCKGATE_MODEL_SECONDS say
	CLOCKGATE_MODEL_STATES=$${CLOCKGATE_MODEL_STATES:-20000000} CLOCKGATE_MODEL_SECONDS=$${CLOCKGATE_MODEL_SECONDS:-1200} \
		$(CARGO) test -p clockgate-model -- 'the laws hold'

fuzz: rust ## Search for inputs that break a check, by libFuzzer (for the night; hours); goes on from where it ended, and writes its table to docs/testing.md
	fuzz/run

bench: rust ## The tables of docs/performance.md, measured on this machine (forty minutes; on a quiet one)
	tests/setup
	$(CARGO) bench --no-run
	$(CARGO) $(AS_ROOT) bench

install: ## Install the program, its units, hooks and manuals below PREFIX (root); with DESTDIR, lay out the files and nothing else
	@DESTDIR='$(DESTDIR)' PREFIX='$(PREFIX)' BINARY='$(BINARY)' packaging/install install

uninstall: ## Take all of it away again: hooks, agent, files, group; leaves /etc/clockgate if you wrote something there (root)
	@DESTDIR='$(DESTDIR)' PREFIX='$(PREFIX)' BINARY='$(BINARY)' packaging/install uninstall

release: rust ## The programs as packages have them: reproducible, and each with the list of its crates in it
	@packaging/package release

packages: ## All of the next seven, in target/dist
	@$(MAKE) -j1 --no-print-directory deb kubernetes rpm tarball image sbom
	@$(MAKE) --no-print-directory checksums

deb kubernetes rpm tarball image: $(if $(SAID),,release)
	@BINARY='$(SAID)' packaging/package $@

deb: ## A package for Debian
kubernetes: ## The publisher for Kubernetes nodes, for Debian
rpm: ## A package for Fedora, RHEL and SUSE
tarball: ## The programs, units and manuals, with an install.sh that can undo itself
image: ## An image of OCI with one file in it: /clockgate
sbom: ## The crates in the programs, with licences and checksums, in CycloneDX
	@packaging/package sbom
checksums: ## SHA256SUMS of what lies in target/dist
	@packaging/package checksums

clean-lab: ## Remove what tests/setup unpacked, from its cache too
	tests/setup clean
