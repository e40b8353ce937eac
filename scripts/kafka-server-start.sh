#!/bin/sh
# start a broker
# -daemon: in the background, with its output in $LOG_DIR (default: ../logs beside this folder).
here=${0%/*}
[ "$here" = "$0" ] && here=.
command=kafka-server-start name=kafkaServer usage='server.properties [--override property=value]*'
. "$here/start-server.inc"
