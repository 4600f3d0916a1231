#!/usr/bin/env bash
#
# Installs the Debian packages that are missing.
#
#   install-packages.sh build    to build the extension and run a server of it
#   install-packages.sh test     that, and to run the tests
#   install-packages.sh coverage the same, and gcovr
#   install-packages.sh valgrind the same, and valgrind
#   install-packages.sh assertions the same as test, and what PostgreSQL is built with
#   install-packages.sh patroni  what make check-patroni needs, besides building
#
# Does nothing, and needs no privilege, where all of them are there.  Installing
# the server package would make a cluster "main" and start it, and others start
# services; that is switched off for the duration, and what they would start at
# the next boot afterwards, so that what the machine runs stays as it was.

set -euo pipefail

case ${1:-} in
    build | test | coverage | valgrind | assertions | patroni) ;;
    *)
        echo "usage: install-packages.sh build|test|coverage|valgrind|assertions|patroni" >&2
        exit 2
        ;;
esac

if ! command -v apt-get > /dev/null; then
    echo "This is not a Debian system: what is missing must be installed by hand (see README.md)." >&2
    exit 0
fi

kind=$1

installed() { [ "$(dpkg-query -W -f '${db:Status-Abbrev}' "$1" 2> /dev/null)" = 'ii ' ]; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo > /dev/null; then
        sudo "$@"
    else
        echo "Packages are missing, and this is neither root nor is there sudo: ${missing[*]}" >&2
        exit 1
    fi
}

# The version of PostgreSQL: the one whose pg_config is used, else the newest
# that is installed, else the one that Debian's package "postgresql" stands for.
server_version() {
    local version=

    if version=$("${PG_CONFIG:-pg_config}" --version 2> /dev/null) &&
        [ -e "$("${PG_CONFIG:-pg_config}" --bindir)/postgres" ]; then
        sed 's/^PostgreSQL \([0-9]*\).*/\1/' <<< "$version"
        return
    fi
    version=$(ls -d /usr/lib/postgresql/*/bin/postgres 2> /dev/null | cut -d/ -f5 | sort -n | tail -n 1)
    [ -n "$version" ] ||
        version=$(apt-cache show postgresql 2> /dev/null |
            sed -n 's/^Depends:.*postgresql-\([0-9][0-9]*\).*/\1/p' | head -n 1)
    echo "$version"
}

# A PostgreSQL that is not Debian's brings its own headers and test programs.
is_debians() { [[ $("${PG_CONFIG:-pg_config}" --bindir 2> /dev/null || echo /usr/lib/postgresql) == /usr/lib/postgresql* ]]; }

find_missing() {
    local version=$1 package
    local wanted=(gcc make libcurl4-openssl-dev libpq-dev libmicrohttpd-dev libjansson-dev zlib1g-dev libgnutls28-dev libssl-dev)

    if is_debians; then
        wanted+=("postgresql-$version" "postgresql-server-dev-$version")
    fi
    case $2 in
        coverage) wanted+=(gcovr) ;;
        valgrind) wanted+=(valgrind) ;;
        assertions) wanted+=(libicu-dev) ;;
    esac
    if [[ " test coverage valgrind assertions " = *" $2 "* ]]; then
        wanted+=(perl libipc-run-perl clang-format openssl curl ca-certificates)
        # libFuzzer and the sanitizers are parts of the latter.
        wanted+=(clang libclang-rt-dev)
        # What the examples of docs/applications.md need.
        # What parses the SQL strings of the code, with the grammar of PostgreSQL.
        wanted+=(python3-pglast)
        wanted+=(python3-sqlalchemy python3-psycopg2 python3-psycopg)
        command -v node > /dev/null || wanted+=(nodejs node-pg)
        # What fetches the validator of test/contract, unless it is here, and the packages of
        # test/browser; and the browser of these.
        [ -n "${WA_VALIDATOR:-}" ] || command -v npm > /dev/null || wanted+=(npm)
        [ "${WA_BROWSER:-}" = no ] || wanted+=(chromium)
        # What the examples of docs/gateway.md need.
        wanted+=(jq)
        if is_debians; then
            wanted+=("postgresql-$version-pgtap")
        fi
    fi
    if [ "$2" = patroni ]; then
        wanted+=(perl patroni etcd-server haproxy nftables iproute2 procps util-linux)
    fi
    missing=()
    for package in "${wanted[@]}"; do
        installed "$package" || missing+=("$package")
    done
}

missing=()
version=$(server_version)
if [ -n "$version" ]; then
    find_missing "$version" "$1"
    [ ${#missing[@]} -gt 0 ] || exit 0
fi

missing=("(not known yet)")
as_root apt-get update -q >&2
version=$(server_version)
if [ -z "$version" ]; then
    echo "apt-get knows no package \"postgresql\"." >&2
    exit 1
fi
find_missing "$version" "$1"
[ ${#missing[@]} -gt 0 ] || exit 0
echo "installing: ${missing[*]}" >&2

# postgresql-common reads this directory when it decides whether to make a cluster.
no_cluster=/etc/postgresql-common/createcluster.d/whatsapp_shared-tests.conf
made=
for dir in /etc/postgresql-common /etc/postgresql-common/createcluster.d; do
    [ -d "$dir" ] || made="$dir $made"
done

# invoke-rc.d asks this before it starts anything; a machine may have one already.
no_start=/usr/sbin/policy-rc.d
services=(etcd haproxy patroni nftables)
foreign=()
made_policy=
forbid_services() {
    local service

    for service in "${services[@]}"; do
        [[ " ${missing[*]} " != *" $service "* && " ${missing[*]} " != *" $service-server "* ]] || foreign+=("$service")
    done
    [ ! -e "$no_start" ] || return 0
    made_policy=yes
    printf '#!/bin/sh\nexit 101\n' | as_root install -m 755 /dev/stdin "$no_start"
}
allow_services() {
    [ -z "$made_policy" ] || as_root rm -f "$no_start"
    [ ${#foreign[@]} -eq 0 ] || as_root systemctl disable --quiet "${foreign[@]}" 2> /dev/null || true
}
undo() {
    [ "$kind" != patroni ] || allow_services
    as_root rm -f "$no_cluster"
    for dir in $made; do
        as_root rmdir "$dir" 2> /dev/null || true
    done
}
trap undo EXIT
as_root mkdir -p "$(dirname "$no_cluster")"
echo 'create_main_cluster = off' | as_root tee "$no_cluster" > /dev/null
[ "$kind" != patroni ] || forbid_services

as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get install -q -y --no-install-recommends "${missing[@]}" >&2
