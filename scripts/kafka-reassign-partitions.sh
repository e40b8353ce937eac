#!/bin/sh
# move partitions between brokers and between log directories
here=${0%/*}
[ "$here" = "$0" ] && here=.
gregor=$here/../bin/gregor
[ -x "$gregor" ] || gregor=$here/gregor
exec "$gregor" kafka-reassign-partitions "$@"
