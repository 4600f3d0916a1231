#!/usr/bin/env bash
#
# Prints the directory in which prometheus and promtool are: the installed ones, or
# those of Debian's package, unpacked into the given directory.  Installing it would
# start a server, and on a port that may be somebody's.
#
#   prometheus.sh DIRECTORY

set -euo pipefail

directory=${1:?usage: prometheus.sh DIRECTORY}

if command -v promtool > /dev/null && command -v prometheus > /dev/null; then
    dirname "$(command -v promtool)"
    exit
fi
if [ ! -x "$directory/usr/bin/promtool" ]; then
    mkdir -p "$directory"
    cd "$directory"
    apt-get download -q prometheus >&2
    dpkg-deb -x prometheus_*.deb .
    rm -f prometheus_*.deb
fi
echo "$directory/usr/bin"
