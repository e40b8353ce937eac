#!/bin/sh
# write numbers to a topic and print what became of each, as JSON
here=${0%/*}
[ "$here" = "$0" ] && here=.
gregor=$here/../bin/gregor
[ -x "$gregor" ] || gregor=$here/gregor
exec "$gregor" kafka-verifiable-producer "$@"
