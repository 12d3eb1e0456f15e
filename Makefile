# Gatehouse. `make help` lists the targets.
GO      ?= go
BIN     := bin/gatehouse
VERSION := $(shell git describe --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)

.PHONY: build demo test race bench verify $(shell grep -oE '^verify-[a-z]+' $(MAKEFILE_LIST)) lint generate help

build: ## build bin/gatehouse, one static binary
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN) ./cmd/gatehouse

demo: build ## start everything on loopback with a simulated upstream and print lines to paste
	./$(BIN) demo

test: ## every test; installs nothing, says what is missing
	$(GO) vet ./...
	$(GO) test -timeout 15m ./...
	VERIFY_TOPOLOGY=fleet $(GO) test -timeout 15m ./verify -run '$(ENDTOEND)'
	CONFORMANCE_TOPOLOGY=fleet $(GO) test -timeout 15m ./conformance

# What does not look into the files of one process, and so runs in any topology.
ENDTOEND := TestTheGuides|TestARevokedKey|TestARevokedManagement|TestBadInput|TestKill9|TestAClientThatLeaves|TestTPM|TestTeams|TestTheIsolationMatrix|TestCanaries|TestSessions|TestTheBooks|TestKillingDuringDocumentWork

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

verify-fleet: ## 500 revocations at 3 gateways in 2 clusters, under load: p99 within 250 ms, all within 1 s
	@verify/run.sh fleet TestARevocationReachesEveryGateway 500 100

verify-probes: ## 10,000 probes of propagation racing deletions: none true too early
	@verify/run.sh probes TestPropagationIsNeverTrueTooEarly 10000 5000

verify-parts: ## 100 × kill -9 of each of control, gateway, PostgreSQL and Redis
	@verify/run.sh parts TestKillingAnyPartLosesNothing 100 10

verify-away: ## control and database away for 5 minutes, with gateway restarts
	@verify/run.sh away TestGatewaysServeWhileControlIsAway 300 300

verify-sim: ## 1,000 seeds of shares, token counters and strict leases against an oracle; planted bugs found
	@verify/run.sh sim 'TestSimulated.*|TestTheSimulation.*' 1000 1000 ./internal/limit/limittest GATEHOUSE_SEEDS

verify-makers: ## 100,000 random makers and what they try: no key, management key, role or budget exceeds its maker's
	@verify/run.sh makers TestNothingExceedsItsMaker 100000 10000 ./internal/control GATEHOUSE_MAKERS

verify-mutants: ## 100,000 mutated batches, signed after mutation: no panic, no widened access
	@verify/run.sh mutants 'Test.*Mutants.*' 100000 100000 ./internal/feed GATEHOUSE_MUTANTS

verify-upgrade: ## the previous commit up, down and up again under load: no request fails
	@verify/run.sh upgrade TestARollingUpgradeFailsNoRequest 1 1

verify-share: ## one limit at 8 gateways through kills, pauses, partitions and an emptied authority
	@verify/run.sh share TestManyGatewaysShareALimit 1 1

verify-credit: ## ten gateways spend one dollar, one killed, the authority emptied: never more, nobody refused early
	@verify/run.sh credit TestTenGatewaysSpendOneDollar 1 1

verify-purse: ## 1,000 seeds of money drawn by gateways that die, pause and lose answers, against an oracle
	@verify/run.sh purse 'TestSimulated.*|TestTheSimulation.*' 1000 1000 ./internal/purse GATEHOUSE_SEEDS

verify-books: ## 100,000 metered requests on each engine: ledger = rows = usage = CSV = invoice, to the tick
	@verify/run.sh books TestTheBooksAddUp 100000 100000
	@VERIFY_TOPOLOGY=fleet verify/run.sh books-fleet TestTheBooksAddUp 100000 100000

verify-docs: ## 200 × kill -9 while documents are uploaded, indexed and deleted, on each topology: nothing acknowledged lost or back, no orphans
	@verify/run.sh docs TestKillingDuringDocumentWork 200 20
	@VERIFY_TOPOLOGY=fleet verify/run.sh docs-fleet TestKillingDuringDocumentWork 200 20

verify-migration: ## a migration killed after each of its statements, and repeated
	@verify/run.sh migration TestAMigrationKilledAnywhereIsRepeated 1 1

verify-search: ## hybrid search over 1,000,000 chunks on PostgreSQL and 100,000 on SQLite: p95, and recall against brute force
	@verify/search.sh 200

verify-ndcg: ## nDCG@10 of keyword, semantic and hybrid search over texts that people judged, with real embeddings
	@verify/ndcg.sh

verify-fuzz: ## every parser of what strangers send, an hour of a CPU each (FUZZTIME); hours add up in verify/fuzzed.tsv
	@verify/fuzz.sh

verify-deploy: ## everything in deploy held to its schemas and to the reference pages
	@cd deploy/check && $(GO) vet ./... && $(GO) test -count=1 ./...

lint: ## vet and formatting
	$(GO) vet ./...
	@test -z "$$(gofmt -l $$(git ls-files '*.go' | grep -v '^gen/'))" || { gofmt -l $$(git ls-files '*.go' | grep -v '^gen/'); exit 1; }

generate: ## regenerate gen/ from proto/
	./tools/generate.sh

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 18
