# Everything there is to do with Shoal, for people and for CI alike. All that it needs beside Go and
# make it installs itself: the linters are pinned in tools/go.mod, the tests install their clients.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# A module file of their own keeps the linters' hundreds of dependencies out of the product's go.mod.
TOOL := go tool -modfile=tools/go.mod

# torrents/goutp and gowebrtc are modules of their own, which ./... leaves out; here they go by the names they replace.
PACKAGES := ./... github.com/anacrolix/go-utp github.com/pion/webrtc/v4

FUZZTIME ?= 20s

# What takes apart what comes off the network: there a length may not fit an int.
DECODERS := ./tree ./nfsfs/...

.PHONY: help
help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' Makefile

.PHONY: run
run: build ## build and start the appliance on its defaults, with its data in ./data
	exec bin/appliance

# What the pages load that others wrote comes from npm, as web/package-lock.json says, and is git-ignored.
LIB := web/static/lib
.PHONY: assets
assets: $(LIB)/htmx.js ## put the libraries of the pages in place
$(LIB)/htmx.js: web/package-lock.json web/assets.sh
	web/assets.sh

.PHONY: build
build: assets ## build bin/appliance: static, without the paths of this machine
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o bin/appliance ./cmd/appliance

# The version in it is what git calls this commit.
.PHONY: image
image: ## build the container image shoal, for this machine
	docker build --tag shoal --build-arg VERSION="$$(git describe --tags --always --dirty)" --build-arg REVISION="$$(git rev-parse HEAD)" \
	   --build-arg CREATED="$$(date -u +%FT%TZ)" .

.PHONY: demo
demo: ## show the whole thing at work, with peers of its own on this machine
	go run ./test/demo

# Tests

# Three runs: units; what is below test/, two packages at a time; and those of it that hold something against the clock, so that nothing
# else may run beside them. -count=1 because Go's test cache knows nothing of the clients they drive.
TIMED := ^shoal/test/(e2e|fault|swarm)$$
.PHONY: test
test: cc assets ## run every test, end-to-end ones too; lists what was skipped, which fails when CI=true
	@{ units=$$(go list $(PACKAGES) | grep -v '^shoal/test/'); \
	   status=0; \
	   go test -json -race -count=1 $$units || status=1; \
	   GOARCH=386 go test -json -short -count=1 $(DECODERS) || status=1; \
	   go test -json -race -count=1 -p 2 -timeout 30m $$(go list ./test/... | grep -Ev '$(TIMED)') || status=1; \
	   go test -json -race -count=1 -p 1 -timeout 30m $$(go list ./test/... | grep -E '$(TIMED)') || status=1; \
	   exit $$status; \
	} | go run ./test/report $(if $(filter true,$(CI)),-noskip)

.PHONY: test-docker
test-docker: cc assets ## run the tests of the container image only, in a Docker engine of their own; make test has them, too
	go test -json -race -count=1 -timeout 30m ./test/docker | go run ./test/report $(if $(filter true,$(CI)),-noskip)

.PHONY: short
short: cc assets ## run the quick tests only, for while you write
	go test -short -race $(PACKAGES)

# -list names the targets of a package and then the package. What a target finds it leaves in
# testdata/fuzz of its package, where the ordinary tests try it again: commit it with the remedy.
.PHONY: fuzz
fuzz: ## run each fuzz target for FUZZTIME (20s)
	@targets=$$(go test -list '^Fuzz' ./... | \
	   awk '/^Fuzz/ {name[++n] = $$1} /^ok/ {for (i = 1; i <= n; i++) print $$2, name[i]; n = 0}'); \
	[ -n "$$targets" ] || { echo 'There are no fuzz targets.'; exit; }; \
	status=0; \
	while read -r package name; do \
	   echo "== $$package $$name"; \
	   go test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x "$$package" </dev/null || status=1; \
	done <<<"$$targets"; \
	exit $$status

.PHONY: bench
bench: assets ## measure Shoal beside nfs-ganesha, anacrolix, libtorrent, btfs, archivemount and fuse-zip, now; wants root and a quiet machine
	go run ./test/bench $(BENCHFLAGS)

# Not a part of the tests: hours. It leaves more than half of the machine to others.
.PHONY: soak
soak: ## use Shoal hard for two hours (SOAKFLAGS="-for 10m" for less), and see whether anything grows or breaks
	go run ./test/soak $(SOAKFLAGS)

.PHONY: microbench
microbench: ## run the benchmarks of single functions; for benchstat, run it several times into files
	go test -run '^$$' -bench . -benchmem -count=1 ./...

# Go's race detector is linked by a C compiler; nothing else needs one.
.PHONY: cc
cc:
	@command -v "$$(go env CC)" >/dev/null || { \
	   echo 'Installing gcc, which go test -race needs.'; \
	   apt-get update -qq && apt-get install -y -qq --no-install-recommends gcc libc6-dev; }

# Checks

# LONG=true fuzzes too, each target for a minute.
.PHONY: check
check: fmt-check vet staticcheck lint tidy-check vuln ## check everything that needs no test run; LONG=true: fuzz, too
	$(if $(filter true,$(LONG)),$(MAKE) fuzz FUZZTIME=1m)

.PHONY: fmt
fmt: ## format the code
	$(TOOL) golangci-lint fmt

.PHONY: fmt-check
fmt-check:
	$(TOOL) golangci-lint fmt --diff

.PHONY: vet
vet:
	go vet $(PACKAGES)

.PHONY: staticcheck
staticcheck:
	$(TOOL) staticcheck $(PACKAGES)

.PHONY: lint
lint: ## run the linters of .golangci.yml
	$(TOOL) golangci-lint config verify
	$(TOOL) golangci-lint run ./...

# Only the product's own module: torrents/goutp and gowebrtc have no go.sum, as they are never built on their own.
.PHONY: tidy-check
tidy-check:
	go mod tidy -diff

# Not every machine may ask the vulnerability database. Saying so is all that can be done there; what
# is found, and any other trouble, fails.
.PHONY: vuln
vuln:
	@if said=$$($(TOOL) govulncheck ./... 2>&1); then echo "$$said"; \
	elif grep -q '^govulncheck: fetching vulnerabilities: ' <<<"$$said"; then \
	   echo 'govulncheck: NOT CHECKED, as the vulnerability database cannot be reached from here.'; \
	else echo "$$said"; exit 1; fi

.PHONY: clean
clean: ## remove what was built; never touches ./data
	rm -rf bin $(LIB) web/node_modules
