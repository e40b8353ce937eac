#!/usr/bin/env bash
# Builds an image of Debian's ZooKeeper for tests: zookeeper-image.sh NAME. It takes the variables of the public image of ZooKeeper that
# compose files give: ZOO_MY_ID, ZOO_SERVERS (with or without the client's port behind a semicolon) and ZOO_PORT, and keeps its files in
# /data and /datalog. It needs root, and debootstrap.
set -euo pipefail
name=$1
command -v debootstrap >/dev/null || { echo "zookeeper-image.sh: debootstrap is missing: apt-get install debootstrap" >&2; exit 1; }
root=$(mktemp -d)
trap 'umount "$root/proc" 2>/dev/null || true; rm -rf "$root"' EXIT
release=$(. /etc/os-release && echo "${VERSION_CODENAME:-bookworm}")
debootstrap --variant=minbase --include=default-jre-headless,zookeeper "$release" "$root" "${DEBIAN_MIRROR:-http://deb.debian.org/debian}" >"$root.log" 2>&1 ||
  { tail -n 20 "$root.log" >&2; exit 1; }
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/usr/share/doc "$root"/usr/share/locale "$root.log"
cat >"$root/entrypoint" <<'END'
#!/bin/sh
set -e
mkdir -p /conf /data /datalog
{
  echo "dataDir=/data"
  echo "dataLogDir=/datalog"
  echo "tickTime=2000"
  echo "initLimit=10"
  echo "syncLimit=5"
  echo "4lw.commands.whitelist=*"
  echo "admin.enableServer=false"
  port=${ZOO_PORT:-2181} several=
  for server in ${ZOO_SERVERS:-}; do
    [ "$server" = "${ZOO_SERVERS}" ] || several=1
  done
  # A single server stands alone, as in the public image.
  [ -z "$several" ] || for server in $ZOO_SERVERS; do
    case $server in server.${ZOO_MY_ID:-1}=*\;*) port=${server##*;} ;; esac
    echo "${server%%;*}"
  done
  echo "clientPort=$port"
} >/conf/zoo.cfg
echo "${ZOO_MY_ID:-1}" >/data/myid
exec java -Xmx256m -cp "/conf:/usr/share/java/*" org.apache.zookeeper.server.quorum.QuorumPeerMain /conf/zoo.cfg
END
chmod 755 "$root/entrypoint"
tar -C "$root" --exclude=./proc/* --exclude=./sys/* -c . | docker import -c 'CMD ["/entrypoint"]' - "$name" >/dev/null
echo "$name"
