#!/usr/bin/env bash
# Builds the image gregor:latest (IMAGE=name) out of bin/gregor: the binary, and links to it under the names of the scripts, with and
# without .sh, since there is no shell in the image.
set -euo pipefail
cd "$(dirname "$0")/../.."
root=bin/image
rm -rf $root
mkdir -p $root/usr/bin $root/var/lib/kafka/data $root/etc
mkdir -m 1777 $root/tmp
cp bin/gregor $root/usr/bin/gregor
for script in scripts/*.sh; do
  name=$(basename "$script")
  ln -s gregor "$root/usr/bin/$name"
  ln -s gregor "$root/usr/bin/${name%.sh}"
done
echo 'root:x:0:0:root:/var/lib/kafka:/usr/bin/gregor' >$root/etc/passwd
docker build -q -t "${IMAGE:-gregor:latest}" -f Dockerfile $root
