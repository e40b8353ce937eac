#!/bin/sh
# read many records and print how fast that was
here=${0%/*}
[ "$here" = "$0" ] && here=.
gregor=$here/../bin/gregor
[ -x "$gregor" ] || gregor=$here/gregor
exec "$gregor" kafka-consumer-perf-test "$@"
