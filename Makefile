# One command each; see CONTRIBUTING.md.

GO      ?= go
PKGS    ?= ./...
RUNARGS ?=
OUT     ?=

LINT = $(GO) tool -modfile=tools/go.mod golangci-lint

.PHONY: test lint bench run fuzz

## test: run all tests with the race detector, on a real redis-server
test:
	@sh scripts/need-redis.sh
	LIFECYCLE_REQUIRE_REDIS=1 $(GO) test -race -timeout 10m $(PKGS)

## lint: run golangci-lint, in the version that tools/go.mod pins
lint:
	$(LINT) run ./...
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
