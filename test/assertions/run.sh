#!/usr/bin/env bash
#
# make check-assertions: the suites on a server that checks itself.
#
# Debian's packages are built without assertions.  A server with them also overwrites what is
# freed, so whoever uses memory after its context is gone does not go on by luck, and looks
# at every end of a transaction for what was not given back.  It is built once, below
# build/assertions, from the source of Debian's package of the version that PG_CONFIG has.
#
# WA_SUITES chooses others than regress, isolation, pgtap, security, tap and caches (caches.pl); WA_TESTS
# files of them.
# What cannot be had here is "not run": exit status 77.

set -euo pipefail
cd "$(dirname "$0")/../.."

not_run() {
    echo "not run: $*"
    exit 77
}

dir=$PWD/build/assertions
debian=$(command -v "${PG_CONFIG:-pg_config}") || not_run "there is no pg_config"
version=$("$debian" --version | sed 's/^PostgreSQL \([0-9]*\).*/\1/')
server=$dir/$version

# apt's own lists and archives stay as they are.
apt_get() {
    apt-get -q -o "Dir::Etc::SourceList=$dir/sources.list" -o Dir::Etc::SourceParts=/dev/null -o "Dir::State::Lists=$dir/lists" \
        -o "Dir::Cache=$dir/cache" -o APT::Sandbox::User= -o Acquire::Check-Valid-Until=false "$@"
}

fetch_source() {
    local archive release

    # shellcheck disable=SC1091
    release=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    # shellcheck disable=SC2016
    archive=$(apt-get indextargets --format '$(CODENAME) $(REPO_URI)' 'Created-By: Packages' |
        awk -v release="$release" '$1 == release { print $2; exit }')
    [ -n "$archive" ] || return 1
    mkdir -p "$dir/lists/partial" "$dir/cache/archives/partial"
    echo "deb-src $archive $release main" > "$dir/sources.list"
    apt_get update && cd "$dir" && apt_get source --download-only "postgresql-$version"
}

build_server() {
    rm -rf "$dir/source" "$server"
    mkdir -p "$dir/source"
    tar -xf "$dir/postgresql-${version}"_*.orig.tar.* -C "$dir/source" --strip-components=1
    cd "$dir/source"
    ./configure --prefix="$server" --enable-cassert --enable-debug --enable-tap-tests --with-openssl --with-icu --without-readline CFLAGS='-O1 -g'
    # make tells the one below of its options, and that one is PostgreSQL's.
    env -u MAKEFLAGS -u MAKELEVEL make -s -j"$(nproc)" world-bin
    env -u MAKEFLAGS -u MAKELEVEL make -s install-world-bin
    cp "$("$debian" --sharedir)"/extension/pgtap* "$("$server/bin/pg_config" --sharedir)/extension/"
    chmod -R a+rX "$server"
    touch "$server/.complete"
}

if [ ! -e "$server/.complete" ]; then
    test/tools/install-packages.sh assertions || not_run "packages are missing"
    mkdir -p "$dir"
    (fetch_source) > "$dir/fetch.log" 2>&1 || not_run "the source of postgresql-$version cannot be had: $(tail -n 1 "$dir/fetch.log")"
    echo "building PostgreSQL with assertions, which takes a while; $dir/build.log"
    (build_server) > "$dir/build.log" 2>&1 || {
        tail -n 20 "$dir/build.log" >&2
        exit 1
    }
fi
# shellcheck disable=SC2086
PG_CONFIG=$server/bin/pg_config test/tools/run-tests.sh ${WA_SUITES:-regress isolation pgtap security tap caches}
