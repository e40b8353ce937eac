#!/usr/bin/env bash
# Start-up of scripts beside Apache's classes, against one Gregor: hyperfine's figures, as a table.
# Needs bin/gregor (make build), hyperfine, and what interop-setup.sh kafka fetches. RUNS=30 chooses how often (Java: a fifth of it).
set -euo pipefail
cd "$(dirname "$0")/../.."
command -v hyperfine >/dev/null || { echo "install hyperfine (apt-get install hyperfine)"; exit 1; }
port=${PORT:-28092}
dir=$(mktemp -d)
trap 'kill "$broker" 2>/dev/null; wait "$broker" 2>/dev/null; rm -rf "$dir"' EXIT
cat >"$dir/server.properties" <<PROPERTIES
broker.id=0
listeners=PLAINTEXT://127.0.0.1:$port
zookeeper.connect=127.0.0.1:$((port + 1))
gregor.zookeeper.embedded=true
gregor.zookeeper.data.dir=$dir/zookeeper
log.dirs=$dir/logs
PROPERTIES
bin/gregor kafka-server-start "$dir/server.properties" >"$dir/log" 2>&1 &
broker=$!
b=127.0.0.1:$port
scripts/kafka-topics.sh --bootstrap-server "$b" --create --topic t >/dev/null
echo x | scripts/kafka-console-producer.sh --bootstrap-server "$b" --topic t >/dev/null
printf 'log4j.rootLogger=OFF\n' >"$dir/log4j.properties"
# The options of Kafka's kafka-run-class.sh.
java="java -Xmx256M -server -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -XX:InitiatingHeapOccupancyPercent=35 -XX:+ExplicitGCInvokesConcurrent -Djava.awt.headless=true -Dlog4j.configuration=file:$dir/log4j.properties -cp .cache/jars/kafka-2.7.2/*"
runs=${RUNS:-30}
row() { # NAME SCRIPT CLASS ARGS
  hyperfine -N -w 2 -r "$runs" --export-csv "$dir/gregor.csv" "scripts/$2 $4" >/dev/null 2>&1
  hyperfine -N -w 1 -r "$((runs / 5))" --export-csv "$dir/java.csv" "$java $3 $4" >/dev/null 2>&1
  awk -F, -v name="$1" 'FNR == 2 {mean[++n] = $2 * 1000; dev[n] = $3 * 1000}
    END {printf "| %s | %.0f ± %.0f ms | %.1f ± %.1f ms | %.0f |\n", name, mean[2], dev[2], mean[1], dev[1], mean[2] / mean[1]}' "$dir/gregor.csv" "$dir/java.csv"
}
echo "| command | Apache Kafka 2.7.2 | Gregor | times |"
echo "| --- | --- | --- | --- |"
row "kafka-topics.sh --version" kafka-topics.sh kafka.admin.TopicCommand --version
row "kafka-topics.sh --list" kafka-topics.sh kafka.admin.TopicCommand "--bootstrap-server $b --list"
row "kafka-topics.sh --describe" kafka-topics.sh kafka.admin.TopicCommand "--bootstrap-server $b --describe --topic t"
row "kafka-topics.sh --zookeeper --list" kafka-topics.sh kafka.admin.TopicCommand "--zookeeper 127.0.0.1:$((port + 1)) --list"
row "kafka-console-consumer.sh, one record" kafka-console-consumer.sh kafka.tools.ConsoleConsumer \
  "--bootstrap-server $b --topic t --partition 0 --offset earliest --max-messages 1"
row "kafka-console-producer.sh, no record" kafka-console-producer.sh kafka.tools.ConsoleProducer "--bootstrap-server $b --topic t"
