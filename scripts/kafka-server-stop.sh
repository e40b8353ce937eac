#!/bin/sh
# stop the brokers on this machine; SIGNAL names another signal than TERM
here=${0%/*}
[ "$here" = "$0" ] && here=.
gregor=$here/../bin/gregor
[ -x "$gregor" ] || gregor=$here/gregor
exec "$gregor" kafka-server-stop "$@"
