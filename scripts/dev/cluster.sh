#!/usr/bin/env bash
# A cluster on this machine: the embedded ZooKeeper and brokers, each a process of its own. Ctrl-C stops all of them, brokers first.
# BROKERS (3), PORT (9092: the first broker's; the others follow), ZK_PORT (2181), DIR (data/cluster) choose.
set -eu
cd "$(dirname "$0")/../.."
brokers=${BROKERS:-3} port=${PORT:-9092} zk_port=${ZK_PORT:-2181} dir=${DIR:-data/cluster}
factor=$((brokers < 3 ? brokers : 3))
mkdir -p "$dir"
pids=() zk=

stop() {
  trap '' INT TERM
  for p in ${pids[@]+"${pids[@]}"}; do kill "$p" 2>/dev/null || true; done
  for p in ${pids[@]+"${pids[@]}"}; do wait "$p" 2>/dev/null || true; done
  if [ -n "$zk" ]; then
    kill "$zk" 2>/dev/null || true
    wait "$zk" 2>/dev/null || true
  fi
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# In a process group of its own each: Ctrl-C is for this script, which stops them in order.
set -m
cat >"$dir/zookeeper.properties" <<END
dataDir=$dir/zookeeper
clientPort=$zk_port
clientPortAddress=127.0.0.1
END
bin/gregor zookeeper-server-start "$dir/zookeeper.properties" >"$dir/zookeeper.log" 2>&1 </dev/null &
zk=$!
list=
for ((i = 0; i < brokers; i++)); do
  address=127.0.0.1:$((port + i))
  list=$list${list:+,}$address
  cat >"$dir/broker-$i.properties" <<END
broker.id=$i
broker.rack=rack-$i
listeners=PLAINTEXT://$address
zookeeper.connect=127.0.0.1:$zk_port
log.dirs=$dir/logs-$i
offsets.topic.replication.factor=$factor
transaction.state.log.replication.factor=$factor
transaction.state.log.min.isr=$((factor < 2 ? 1 : 2))
group.initial.rebalance.delay.ms=0
END
  bin/gregor kafka-server-start "$dir/broker-$i.properties" >"$dir/broker-$i.log" 2>&1 </dev/null &
  pids+=($!)
done
set +m

# All brokers are there when the status counts them.
for ((try = 0; try < 100; try++)); do
  status=$(bin/gregor cluster status --bootstrap-server "$list" --timeout 1000 2>/dev/null) || true
  case $status in *": healthy. $brokers broker"*) break ;; esac
  for p in "$zk" "${pids[@]}"; do
    kill -0 "$p" 2>/dev/null || { echo "one of the processes ended:" && tail -n 3 "$dir"/*.log && exit 1; }
  done
  sleep 0.1
done
echo "$status"
echo
echo "--bootstrap-server $list   --zookeeper 127.0.0.1:$zk_port   data and logs: $dir"
echo "Stop a broker with kill PID (0 to $((brokers - 1)): ${pids[*]}). Ctrl-C stops all."
wait "$zk"
