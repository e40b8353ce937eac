#!/bin/sh
# read a topic and print what came, as JSON
here=${0%/*}
[ "$here" = "$0" ] && here=.
gregor=$here/../bin/gregor
[ -x "$gregor" ] || gregor=$here/gregor
exec "$gregor" kafka-verifiable-consumer "$@"
