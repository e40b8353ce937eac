#!/usr/bin/env bash
# Fetches what the interop tests run against, into ./.cache. What is there is left alone.
# Usage: interop-setup.sh [kafka | clients | golden]   (default: the first two)
#   kafka    Java, ZooKeeper, Apache Kafka 2.7.2, the kafka-transactions class of 3.0
#   clients  kcat, kafka-clients 4.x and those of 0.8 to 1.1, Kafka Streams, kafka-python, librdkafka, and the programs built from integration/
#   golden   kafka, and the brokers of 0.8.2.2 and 0.10.2.2, whose logs make golden records
set -euo pipefail
cd "$(dirname "$0")/../.."
what=${1:-all}
mkdir -p .cache/jars .cache/bin

# apt PACKAGE COMMAND-OR-FILE: installs the package if the command or file is missing.
apt() {
  if command -v "$2" >/dev/null || [ -e "$2" ]; then return; fi
  echo "installing $1"
  local sudo=
  [ "$(id -u)" = 0 ] || sudo=sudo
  $sudo apt-get install -y --no-install-recommends "$1" >/dev/null ||
    { $sudo apt-get update >/dev/null && $sudo apt-get install -y --no-install-recommends "$1" >/dev/null; }
}

# twice COMMAND: a registry that is out of reach for a moment is asked once more.
twice() { "$@" || { sleep 5; "$@"; }; }

# jars PROFILE: copies the jars of a profile of integration/java/pom.xml to .cache/jars/PROFILE.
jars() {
  if ls .cache/jars/"$1"/*.jar >/dev/null 2>&1; then return; fi
  apt maven mvn
  echo "fetching the jars of $1"
  twice mvn -q -B -f integration/java/pom.xml -P "$1" dependency:copy-dependencies \
    -DoutputDirectory="$PWD/.cache/jars/$1.part" -DincludeScope=runtime
  mv .cache/jars/"$1".part .cache/jars/"$1"
}

if [ "$what" != clients ]; then
  apt default-jdk-headless javac
  apt zookeeper /usr/share/java/zookeeper.jar
  jars kafka-2.7.2
  jars tools-3.0
fi

if [ "$what" = golden ]; then
  jars kafka-0.8.2.2
  jars kafka-0.10.2.2
fi

if [ "$what" != kafka ] && [ "$what" != golden ]; then
  apt kcat kcat
  apt default-jdk-headless javac
  jars kafka-2.7.2
  jars clients-4
  jars streams-2.7.2
  if ! [ -x .cache/python/bin/python ]; then
    echo "installing kafka-python"
    python3 -m venv .cache/python || { apt python3-venv /nonexistent; python3 -m venv .cache/python; }
    twice .cache/python/bin/pip install -q kafka-python==3.0.12 crc32c python-snappy lz4 zstandard
  fi
  if ! .cache/python/bin/python -c 'import confluent_kafka' 2>/dev/null; then
    echo "installing confluent-kafka (librdkafka)"
    twice .cache/python/bin/python -m pip install -q confluent-kafka==2.16.1
  fi
  # For lz4 as clients of 0.8 and 0.9 have it.
  .cache/python/bin/python -c 'import xxhash' 2>/dev/null || .cache/python/bin/pip install -q xxhash
  for set in kafka-2.7.2 clients-4; do
    mkdir -p .cache/classes/$set
    javac -nowarn -cp ".cache/jars/$set/*" -d .cache/classes/$set integration/java/Pairs.java integration/java/Transactions.java
  done
  mkdir -p .cache/classes/streams-2.7.2
  javac -nowarn -cp ".cache/jars/streams-2.7.2/*" -d .cache/classes/streams-2.7.2 integration/java/WordCount.java
  for set in kafka-0.8.2.2 clients-0.9 clients-0.10 clients-1.1; do
    jars $set
    consumer=OldConsume
    [ $set != kafka-0.8.2.2 ] || consumer=Old08
    mkdir -p .cache/classes/$set
    javac -nowarn -Xlint:none -cp ".cache/jars/$set/*" -d .cache/classes/$set integration/java/OldProduce.java integration/java/$consumer.java
  done
  (cd integration/clients/sarama && CGO_ENABLED=0 go build -o ../../../.cache/bin/sarama-pairs .)
fi
