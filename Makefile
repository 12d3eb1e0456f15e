# Gatehouse. `make help` lists the targets.
GO      ?= go
BIN     := bin/gatehouse
VERSION := $(shell git describe --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)

.PHONY: build demo test race bench verify verify-kill verify-revoke verify-leave verify-sync lint generate help

build: ## build bin/gatehouse, one static binary
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN) ./cmd/gatehouse

demo: build ## start everything on loopback with a simulated upstream and print lines to paste
	./$(BIN) demo

test: ## every test; installs nothing, says what is missing
	$(GO) vet ./...
	$(GO) test -timeout 15m ./...

race: ## the tests of concurrent packages under the race detector
	$(GO) test -race -timeout 20m . ./internal/...

bench: ## one table of speed beside nginx and a bare reverse proxy (docs/performance.md)
	$(GO) run ./bench

verify: ## list the long acceptances
	@grep -hE '^verify-[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

verify-kill: ## 50 × kill -9 under mixed load: nothing acknowledged lost, one row a request
	@verify/run.sh kill TestKill9LosesNothing 50 10

verify-revoke: ## 500 revocations under load and ingest: p99 within 250 ms
	@verify/run.sh revoke TestARevokedKeyIsRefusedWithinAQuarterSecond 500 500

verify-leave: ## a client that leaves at any byte of a stream: one row each
	@verify/run.sh leave TestAClientThatLeavesAnywhereIsBilledOnce 100000 100000

verify-sync: ## a traced run: no answer before its sync, and every cut keeps what was acknowledged
	@verify/run.sh sync TestNoMutationIsAcknowledgedBeforeItsSync 300 300

lint: ## vet and formatting
	$(GO) vet ./...
	@test -z "$$(gofmt -l $$(git ls-files '*.go' | grep -v '^gen/'))" || { gofmt -l $$(git ls-files '*.go' | grep -v '^gen/'); exit 1; }

generate: ## regenerate gen/ from proto/
	./tools/generate.sh

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 18
