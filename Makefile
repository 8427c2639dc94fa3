# "make help" lists what there is. Only Go and make are needed: the other tools come through go.mod.

GO       ?= go
FUZZTIME ?= 5s

.PHONY: build check test race fuzz mutants bench lint package package-test help

build: ## the program, as bin/feedmux
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/feedmux ./cmd/feedmux

check: lint ## everything that must hold: lint, tests (with -race where there is a C compiler), a little fuzzing
	@for tool in systemd-analyze unshare chromium node curl jq python3 man; do \
		command -v $$tool >/dev/null || echo "== no $$tool here: tests that need it are skipped"; \
	done; \
	[ "$$(id -u)" = 0 ] || echo '== not root: the trial under a real systemd is skipped'
	@race=-race; \
	if ! $(GO) build -race runtime/cgo 2>/dev/null; then \
		race=; echo '== no C compiler here, which -race needs: testing without it'; \
	fi; \
	echo "== go test $${race:+$$race }-shuffle=on ./..."; \
	$(GO) test $$race -shuffle=on -timeout 5m ./...
	@echo '== a thousand walks: with -race there were fewer'; $(GO) test -run Walk ./walk
	@echo '== dashboard and alerts'; cd docs/dashboards/check && $(GO) test ./...
	@GO='$(GO)' .ci/fuzz $(FUZZTIME)
	@echo '== all is well'

test: ## the tests
	$(GO) test ./...

race: ## the tests, with the race detector and in another order each time
	$(GO) test -race -shuffle=on -timeout 5m ./...

fuzz: ## each fuzz target for FUZZTIME (5s)
	@GO='$(GO)' .ci/fuzz $(FUZZTIME)

mutants: ## break each promise on purpose, and see that a test notices
	@GO='$(GO)' .ci/mutants

bench: ## the benchmarks
	$(GO) test -run '^$$' -bench . -benchmem ./...

lint: ## gofmt, go vet and staticcheck
	@echo '== gofmt'; \
	files=$$("$$($(GO) env GOROOT)/bin/gofmt" -l .) || exit 1; \
	if [ -n "$$files" ]; then echo 'not formatted (gofmt -w mends it):'; echo "$$files"; exit 1; fi
	@echo '== go vet ./...'; $(GO) vet ./...
	@echo '== staticcheck ./...'; $(GO) tool staticcheck ./...

package: ## a .deb and a .rpm in dist/, for Linux on ARCH (amd64 or arm64; this machine's unless given)
	@GO='$(GO)' ARCH='$(ARCH)' packaging/build

package-test: ## build packages, then install, upgrade and remove them on a throw-away copy of the machine (as root)
	FEEDMUX_PACKAGE_TEST=1 $(GO) test -count=1 -v ./packaging

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile
