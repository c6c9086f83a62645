#!/bin/sh
# Runs copy_test.py on $WARDEN_COPY in a mount namespace that ends with it.
set -eu
here=$(dirname "$0")
for need in unshare python3 setpriv; do
  command -v "$need" >/dev/null || { echo "1..0 # SKIP $need is missing"; exit 0; }
done
[ "$(id -u)" = 0 ] || { echo "1..0 # SKIP needs root"; exit 0; }
exec unshare --mount --propagation private -- python3 "$here/copy_test.py" "$WARDEN_COPY"
