# One command each; see CONTRIBUTING.md.

GO      ?= go
PKGS    ?= ./...
RUNARGS ?=
OUT     ?=

# Of the measurements.
BENCHARGS ?=
MASTERS   ?= 3
LIVE      ?=

# Of the soak. An empty SEED draws one.
DURATION ?= 10m
SEED     ?=
RATE     ?= 450

LINT = $(GO) tool -modfile=tools/go.mod golangci-lint

.PHONY: test faults clients integrations docs soak lint bench bench-cluster fleet cost scale run fuzz

# Go would remember results; ours depend on redis-server and the machine as well.
TEST = LIFECYCLE_REQUIRE_REDIS=1 $(GO) test -race -count=1 -timeout 10m

# The behavioural tests are the suite, which runs on each of these.
TOPOLOGIES ?= single sentinel cluster locked

SUITE  = $(shell $(GO) list ./suite)
LISTED = $(or $(shell $(GO) list $(PKGS)),$(error PKGS=$(PKGS): no package))
OTHERS = $(filter-out $(SUITE),$(LISTED))

## test: run all tests with the race detector, on real Redis servers
test:
	@sh scripts/need-redis.sh
	$(if $(OTHERS),$(TEST) $(OTHERS))
	$(if $(filter $(SUITE),$(LISTED)),$(MAKE) $(TOPOLOGIES:%=suite-%))
	$(if $(filter ./...,$(PKGS)),$(MAKE) docs)
	$(if $(filter ./...,$(PKGS)),$(MAKE) clients)
	$(if $(filter ./...,$(PKGS)),$(MAKE) integrations)
	$(if $(filter ./...,$(PKGS)),$(MAKE) faults)

suite-%:
	LIFECYCLE_TOPOLOGY=$* $(TEST) ./suite

## faults: run the tests of faults, a soak of a minute among them
faults:
	@sh scripts/need-redis.sh
	cd faults && $(TEST) -parallel 8 .

## clients: run the tests with a browser, a shared cache and a page cache
clients:
	@sh scripts/need-redis.sh
	@sh scripts/need-clients.sh
	cd clients && $(TEST) .

## integrations: run the tests with other libraries of gin applications
integrations:
	@sh scripts/need-redis.sh
	cd integrations && $(TEST) -parallel 16 .

## docs: check the documents: links, names, Go code, and what the programs print
docs:
	cd docs && $(TEST) -parallel 16 ./...

## soak: break everything at random under load; DURATION=10m SEED=n RATE=n a second
soak:
	@sh scripts/need-redis.sh
	cd faults && LIFECYCLE_REQUIRE_REDIS=1 $(GO) test -count=1 -v -timeout 0 -run '^TestSoak$$' . \
		-duration=$(DURATION) -rate=$(RATE) $(if $(SEED),-seed=$(SEED))

## lint: run golangci-lint, in the version that tools/go.mod pins
lint:
	$(LINT) run ./...
	cd docs && $(GO) tool -modfile=../tools/go.mod golangci-lint run ./...
	cd clients && $(GO) tool -modfile=../tools/go.mod golangci-lint run ./...
	cd integrations && $(GO) tool -modfile=../tools/go.mod golangci-lint run ./...
	cd faults && $(GO) tool -modfile=../tools/go.mod golangci-lint run ./...
	cd bench && $(GO) tool -modfile=../tools/go.mod golangci-lint run ./...

BENCH = cd bench && $(GO) run . $(if $(OUT),-out $(abspath $(OUT))) $(BENCHARGS)

## bench: measure against peers on a real redis-server; OUT=file.json keeps the figures
bench:
	@sh scripts/need-redis.sh
	$(BENCH)

## bench-cluster: the same on a cluster of MASTERS masters, peers left out
bench-cluster:
	@sh scripts/need-redis.sh
	$(BENCH) -topology cluster -masters $(MASTERS) -only request,commands,memory,lag,burst

## fleet: count the Redis commands of 1 to 64 instances
fleet:
	@sh scripts/need-redis.sh
	$(BENCH) -only fleet

## cost: measure what each operation costs Redis, and compute what 100 million sessions need
cost:
	@sh scripts/need-redis.sh
	$(BENCH) -only cost

## scale: measure against live sessions (LIVE=10000,100000) and masters, and plot into docs; 6 GB, 15 minutes
scale:
	@sh scripts/need-redis.sh
	$(BENCH) -only scale -plots ../docs $(if $(LIVE),-live $(LIVE))

## run: run the example application
run:
	$(GO) run ./example $(RUNARGS)

## fuzz: look for input that breaks the decoders, 30 seconds each
fuzz:
	$(GO) test -run '^$$' -fuzz FuzzParse -fuzztime 30s ./internal/token
	$(GO) test -run '^$$' -fuzz FuzzUnpack -fuzztime 30s ./internal/record
	$(GO) test -run '^$$' -fuzz FuzzCookie -fuzztime 30s ./suite
	$(GO) test -run '^$$' -fuzz FuzzGobDecode -fuzztime 30s ./internal/codec
	$(GO) test -run '^$$' -fuzz FuzzGobStreams -fuzztime 30s ./internal/codec
	$(GO) test -run '^$$' -fuzz FuzzGobValues -fuzztime 30s ./internal/codec
	$(GO) test -run '^$$' -fuzz FuzzGobEncode -fuzztime 30s ./internal/codec
