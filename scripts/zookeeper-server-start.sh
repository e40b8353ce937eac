#!/bin/sh
# start the embedded ZooKeeper on its own
# -daemon: in the background, with its output in $LOG_DIR (default: ../logs beside this folder).
if [ $# -lt 1 ]; then
    echo "USAGE: $0 [-daemon] zookeeper.properties"
    exit 1
fi
here=${0%/*}
[ "$here" = "$0" ] && here=.
gregor=$here/../bin/gregor
[ -x "$gregor" ] || gregor=$here/gregor
if [ "$1" = -daemon ]; then
    shift
    # As with Kafka, EXTRA_ARGS may name the server, and so the file of its output.
    name=zookeeper
    case ${EXTRA_ARGS-} in
    *-name\ *) name=${EXTRA_ARGS#*-name } name=${name%% *} ;;
    esac
    LOG_DIR=${LOG_DIR:-$here/../logs}
    mkdir -p "$LOG_DIR"
    export LOG_DIR
    nohup "$gregor" zookeeper-server-start "$@" >"$LOG_DIR/$name.out" 2>&1 </dev/null &
else
    exec "$gregor" zookeeper-server-start "$@"
fi
