#!/bin/sh
# print the directories of brokers and what lies in them
here=${0%/*}
[ "$here" = "$0" ] && here=.
gregor=$here/../bin/gregor
[ -x "$gregor" ] || gregor=$here/gregor
exec "$gregor" kafka-log-dirs "$@"
