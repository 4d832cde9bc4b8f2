# ringdown: the README names `demo` and `test`; the rest is for whoever works on it.
# Everything runs as an ordinary user; what is fetched goes into the user's cache directory.

.PHONY: help demo run test lint bench fuzz chaos mutants openapi clients install clean
.DEFAULT_GOAL := help

CARGO ?= cargo
PREFIX ?= /usr/local

help:
	@echo 'make demo           an alert becomes a call that somebody acknowledges, before your eyes (KEEP=1: leave it running)'
	@echo 'make test           formatting, lints, all tests'
	@echo 'make run            the server, with ./ringdown.toml'
	@echo 'make lint           formatting and lints only'
	@echo 'make bench          figures, with their spread, beside what they are to reach'
	@echo 'make mutants        does a test notice when the deciding code is broken?'
	@echo 'make fuzz           requests that openapi.json allows and many it does not, and random bytes (CASES=200 SEED=1, TIME=60)'
	@echo '                    random bytes for AGI, AMI, Alertmanager deliveries and matchers (TIME=60 seconds each; needs cargo-fuzz)'
	@echo 'make chaos          the server is killed at random moments, and nothing is lost (SECONDS=600, SEED=1)'
	@echo 'make openapi        write openapi/openapi.json anew'
	@echo 'make clients        clients in Python, TypeScript and Rust, made of openapi/openapi.json (see openapi/README.md)'
	@echo 'make install        the binary, the example configuration and a systemd unit below PREFIX (as root)'

demo:
	@scripts/with asterisk espeak -- scripts/demo

run:
	$(CARGO) run --bin ringdown -- serve

test:
	@scripts/with openapi sms asterisk espeak postgres alertmanager prometheus gammu -- scripts/test

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings

bench:
	@scripts/with asterisk espeak postgres -- $(CARGO) bench --quiet --locked -p ringdown --bench trust --bench people --bench api
	@$(CARGO) bench --quiet --locked -p conformance --bench peers

fuzz:
	@RINGDOWN_FUZZ_CASES=$(or $(CASES),200) RINGDOWN_FUZZ_SEED=$(or $(SEED),1) scripts/with openapi espeak -- \
		$(CARGO) test --quiet --locked -p ringdown --test it gates:: -- --nocapture
	@TIME=$(or $(TIME),60) scripts/fuzz

mutants:
	@scripts/mutants

chaos:
	@RINGDOWN_CHAOS_SECONDS=$(or $(SECONDS),600) RINGDOWN_CHAOS_SEED=$(or $(SEED),1) scripts/with asterisk espeak -- \
		$(CARGO) test --quiet --locked -p ringdown --test it chaos::whatever -- --nocapture

openapi:
	$(CARGO) run --quiet --bin ringdown -- openapi > openapi/openapi.json

clients:
	@scripts/with openapi -- scripts/clients

install:
	test -x target/release/ringdown || $(CARGO) build --release --locked --bin ringdown
	install -D -m 755 target/release/ringdown $(DESTDIR)$(PREFIX)/bin/ringdown
	install -D -m 644 ringdown.example.toml $(DESTDIR)$(PREFIX)/share/doc/ringdown/ringdown.example.toml
	install -d $(DESTDIR)$(PREFIX)/share/ringdown
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/ringdown/asterisk asterisk/conf/*.conf asterisk/conf/*.example
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/ringdown/prometheus deploy/prometheus/rules.yml
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/ringdown/grafana deploy/grafana/ringdown.json
	install -D -m 644 deploy/ringdown.service $(DESTDIR)/etc/systemd/system/ringdown.service
	@echo 'next: /etc/ringdown/ringdown.toml, then: systemctl daemon-reload && systemctl enable --now ringdown'

clean:
	$(CARGO) clean
