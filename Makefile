# The words of this project. `make` alone builds the binary; `make help` lists the rest.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := build
.PHONY: help setup build demo test check lint bench soak fuzz install clean man

PREFIX ?= /usr/local
TARGET := x86_64-unknown-linux-gnu
CARGO_TARGET_DIR ?= $(CURDIR)/target
export CARGO_TARGET_DIR
BUILT := $(CARGO_TARGET_DIR)/$(TARGET)/release/insula
BINARY := $(CURDIR)/target/release/insula
XTASK := cargo run --quiet --package xtask --

help: ## list the words
	@grep -hE '^[a-z]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

setup: ## install what building and testing need (Debian packages, cargo tools)
	@scripts/setup

build: setup ## build the release binary: target/release/insula
	cargo build --locked --release --package insula
	@install -D -m 755 $(BUILT) $(BINARY)
	@echo "built: target/release/insula ($$(du -h --apparent-size $(BINARY) | cut -f1), static)"

demo: build ## make a real Debian 12 image and run it
	@scripts/demo

test: build ## every test, with the release binary
	@scripts/peers
	scripts/peers
	INSULA_BINARY=$(BINARY) cargo nextest run --locked --workspace $${CI:+--profile ci}
	$(XTASK) symbols $(BINARY)

check: setup ## lint and the tests that need no root, in under five minutes
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	$(XTASK) tidy
	cargo nextest run --locked --workspace --exclude insula-tests

lint: setup ## format, clippy, tidy, licences, manual pages, links
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" cargo doc --locked --workspace --no-deps --document-private-items --quiet
	$(XTASK) tidy
	$(XTASK) links
	$(XTASK) man --check
	$(XTASK) commands --check
	$(XTASK) completions --check
	cargo deny --locked check --hide-inclusion-graph bans licenses sources

man: ## write manual pages, completions and the page of commands
	$(XTASK) man
	$(XTASK) commands
	$(XTASK) completions

fuzz: ## each fuzz target for some seconds (needs a nightly toolchain and cargo-fuzz)
	@scripts/fuzz

bench: build ## every figure of SPECIFICATION.md against its peer
	@bench/run

soak: build ## the long runs; never part of CI
	@bench/soak

install: build ## install the binary, manual pages and completions below PREFIX
	install -D -m 755 $(BINARY) $(DESTDIR)$(PREFIX)/bin/insula
	install -d $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 644 packaging/man/*.1 $(DESTDIR)$(PREFIX)/share/man/man1/
	install -D -m 644 packaging/completions/insula.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/insula
	install -D -m 644 packaging/completions/_insula $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_insula
	install -D -m 644 packaging/completions/insula.fish $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/insula.fish

clean: ## remove everything built
	rm -rf $(CURDIR)/target
