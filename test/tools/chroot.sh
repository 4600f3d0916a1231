#!/usr/bin/env bash
#
# Debian releases in directories of their own, for tests that need another
# PostgreSQL than this machine's, or a machine without anything of ours.
#
#   chroot.sh make RELEASE DIR [security [OTHER]]  a minimal system, unless DIR has one
#   chroot.sh run DIR COMMAND [ARGUMENT...]        runs a command in it
#
# Needs root, debootstrap, and the archive that apt of this machine uses; where
# one of them is missing it says so and exits with status 77, which callers
# report as "not run".  "security" adds the release's security archive, so that
# there are two minor versions of a PostgreSQL to be had: with it and without.
# Where OTHER is a system of the same release, a copy of it is upgraded: that
# fetches only what differs.
#
# A command runs in namespaces of its own.  So its mounts need no undoing, and
# every process that it leaves behind ends with it.  The network is this
# machine's: packages are fetched, and ports are shared.

set -euo pipefail

not_here() {
    echo "chroot.sh: $*" >&2
    exit 77
}

# The archive that apt of this machine knows for a release, or else the one it
# knows for any: an archive has all releases.
archive() {
    local suffix=$1

    # shellcheck disable=SC2016
    apt-get indextargets --format '$(CODENAME) $(REPO_URI)' 'Created-By: Packages' |
        awk -v suffix="$suffix" '$1 ~ /^[a-z]+(-security)?$/ && ($1 ~ /-security$/) == (suffix != "") { print $2; exit }'
}

make_chroot() {
    local release=$1 dir=$2 security=${3:-} other=${4:-} main extra

    [ "$(id -u)" -eq 0 ] || not_here "a chroot needs root"
    command -v apt-get > /dev/null || not_here "this is not a Debian system"
    if ! command -v debootstrap > /dev/null; then
        DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends debootstrap > /dev/null 2>&1 ||
            not_here "debootstrap cannot be installed"
    fi
    main=$(archive '')
    [ -n "$main" ] || not_here "apt knows no archive"
    [ ! -e "$dir/.complete" ] || return 0

    rm -rf "${dir:?}"
    mkdir -p "$dir"
    if [ -n "$other" ] && [ -e "$other/.complete" ]; then
        cp -a "$other/." "$dir"
        rm "$dir/.complete"
    elif ! debootstrap --variant=minbase --include=ca-certificates "$release" "$dir" "$main" > "$dir.log" 2>&1; then
        tail -n 5 "$dir.log" >&2
        rm -rf "${dir:?}"
        not_here "$release cannot be had"
    fi
    # Nothing here has to survive a power failure, and no service is to start.
    echo force-unsafe-io > "$dir/etc/dpkg/dpkg.cfg.d/unsafe-io"
    # An archive may be a snapshot, whose lists are older than they say they may be.
    echo 'Acquire::Check-Valid-Until "false";' > "$dir/etc/apt/apt.conf.d/snapshot"
    printf '#!/bin/sh\nexit 101\n' > "$dir/usr/sbin/policy-rc.d"
    chmod 755 "$dir/usr/sbin/policy-rc.d"
    if [ -n "$security" ]; then
        extra=$(archive security)
        [ -z "$extra" ] || echo "deb $extra $release-security main" >> "$dir/etc/apt/sources.list"
    fi
    run_in "$dir" sh -c 'apt-get update -q && apt-get upgrade -q -y' > "$dir.log" 2>&1 ||
        not_here "the packages of $release cannot be had: $(tail -n 1 "$dir.log")"
    touch "$dir/.complete"
}

run_in() {
    local dir=$1
    shift

    cp /etc/resolv.conf /etc/hosts "$dir/etc/"
    # shellcheck disable=SC2016
    unshare --mount --pid --ipc --fork --kill-child --propagation private bash -c '
        dir=$1
        shift
        mount -t proc proc "$dir/proc" && mount --rbind /dev "$dir/dev" &&
            mount -t tmpfs -o mode=1777 shm "$dir/dev/shm" && mount -t tmpfs -o mode=1777 tmp "$dir/tmp" || exit 1
        exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \
            DEBIAN_FRONTEND=noninteractive chroot "$dir" "$@"' chroot.sh "$dir" "$@"
}

case ${1:-} in
    make) make_chroot "${@:2}" ;;
    run) run_in "${@:2}" ;;
    *)
        sed -n 's/^#  *chroot.sh /usage: chroot.sh /p' "$0" >&2
        exit 2
        ;;
esac
