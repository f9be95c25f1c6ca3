# One command each; see CONTRIBUTING.md.

GO      ?= go
PKGS    ?= ./...
RUNARGS ?=
OUT     ?=

# Of the soak. An empty SEED draws one.
DURATION ?= 10m
SEED     ?=
RATE     ?= 450

LINT = $(GO) tool -modfile=tools/go.mod golangci-lint

.PHONY: test faults soak lint bench run fuzz

# Go would remember results; ours depend on redis-server and the machine as well.
TEST = LIFECYCLE_REQUIRE_REDIS=1 $(GO) test -race -count=1 -timeout 10m

# The tests of the root package are the suite, which runs on each of these.
TOPOLOGIES ?= single sentinel cluster locked

SUITE  = $(shell $(GO) list .)
LISTED = $(or $(shell $(GO) list $(PKGS)),$(error PKGS=$(PKGS): no package))
OTHERS = $(filter-out $(SUITE),$(LISTED))

## test: run all tests with the race detector, on real Redis servers
test:
	@sh scripts/need-redis.sh
	$(if $(OTHERS),$(TEST) $(OTHERS))
	$(if $(filter $(SUITE),$(LISTED)),$(MAKE) $(TOPOLOGIES:%=suite-%))
	$(if $(filter ./...,$(PKGS)),$(MAKE) faults)

suite-%:
	LIFECYCLE_TOPOLOGY=$* $(TEST) .

## faults: run the tests of faults, a soak of a minute among them
faults:
	@sh scripts/need-redis.sh
	cd faults && $(TEST) -parallel 8 .

## soak: break everything at random under load; DURATION=10m SEED=n RATE=n a second
soak:
	@sh scripts/need-redis.sh
	cd faults && LIFECYCLE_REQUIRE_REDIS=1 $(GO) test -count=1 -v -timeout 0 -run '^TestSoak$$' . \
		-duration=$(DURATION) -rate=$(RATE) $(if $(SEED),-seed=$(SEED))

## lint: run golangci-lint, in the version that tools/go.mod pins
lint:
	$(LINT) run ./...
	cd faults && $(GO) tool -modfile=../tools/go.mod golangci-lint run ./...
	cd bench && $(GO) tool -modfile=../tools/go.mod golangci-lint run ./...

## bench: measure against peers on a real redis-server; OUT=file.json keeps the figures
bench:
	@sh scripts/need-redis.sh
	cd bench && $(GO) run . $(if $(OUT),-out $(abspath $(OUT)))

## run: run the example application
run:
	$(GO) run ./example $(RUNARGS)

## fuzz: look for input that breaks the decoders, 30 seconds each
fuzz:
	$(GO) test -run '^$$' -fuzz FuzzParse -fuzztime 30s ./internal/token
	$(GO) test -run '^$$' -fuzz FuzzUnpack -fuzztime 30s ./internal/record
	$(GO) test -run '^$$' -fuzz FuzzCookie -fuzztime 30s .
	$(GO) test -run '^$$' -fuzz FuzzGob$$ -fuzztime 30s .
	$(GO) test -run '^$$' -fuzz FuzzGobEncode -fuzztime 30s .
