#!/bin/sh
# start the embedded ZooKeeper on its own
# -daemon: in the background, with its output in $LOG_DIR (default: ../logs beside this folder).
here=${0%/*}
[ "$here" = "$0" ] && here=.
command=zookeeper-server-start name=zookeeper usage=zookeeper.properties
. "$here/start-server.inc"
