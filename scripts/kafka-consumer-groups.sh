#!/bin/sh
# list, describe, reset and delete consumer groups
here=${0%/*}
[ "$here" = "$0" ] && here=.
gregor=$here/../bin/gregor
[ -x "$gregor" ] || gregor=$here/gregor
exec "$gregor" kafka-consumer-groups "$@"
