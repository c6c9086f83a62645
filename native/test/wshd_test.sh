#!/bin/sh
# Runs wshd_test.py on $WSHD in network and mount namespaces that end with it.
set -eu
here=$(dirname "$0")
for need in unshare python3 ip; do
  command -v "$need" >/dev/null || { echo "1..0 # SKIP $need is missing"; exit 0; }
done
[ "$(id -u)" = 0 ] || { echo "1..0 # SKIP needs root"; exit 0; }
[ -x /bin/busybox ] || { echo "1..0 # SKIP /bin/busybox is missing"; exit 0; }
exec unshare --net --mount --propagation private -- sh -c 'ip link set lo up; exec python3 "$0" "$1"' "$here/wshd_test.py" "$WSHD"
