#!/usr/bin/env bash
# Re-makes the batches in this folder with Apache Kafka 2.7.2's own classes: golden.sh DIRECTORY-OF-KAFKA-JARS
# With further arguments, prints what Kafka reads in those files.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
jars=${1:?directory of the Kafka 2.7.2 jars}; shift
exec java -cp "$jars/*" Golden.java "$@"
