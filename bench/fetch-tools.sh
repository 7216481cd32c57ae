#!/usr/bin/env bash
# bench/fetch-tools.sh [nginx] [haproxy] [h2o] [promtool] - programs that only tests and benchmarks need.
#
# Installing these Debian packages would start services on the developer's machine. So they are downloaded to
# build/tools/deb, unpacked below build/tools/root, and made runnable as build/tools/NAME; nothing is installed.
# Without arguments: all of them. A tool that already runs is left as it is.
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tools=$top/build/tools
deb=$tools/deb
root=$tools/root

die() {
    printf 'fetch-tools: %s\n' "$*" >&2
    exit 1
}

# Sets packages (always unpacked), libraries (unpacked only if the system lacks them), program and version_flag.
describe() {
    case $1 in
    nginx)
        packages="nginx nginx-common"
        libraries="libcrypt1 libpcre2-8-0 libssl3 zlib1g"
        program=usr/sbin/nginx version_flag=-v ;;
    haproxy)
        packages=haproxy
        libraries="libcrypt1 liblua5.3-0 libopentracing-c-wrapper0 libopentracing1 libpcre2-8-0 libssl3 libsystemd0"
        program=usr/sbin/haproxy version_flag=-v ;;
    h2o)
        packages=h2o
        libraries="libssl3 libstdc++6 libyaml-0-2 zlib1g"
        program=usr/bin/h2o version_flag=-v ;;
    promtool)
        packages=prometheus
        libraries=
        program=usr/bin/promtool version_flag=--version ;;
    *) die "unknown tool '$1'; known: nginx haproxy h2o promtool" ;;
    esac
}

runs() {
    "$tools/$1" "$version_flag" >/dev/null 2>&1
}

installed() {
    dpkg-query -W -f '${db:Status-Status}\n' "$1" 2>/dev/null | grep -qx installed
}

update_lists() {
    [ "$(id -u)" = 0 ] || \
        die "cannot download (offline, or old package lists): run 'sudo apt-get update', then this again"
    apt-get -qq update || die "apt-get update failed: is this machine offline?"
}

download() {
    # As root apt would drop to _apt, which may not write here: the sandbox user is set to spare a warning.
    (cd "$deb" && apt-get -qq -o APT::Sandbox::User=root download "$@")
}

# A library may have to come from below build/tools: then the tool is a wrapper that says where it is, else a link.
expose() {
    local name=$1 triplet
    rm -f "$tools/$name"
    if ldd "$root/$program" 2>/dev/null | grep -q 'not found'; then
        triplet=$(uname -m)-linux-gnu
        printf '#!/bin/sh\nexport LD_LIBRARY_PATH=%q\nexec %q "$@"\n' \
            "$root/usr/lib/$triplet:$root/lib/$triplet" "$root/$program" >"$tools/$name"
        chmod +x "$tools/$name"
    else
        ln -s "root/$program" "$tools/$name"
    fi
}

fetch() {
    local name=$1 wanted package file
    describe "$name"
    if runs "$name"; then return; fi

    wanted=$packages
    for package in $libraries; do
        installed "$package" || wanted="$wanted $package"
    done
    mkdir -p "$deb" "$root"
    # shellcheck disable=SC2086 # a list of package names
    download $wanted 2>/dev/null || {
        update_lists
        download $wanted || die "cannot download: $wanted (offline, or not Debian 12?)"
    }
    for package in $wanted; do
        for file in "$deb/${package}"_*.deb; do
            dpkg -x "$file" "$root" || die "cannot unpack $file; remove it and try again"
        done
    done
    expose "$name"
    runs "$name" || die "$tools/$name does not run: $("$tools/$name" "$version_flag" 2>&1 | head -n 3)"
    printf 'fetch-tools: build/tools/%s is ready\n' "$name"
}

for command in apt-get dpkg dpkg-query; do
    command -v "$command" >/dev/null || die "$command not found: this script needs a Debian system"
done
[ $# -gt 0 ] || set -- nginx haproxy promtool
for name in "$@"; do
    fetch "$name"
done
