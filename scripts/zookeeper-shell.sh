#!/bin/sh
# look at and change what ZooKeeper holds
here=${0%/*}
[ "$here" = "$0" ] && here=.
gregor=$here/../bin/gregor
[ -x "$gregor" ] || gregor=$here/gregor
exec "$gregor" zookeeper-shell "$@"
