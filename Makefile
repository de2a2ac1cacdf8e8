# `make` alone lists what there is.

SHELL := bash
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

ARGS ?=
PKG ?= ./...
TEST_TIMEOUT ?= 20m
FUZZ_TIME ?= 10s
BASE ?= origin/main

# The tools of tools/go.mod are built once and kept by what they are built from. They need no C compiler.
TOOLS := .bin/$(shell cat tools/go.mod tools/go.sum <(go env GOVERSION GOOS GOARCH) | cksum | tr ' ' -)
GOLANGCI := $(TOOLS)/golangci-lint
GOTESTSUM := $(TOOLS)/gotestsum
GOVULNCHECK := $(TOOLS)/govulncheck
OASDIFF := $(TOOLS)/oasdiff
SQLC := $(TOOLS)/sqlc

# The race detector needs a C compiler; a machine without one runs the same tests without it.
RACE := $(shell command -v "$$(go env CC)" >/dev/null && echo -race)

##@ Try it

demo: ## the whole path on this machine, from an order to its cards, and the audit of it
	go run ./cmd/vendbox demo $(ARGS)

dev: ## the same stack, seeded and kept running; prints its addresses
	go run ./cmd/vendbox dev $(ARGS)

bench: ## measure this machine (ARGS=--help says what can be measured)
	go run ./cmd/vendbox bench $(ARGS)

build: ## bin/vendbox, one static binary
	CGO_ENABLED=0 go build -trimpath -o bin/vendbox ./cmd/vendbox

##@ Check it

test: $(GOTESTSUM) peers ## every test, on a Postgres of its own (PKG=./internal/sms/... for some)
	@$(GOTESTSUM) --format pkgname --format-hide-empty-pkg -- $(RACE) -timeout $(TEST_TIMEOUT) $(ARGS) $(PKG)

lint: $(GOLANGCI) ## every linter of .golangci.yml
	$(GOLANGCI) run $(ARGS) $(PKG)

verify: $(SQLC) ## generated files, go.mod and go.sum are current; go vet; it builds elsewhere
	@set -euo pipefail; before=$$(mktemp); after=$$(mktemp); trap 'rm -f $$before $$after' EXIT; \
	$(checksums) >$$before; $(MAKE) generate; $(checksums) >$$after; \
	if ! changed=$$(diff $$before $$after | awk '/^[<>]/ { print "  " $$4 }' | sort -u); then \
		printf '\nNot current before, and now written anew:\n%s\nLook at them and commit them.\n' "$$changed" >&2; exit 1; \
	fi
	go mod tidy -diff
	cd tools && go mod tidy -diff
	go vet ./...
	GOOS=windows go build -o /dev/null ./cmd/vendbox

fuzz: ## every fuzz target for FUZZ_TIME=10s each
	@set -euo pipefail; grep -rHo --include='*_test.go' --exclude-dir=node_modules '^func Fuzz[A-Za-z0-9_]*' . | \
	sed -E 's|/[^/]+:func | |' | sort -u | while read -r dir name; do \
		echo "$$dir $$name"; go test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZ_TIME) "$$dir"; \
	done

vuln: $(GOVULNCHECK) ## known vulnerabilities in what the binary calls (needs the Go vulnerability database)
	$(GOVULNCHECK) ./...

api-breaking: $(OASDIFF) ## what would break a client of the API since BASE=origin/main
	@git show $(BASE):openapi/openapi.yaml >$(TOOLS)/base.yaml
	$(OASDIFF) breaking --fail-on ERR $(TOOLS)/base.yaml openapi/openapi.yaml

##@ Change it

generate: $(SQLC) ## River's migrations, sqlc, openapi/openapi.yaml
	go generate ./...
	$(SQLC) generate
	@for out in internal/dbq/*.sql.go; do [ ! -e "$$out" ] || [ -e "$${out%.go}" ] || rm -v "$$out"; done
	@mkdir -p openapi
	go run ./cmd/vendbox openapi >$(TOOLS)/openapi.yaml
	@mv $(TOOLS)/openapi.yaml openapi/openapi.yaml

fmt: $(GOLANGCI) ## gofumpt and the order of imports
	$(GOLANGCI) fmt

tools: $(GOLANGCI) $(GOTESTSUM) $(GOVULNCHECK) $(OASDIFF) $(SQLC) ## build the pinned tools into .bin/ now

clean: ## remove what was built
	rm -rf bin .bin

help:
	@awk 'BEGIN { FS = ":.*## "; print "make …" } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  %-13s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: demo dev bench build test lint verify fuzz vuln api-breaking generate fmt tools clean help peers

# Every file that is the project's, with its checksum. Without git, so that it works in an archive of the source too.
checksums = find . \( -name '.?*' -o -name node_modules -o -path ./bin \) -prune -o -type f -exec cksum {} + | sort -k3

package.golangci-lint = github.com/golangci/golangci-lint/v2/cmd/golangci-lint
package.gotestsum = gotest.tools/gotestsum
package.govulncheck = golang.org/x/vuln/cmd/govulncheck
package.oasdiff = github.com/oasdiff/oasdiff
package.sqlc = github.com/sqlc-dev/sqlc/cmd/sqlc

$(TOOLS)/%:
	@mkdir -p $(TOOLS) && find .bin -mindepth 1 -maxdepth 1 ! -path $(TOOLS) -exec rm -rf {} +
	@echo "building $* (once; a minute or so)" >&2
	@cd tools && CGO_ENABLED=0 go build -buildvcs=false -trimpath -ldflags='-s -w' -o ../$(TOOLS)/ $(package.$*)

# Other people's implementations that tests talk to: each tests/*/package.json, installed where there is npm.
peers: $(patsubst %/package.json,%/node_modules/.package-lock.json,$(wildcard tests/*/package.json))

tests/%/node_modules/.package-lock.json: tests/%/package.json tests/%/package-lock.json
	@if command -v npm >/dev/null; then cd tests/$* && npm ci --no-audit --no-fund && touch node_modules/.package-lock.json; \
	else echo "npm is not here: tests that talk to tests/$* are skipped" >&2; fi
