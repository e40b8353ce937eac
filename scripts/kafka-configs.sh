#!/bin/sh
# describe and alter settings of topics, brokers, loggers, users and clients
here=${0%/*}
[ "$here" = "$0" ] && here=.
gregor=$here/../bin/gregor
[ -x "$gregor" ] || gregor=$here/gregor
exec "$gregor" kafka-configs "$@"
