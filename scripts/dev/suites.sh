#!/usr/bin/env bash
# Runs the tests that a client library has for its groups and transactions against running brokers, from the library's own sources, which are
# fetched into ./.cache/suites. Usage: suites.sh SUITE HOST:PORT[,HOST:PORT...]
#   franz-go       go test of pkg/kgo: what talks to a broker; SUITE_RECORDS=20000 records go through its chains of groups
#   kafka-python   its integration tests of consumers, producers and groups
#   sarama         its functional tests of groups, offsets and transactions. They reach broker N at 127.0.0.1, port SARAMA_PORT+N, through the
#                  toxiproxy whose API is at TOXIPROXY_ADDR and that has proxies named kafka1 to kafka5
#   toxiproxy      is run instead, with its API at the address
# Prints a line for each test: pass, fail or skip, and its name. What the tests print goes to standard error.
set -euo pipefail
cd "$(dirname "$0")/../.."
suite=$1 brokers=$2
root=$PWD
mkdir -p .cache/suites

# verdicts turns the lines of go test -v into ours.
verdicts() {
  tee /dev/stderr | sed -nE 's/^ *--- (PASS|FAIL|SKIP): ([^ ]+) .*/\1 \2/p' | sed -E 's/^PASS/pass/; s/^FAIL/fail/; s/^SKIP/skip/'
}

# module copies the sources of a Go module to .cache/suites/NAME-VERSION, with its tests, and prints where.
module() {
  local dir
  dir=$(cd "$2" && go mod download -json "$1" | sed -nE 's/.*"Dir": "(.*)",?/\1/p')
  local to=$root/.cache/suites/$(basename "$dir")
  if ! [ -d "$to" ]; then
    cp -r "$dir" "$to.part"
    chmod -R u+w "$to.part"
    mv "$to.part" "$to"
  fi
  echo "$to"
}

case $suite in
franz-go)
  cd "$(module github.com/twmb/franz-go .)/pkg/kgo"
  # A part of the tests needs what 2.7 does not have and skips itself; those left out have no broker, or one of their own.
  KGO_SEEDS=$brokers KGO_TEST_RF=${KGO_TEST_RF:-1} KGO_TEST_RECORDS=${SUITE_RECORDS:-20000} KGO_LOG_LEVEL=none \
    go test -count=1 -v -timeout 20m -run '^(TestGroupETL|TestTxnEtl|TestGroupSimple|TestIssue(325|337|434|489|523|648|810|865|1034)|TestConsumeTopicRetrieval|TestConsumeRegex|TestAddRemovePartitions|TestPauseIssue.*|TestPooling|TestHookPollStart|TestClient_Produce|TestPing|TestDirectPartitionPurge)$' . | verdicts || true
  ;;
kafka-python)
  version=$(.cache/python/bin/python -c 'import kafka; print(kafka.__version__)')
  src=.cache/suites/kafka_python-$version
  if ! [ -d "$src" ]; then
    .cache/python/bin/python -m pip install -q pytest==9.2.0 pytest-mock==3.17.0 pytest-timeout==2.4.0 >&2
    .cache/python/bin/python -m pip download -q --no-binary :all: --no-deps -d .cache/suites "kafka-python==$version" >&2
    tar -xzf "$src.tar.gz" -C .cache/suites
    touch "$src/test/__init__.py" # else Python's own package of this name is found
    # What starts brokers is not part of the archive, and not needed.
    printf 'class ExternalService:\n    def __init__(self, host, port):\n        pass\n    def open(self):\n        pass\n    def stop(self):\n        pass\n\n\nclass SpawnedService:\n    pass\n' >"$src/test/service.py"
  fi
  cd "$src"
  KAFKA_VERSION=2.7.2 KAFKA_ROOT=. KAFKA_URI=kafka://$brokers "$root/.cache/python/bin/python" -m pytest -p no:cacheprovider -q -rA --timeout=120 --tb=short \
    -k 'group or consumer or producer or transactional or end_to_end or heartbeat or offset' \
    test/integration/test_consumer_integration.py test/integration/test_producer_integration.py test/integration/test_admin_integration.py |
    tee /dev/stderr | sed -nE 's/^(PASSED|FAILED|ERROR) [^ ]*::([^ ]+).*/\1 \2/p' | sed -E 's/^PASSED/pass/; s/^(FAILED|ERROR)/fail/' || true
  ;;
sarama)
  cd "$(module github.com/IBM/sarama integration/clients/sarama)"
  sed -i -E "s/[0-9]+\\+i\\)/$SARAMA_PORT+i)/" functional_test.go
  # Those left out restart brokers by docker, run Java programs in it, or are about something else.
  KAFKA_VERSION=2.7.2 go test -tags functional -count=1 -v -timeout 20m \
    -run '^(TestFuncConsumerGroup.*|TestFuncJoinGroupVersionSelection|TestFuncOffsetManager|TestFuncTxn(ProduceNoBegin|CommitNoMessages|Produce|ProduceEpochBump|ProduceAndCommitOffset|ProduceMultiTxn|AbortedProduce)|TestFuncInitProducerId3|TestConsumerGroupDeadlock|TestFuncAdmin(DescribeGroups|ListConsumerGroups|ListConsumerGroupOffsets|ListConsumerGroupOffsetsBatch|AlterConsumerGroupOffsets|DeleteGroup)|TestFuncClientCoordinator)$' . | verdicts || true
  ;;
toxiproxy)
  if ! [ -x .cache/suites/bin/server ]; then
    GOBIN=$root/.cache/suites/bin CGO_ENABLED=0 go install github.com/Shopify/toxiproxy/v2/cmd/server@v2.12.0
  fi
  exec .cache/suites/bin/server -host "${brokers%:*}" -port "${brokers##*:}"
  ;;
*)
  echo "there is no suite $suite" >&2
  exit 2
  ;;
esac
