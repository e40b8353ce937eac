#!/bin/sh
# print which requests brokers understand, and in which versions
here=${0%/*}
[ "$here" = "$0" ] && here=.
gregor=$here/../bin/gregor
[ -x "$gregor" ] || gregor=$here/gregor
exec "$gregor" kafka-broker-api-versions "$@"
