#!/bin/sh
# make preferred replicas leaders (deprecated)
here=${0%/*}
[ "$here" = "$0" ] && here=.
gregor=$here/../bin/gregor
[ -x "$gregor" ] || gregor=$here/gregor
exec "$gregor" kafka-preferred-replica-election "$@"
