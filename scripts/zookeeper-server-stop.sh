#!/bin/sh
# stop the ZooKeeper servers on this machine that gregor runs; SIGNAL names another signal than TERM
here=${0%/*}
[ "$here" = "$0" ] && here=.
gregor=$here/../bin/gregor
[ -x "$gregor" ] || gregor=$here/gregor
exec "$gregor" zookeeper-server-stop "$@"
