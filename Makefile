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

# What takes apart what strangers made: there a length may not fit an int. make test-386 tests the rest, too.
DECODERS := ./tree ./nfsfs/... ./torrents/cache ./archive/zip ./archive/tar ./archive/rar ./archive/names

.PHONY: help
help: ## list these targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' Makefile

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

# What releases are for; .goreleaser.yml has the same list, which test/packaging compares. ARM is that of Debian's armhf.
TARGETS := linux/amd64 linux/arm64 linux/arm linux/386 darwin/amd64 darwin/arm64 freebsd/amd64 windows/amd64
RELEASE_FLAGS := -trimpath -buildvcs=true -ldflags '-s -w -buildid='

.PHONY: cross
cross: assets ## compile for every system that releases are for, into bin/cross; make typecheck takes seconds
	@for target in $(TARGETS); do \
	   echo "$$target"; \
	   CGO_ENABLED=0 GOOS=$${target%/*} GOARCH=$${target#*/} GOARM=7 \
	      go build $(RELEASE_FLAGS) -o "bin/cross/appliance-$${target/\//-}" ./cmd/appliance; \
	done

# A cache of its own for each, or the second would be what the first had left.
.PHONY: reproducible
reproducible: assets ## see that the same source gives the same bytes in another folder
	@work=$$(mktemp -d); trap 'rm -rf "$$work"' EXIT; \
	for copy in one two/deeper; do \
	   git clone -q . "$$work/$$copy/source"; \
	   cp -r $(LIB) "$$work/$$copy/source/$(LIB)"; \
	   (cd "$$work/$$copy/source" && CGO_ENABLED=0 GOCACHE="$$work/$$copy/cache" go build $(RELEASE_FLAGS) -o "$$work/$$copy/" ./cmd/appliance); \
	   (cd "$$work/$$copy" && sha256sum appliance); \
	done; \
	cmp "$$work/one/appliance" "$$work/two/deeper/appliance"

# goreleaser is large: the first use compiles it, which takes minutes. v2.17 wants a module that the Go module proxy lacks.
GORELEASER := go run github.com/goreleaser/goreleaser/v2@v2.15.1

.PHONY: release-check
release-check: ## check .goreleaser.yml
	$(GORELEASER) check

.PHONY: snapshot
snapshot: reproducible ## make a release of what is here, in dist, for nobody else
	$(GORELEASER) release --snapshot --clean

.PHONY: release
release: reproducible ## make the release that this commit's tag names, in dist; docs/release.md says what else there is to do
	$(GORELEASER) release --clean

# The version in it is what git calls this commit.
.PHONY: image
image: ## build the container image shoal, for this machine
	docker build --tag shoal --build-arg VERSION="$$(git describe --tags --always --dirty)" --build-arg REVISION="$$(git rev-parse HEAD)" \
	   --build-arg CREATED="$$(date -u +%FT%TZ)" .

.PHONY: demo
demo: ## show the whole thing at work, with peers of its own on this machine
	go run ./test/demo

# Tests

# Three runs: units; what is below test/, three packages at a time, as most of them wait; and those of it that hold something against the clock, so that nothing
# else may run beside them. -count=1 because Go's test cache knows nothing of the clients they drive.
TIMED := ^shoal/test/(e2e|fault|swarm)$$
.PHONY: test
test: cc assets ## run every test, end-to-end ones too; lists what was skipped, which fails when CI=true
	@{ units=$$(go list $(PACKAGES) | grep -v '^shoal/test/'); \
	   status=0; \
	   go test -json -race -count=1 $$units || status=1; \
	   GOARCH=386 go test -json -short -count=1 $(DECODERS) || status=1; \
	   go test -json -race -count=1 -p 3 -timeout 30m $$(go list ./test/... | grep -Ev '$(TIMED)') || status=1; \
	   go test -json -race -count=1 -p 1 -timeout 30m $$(go list ./test/... | grep -E '$(TIMED)') || status=1; \
	   exit $$status; \
	} | go run ./test/report $(if $(filter true,$(CI)),-noskip)

# -short leaves out what is the same on all machines and takes long.
.PHONY: test-386
test-386: assets ## run the unit tests of all packages where an int has 32 bits
	GOARCH=386 CGO_ENABLED=0 go test -short -count=1 $$(go list $(PACKAGES) | grep -v '^shoal/test/')

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
check: fmt-check vet staticcheck lint tidy-check typecheck vuln ## check everything that needs no test run; LONG=true: fuzz, too
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

# What make cross would find, but for what only a linker sees.
.PHONY: typecheck
typecheck: assets ## see whether it compiles for every system that releases are for, without compiling
	go run ./test/typecheck $(TARGETS)

# Only the product's own module: torrents/goutp has no go.sum, as it is never built on its own.

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
	rm -rf bin dist $(LIB) web/node_modules
