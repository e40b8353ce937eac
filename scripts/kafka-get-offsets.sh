#!/bin/sh
# print the offsets of a topic's partitions (kafka-run-class.sh kafka.tools.GetOffsetShell, by the name that later Kafkas give it)
here=${0%/*}
[ "$here" = "$0" ] && here=.
gregor=$here/../bin/gregor
[ -x "$gregor" ] || gregor=$here/gregor
exec "$gregor" kafka-get-offsets "$@"
