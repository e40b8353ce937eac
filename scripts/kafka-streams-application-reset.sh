#!/bin/sh
# let a Kafka Streams application begin anew
here=${0%/*}
[ "$here" = "$0" ] && here=.
gregor=$here/../bin/gregor
[ -x "$gregor" ] || gregor=$here/gregor
exec "$gregor" kafka-streams-application-reset "$@"
