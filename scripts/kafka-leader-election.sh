#!/bin/sh
# make preferred replicas leaders, or replicas that may lack records
here=${0%/*}
[ "$here" = "$0" ] && here=.
gregor=$here/../bin/gregor
[ -x "$gregor" ] || gregor=$here/gregor
exec "$gregor" kafka-leader-election "$@"
