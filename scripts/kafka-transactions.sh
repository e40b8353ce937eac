#!/bin/sh
# look at transactions, and abort those that hang
here=${0%/*}
[ "$here" = "$0" ] && here=.
gregor=$here/../bin/gregor
[ -x "$gregor" ] || gregor=$here/gregor
exec "$gregor" kafka-transactions "$@"
