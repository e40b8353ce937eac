GO ?= go
FUZZTIME ?= 60s
BENCH ?= .

# The binary is static; only the race detector needs cgo.
export CGO_ENABLED ?= 0

.PHONY: run cluster build test check race fuzz bench

# One broker with the embedded ZooKeeper on 127.0.0.1:9092 and :2181, data under ./data. Ctrl-C stops it cleanly.
run: build
	@bin/gregor

# Three brokers and the embedded ZooKeeper, four processes, on 127.0.0.1:9092 to :9094 and :2181, data under ./data/cluster. Ctrl-C stops
# all. BROKERS=5 PORT=19092 ZK_PORT=12181 DIR=/tmp/cluster choose.
cluster: build
	@scripts/dev/cluster.sh

build:
	$(GO) build -trimpath -ldflags "-s -w" -o bin/gregor ./tools/gregor

# RERUN=1: a test that fails is run once more by itself, and said to have failed; what fails twice fails.
RERUN_TESTS = $(GO) run gotest.tools/gotestsum@v1.13.0 --rerun-fails=1 --rerun-fails-max-failures 5 --rerun-fails-run-root-test

test: build
ifdef RERUN
	$(RERUN_TESTS) --format pkgname --packages ./...
else
	$(GO) test ./...
endif

race:
	CGO_ENABLED=1 $(GO) test -race ./...

# staticcheck and golangci-lint are used where they are installed; gofmt, vet and the house rules always run.
check:
	@out=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$out" ]; then echo "gofmt -w: $$out"; exit 1; fi
	$(GO) vet ./...
	$(GO) test ./internal/lint
	@if command -v staticcheck >/dev/null; then staticcheck ./... && staticcheck -tags interop ./...; else echo "staticcheck is not installed: skipped"; fi
	@if command -v golangci-lint >/dev/null; then golangci-lint run; else echo "golangci-lint is not installed: skipped"; fi

fuzz:
	FUZZTIME=$(FUZZTIME) GO=$(GO) scripts/dev/fuzz.sh

bench:
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem ./...

.PHONY: interop bench-peer golden

# Clients that no one here wrote, against Gregor and against Apache Kafka 2.7.2. FULL=1: each producer, codec and consumer.
interop: build
	scripts/dev/interop-setup.sh
ifdef RERUN
	GREGOR_INTEROP=1 $(RERUN_TESTS) --format standard-verbose --packages ./integration/... -- -count=1 -timeout 120m
else
	GREGOR_INTEROP=1 $(GO) test -count=1 -timeout 120m -v ./integration/...
endif

# The same load on Apache Kafka 2.7.2 and on Gregor. SECONDS=5 is short; ROWS="produce-1k fetch" chooses. CLUSTER=1: three
# brokers of each.
bench-peer: build
	scripts/dev/interop-setup.sh kafka
	$(GO) run ./tools/perf peer $(if $(CLUSTER),-cluster -heap $(or $(HEAP),1g)) $(if $(SECONDS),-seconds $(SECONDS)) $(ROWS)

# What Apache Kafka 2.7.2 writes: recorded into storage/testdata/golden. CASES="codec-none unclean" records only these.
golden:
	scripts/dev/interop-setup.sh golden
	$(GO) run ./integration/golden $(CASES)

.PHONY: soak

# Half an hour of 10,000 partitions, 1,000 connections, retention and restarts; memory, descriptors and goroutines are printed each minute.
soak: build
	$(GO) run ./tools/perf soak $(if $(MINUTES),-minutes $(MINUTES))

.PHONY: torture

# A cluster under load suffers faults, on a schedule that a seed decides: SEED=7 SECONDS=600 WORKLOAD=txn
# FAULTS=kill,cut KINDS=gregor,kafka,gregor ZK=debian IBP=2.6. MATRIX=1: each fault and each pair once.
torture: build
	GREGOR_TORTURE=1 SEED=$(SEED) SECONDS=$(SECONDS) WORKLOAD=$(WORKLOAD) FAULTS=$(FAULTS) MATRIX=$(MATRIX) KINDS=$(KINDS) ZK=$(ZK) IBP=$(IBP) KEEP=$(KEEP) $(GO) test -count=1 -timeout 24h -v -run TestTorture ./integration/torture

.PHONY: image compose-test

# The image gregor:latest, from scratch: the binary, and links named after the scripts. IMAGE=name.
image: build
	IMAGE=$(or $(IMAGE),gregor:latest) scripts/dev/image.sh

# docker-compose.yml and docker-compose-single.yml on the Docker engine that is running; KAFKA_STACK_DIR=checkout tries the public stacks too.
compose-test: build
	scripts/dev/compose-test.sh
