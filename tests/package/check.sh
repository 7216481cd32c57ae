#!/usr/bin/env bash
# tests/package/check.sh - Debian's packages as an operator meets them, in a bare Debian 12 of their own: built, installed, served with,
# upgraded under load, removed, and purged.
#
# Needs root, debootstrap, and Debian's archive. The server runs in a network namespace of its own. Nothing of the machine is changed.
set -euo pipefail
cd "$(dirname "$0")/../.."

die() {
    echo "package: $*" >&2
    exit 1
}

[ "$(id -u)" = 0 ] || die "needs root, for a chroot and a network namespace"
work=$(mktemp -d /tmp/weir-package.XXXXXX)
bare=$work/bare
server=
cleanup() {
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
    ! mountpoint -q "$bare/proc" || umount "$bare/proc"
    rm -rf "$work"
}
trap cleanup EXIT
inside() { chroot "$bare" env DEBIAN_FRONTEND=noninteractive LC_ALL=C "$@"; }
# In the server's network.
there() { nsenter --target "$server" --net "$@"; }

build() { # VERSION: the packages of this tree
    git clone -q . "$work/weir"
    [ "$1" = "$(sed -n '1s/.*(\(.*\)).*/\1/p' debian/changelog)" ] || sed -i "1s/(.*)/($1)/" "$work/weir/debian/changelog"
    (cd "$work/weir" && dpkg-buildpackage -us -uc -b) >"$work/build.log" 2>&1 || { tail -30 "$work/build.log"; die "cannot be built"; }
    mv "$work"/*.deb "$bare/"
    rm -rf "$work/weir"
}

debootstrap --variant=minbase bookworm "$bare" >"$work/bootstrap.log" 2>&1 || { tail -5 "$work/bootstrap.log"; die "no bare Debian"; }
mount -t proc proc "$bare/proc"
printf '#!/bin/sh\nexit 101\n' >"$bare/usr/sbin/policy-rc.d" # nothing is started by its installation: there is no init
chmod +x "$bare/usr/sbin/policy-rc.d"
version=$(sed -n '1s/.*(\(.*\)).*/\1/p' debian/changelog)
build "$version"
if command -v lintian >/dev/null; then
    lintian --allow-root --fail-on error "$bare"/*.deb || die "lintian has found errors"
fi

echo "== install"
inside apt-get update -qq
inside apt-get install -y -qq --no-install-recommends "/weir_${version}_amd64.deb" curl >"$work/install.log" 2>&1 || { tail "$work/install.log"; die "cannot be installed"; }
inside weir -t
inside id weir >/dev/null
[ -L "$bare/etc/weir/sites-enabled/default" ] || die "the default site is not enabled"
grep -q rotate "$bare/etc/logrotate.d/weir" && inside sh -c 'systemd-analyze verify --man=no /lib/systemd/system/weir.service 2>&1 | grep weir.service && exit 1; true'

echo "== serve"
unshare --net sh -c 'ip link set lo up && exec chroot "$1" weir -g "daemon off;"' sh "$bare" &
server=$!
for _ in $(seq 100); do there curl -sf -o /dev/null http://127.0.0.1/ && break; sleep 0.1; done
there curl -sf http://127.0.0.1/ | grep -qi '<html' || die "the default site is not served"
there curl -sf 'http://127.0.0.1/status?format=json' | grep -q '"zones":{"default":' || die "no status"
grep -q weir <(ps -o user= --ppid "$server") || [ "$(stat -c %u "/proc/$(pgrep -P "$server" | head -1)")" = "$(inside id -u weir)" ] || die "workers are not weir's"

echo "== upgrade under load"
build "$version+1"
echo '# mine' >>"$bare/etc/weir/weir.conf"
mv "$bare/etc/weir/sites-enabled/default" "$bare/etc/weir/sites-enabled/mine"
there sh -c 'n=0; while [ ! -e "$1/stop" ]; do curl -sf -o /dev/null http://127.0.0.1/ || echo failed >>"$1/failed"; n=$((n + 1)); done; echo $n >"$1/asked"' sh "$work" &
load=$!
inside apt-get install -y -qq --no-install-recommends "/weir_$version+1_amd64.deb" >"$work/upgrade.log" 2>&1 || { tail "$work/upgrade.log"; die "cannot be upgraded"; }
old=$server
kill -USR2 "$old"
for _ in $(seq 100); do [ -e "$bare/run/weir.pid.oldbin" ] && [ -e "$bare/run/weir.pid" ] && break; sleep 0.1; done
kill -QUIT "$old"
server=$(cat "$bare/run/weir.pid")
for _ in $(seq 100); do kill -0 "$old" 2>/dev/null || break; sleep 0.1; done
sleep 1
touch "$work/stop"
wait "$load"
[ ! -e "$work/failed" ] || die "$(wc -l <"$work/failed") of $(cat "$work/asked") requests failed in the upgrade"
grep -q '# mine' "$bare/etc/weir/weir.conf" || die "the configuration was replaced"
[ ! -e "$bare/etc/weir/sites-enabled/default" ] || die "a site that was disabled is enabled again"
echo "$(cat "$work/asked") requests, none failed"

echo "== a handler and a pool against weir-dev"
inside apt-get install -y -qq --no-install-recommends "/weir-dev_$version+1_amd64.deb" gcc libc6-dev pkg-config >"$work/dev.log" 2>&1 || { tail "$work/dev.log"; die "weir-dev cannot be installed"; }
inside sh -ec 'cd /usr/share/doc/weir-dev/examples; gcc -shared -fPIC -o /tmp/clock.so handlers/clock.c; gcc -o /tmp/fib fib.c $(pkg-config --cflags --libs weir-pool); /tmp/fib >/dev/null'

echo "== remove and purge"
kill -QUIT "$server"
for _ in $(seq 100); do kill -0 "$server" 2>/dev/null || break; sleep 0.1; done
server=
inside apt-get remove -y -qq weir >"$work/remove.log" 2>&1 || { tail "$work/remove.log"; die "cannot be removed"; }
[ -e "$bare/etc/weir/weir.conf" ] && [ ! -e "$bare/usr/sbin/weir" ] || die "removing took the configuration, or left the program"
rm "$bare/etc/weir/sites-enabled/mine" # what an operator has put there stays
inside apt-get purge -y -qq weir >"$work/purge.log" 2>&1 || { tail "$work/purge.log"; die "cannot be purged"; }
for left in etc/weir var/log/weir var/lib/weir etc/logrotate.d/weir; do
    [ ! -e "$bare/$left" ] || die "purging has left /$left"
done
echo "package: all is well"
