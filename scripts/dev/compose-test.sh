#!/usr/bin/env bash
# Tries docker-compose.yml and docker-compose-single.yml, and, if KAFKA_STACK_DIR names a checkout of the public repository
# simplesteph/kafka-stack-docker-compose, its four stacks of ZooKeeper and Kafka with its own test. It needs a Docker engine
# (DOCKER_HOST) and root for debootstrap, and the ports of those files; it starts no engine.
set -euo pipefail
cd "$(dirname "$0")/../.."
fail() { echo "compose-test: $*" >&2; exit 1; }
docker info >/dev/null 2>&1 || fail "no Docker engine answers (DOCKER_HOST=${DOCKER_HOST:-}); start one, for example with dockerd, and try again"
if docker compose version >/dev/null 2>&1; then compose="docker compose"
elif command -v docker-compose >/dev/null; then compose=docker-compose
else fail "there is neither docker compose nor docker-compose: install one"; fi

tmp=$(mktemp -d)
file=
down() {
  [ -z "$file" ] || $compose -p gregor-test -f "$file" down -v -t 40 >/dev/null 2>&1 || true
  rm -rf "$tmp"
}
trap down EXIT

export GREGOR_IMAGE=gregor:compose-test
IMAGE=$GREGOR_IMAGE scripts/dev/image.sh >/dev/null
# Without an image of that name, such as the public one, ours is built.
export ZOOKEEPER_IMAGE=${ZOOKEEPER_IMAGE:-zookeeper:3.8}
docker image inspect "$ZOOKEEPER_IMAGE" >/dev/null 2>&1 || { echo "building $ZOOKEEPER_IMAGE"; scripts/dev/zookeeper-image.sh "$ZOOKEEPER_IMAGE"; }

dc() { $compose -p gregor-test -f "$file" "$@"; }
# on SERVICE COMMAND...: runs a command in a container.
on() { dc exec -T "$@"; }
up() {
  file=$1
  echo "== $file"
  dc up -d >/dev/null 2>&1 || { dc up -d; fail "$file does not come up"; }
}
# healthy SERVICE SERVER BROKERS
healthy() {
  local status= deadline=$((SECONDS + 120))
  while ((SECONDS < deadline)); do
    status=$(on "$1" gregor cluster status --bootstrap-server "$2" 2>&1 </dev/null) || true
    case $status in *": healthy. $3 broker"*) return ;; esac
    sleep 1
  done
  echo "$status"
  dc logs --tail 20
  fail "$file: the cluster is not healthy"
}
# rows SERVICE SERVER TOPIC WANT: different ones, since a producer without idempotence that gets no answer in time sends again
rows() {
  local n
  n=$(on "$1" kafka-console-consumer.sh --bootstrap-server "$2" --topic "$3" --from-beginning --timeout-ms 10000 2>/dev/null </dev/null | sort -u | wc -l)
  [ "$n" = "$4" ] || fail "$file: $n rows of $4 were read"
}

up docker-compose.yml
server=kafka1:19092,kafka2:19092,kafka3:19092
healthy kafka1 $server 3
on kafka1 kafka-topics --bootstrap-server $server --create --topic compose --partitions 12 </dev/null
seq 1 100 | on kafka2 kafka-console-producer --broker-list $server --topic compose --request-required-acks all >/dev/null
rows kafka3 $server compose 100
dc kill kafka1 >/dev/null 2>&1
seq 101 200 | on kafka2 kafka-console-producer.sh --broker-list kafka2:19092,kafka3:19092 --topic compose --request-required-acks all >/dev/null
rows kafka3 kafka2:19092,kafka3:19092 compose 200
dc start kafka1 >/dev/null 2>&1
healthy kafka2 $server 3
bin/gregor cluster status --bootstrap-server 127.0.0.1:9092,127.0.0.1:9093,127.0.0.1:9094 --zookeeper "" >"$tmp/status" 2>&1 || { cat "$tmp/status"; fail "from outside: not healthy"; }
down; tmp=$(mktemp -d)

up docker-compose-single.yml
healthy kafka kafka:19092 1
on kafka kafka-topics.sh --zookeeper kafka:2181 --create --topic single --partitions 3 --replication-factor 1 </dev/null
seq 1 100 | on kafka kafka-console-producer --broker-list kafka:19092 --topic single >/dev/null
dc restart kafka >/dev/null 2>&1
healthy kafka kafka:19092 1
rows kafka kafka:19092 single 100
down; tmp=$(mktemp -d)
file=

if [ -z "${KAFKA_STACK_DIR:-}" ]; then
  echo "KAFKA_STACK_DIR is not set: the stacks of kafka-stack-docker-compose are left out"
  exit 0
fi
# Its test finds the scripts by their names without .sh, and Compose as docker-compose.
stacks=zookeeper:gregor-stacks
docker image inspect $stacks >/dev/null 2>&1 || scripts/dev/zookeeper-image.sh $stacks
cp "$KAFKA_STACK_DIR"/zk-*.yml "$KAFKA_STACK_DIR/test.sh" "$tmp"
mkdir "$tmp/bin"
for name in kafka-topics kafka-console-producer kafka-console-consumer; do ln -s "$PWD/bin/gregor" "$tmp/bin/$name"; done
command -v docker-compose >/dev/null || { printf '#!/bin/sh\nexec docker compose "$@"\n' >"$tmp/bin/docker-compose"; chmod +x "$tmp/bin/docker-compose"; }
sed -i -e "s,image: zookeeper:.*,image: $stacks," -e "s,image: confluentinc/cp-kafka:.*,image: $GREGOR_IMAGE," "$tmp"/zk-*.yml
while read -r stack containers; do
  echo "== $stack"
  if ! (cd "$tmp" && PATH="$tmp/bin:$PATH" DOCKER_HOST_IP=127.0.0.1 bash ./test.sh "$stack" "$containers" >"$stack.out" 2>&1); then
    cat "$tmp/$stack.out"
    (cd "$tmp" && DOCKER_HOST_IP=127.0.0.1 $compose -f "$stack" down >/dev/null 2>&1) || true
    fail "$stack: its test fails"
  fi
done <<END
zk-single-kafka-single.yml 2
zk-multiple-kafka-single.yml 4
zk-single-kafka-multiple.yml 4
zk-multiple-kafka-multiple.yml 6
END
echo "all stacks pass their test"
