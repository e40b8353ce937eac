#!/bin/sh
# compare what the replicas of partitions hold
here=${0%/*}
[ "$here" = "$0" ] && here=.
gregor=$here/../bin/gregor
[ -x "$gregor" ] || gregor=$here/gregor
exec "$gregor" kafka-replica-verification "$@"
