#!/usr/bin/env bash
#
# Prints the directory in which a program is: the installed one, or that of Debian's
# package, unpacked into the given directory.  For packages that start a server when
# they are installed, on a port that may be somebody's.
#
#   unpacked.sh DIRECTORY PACKAGE PROGRAM

set -euo pipefail

usage='usage: unpacked.sh DIRECTORY PACKAGE PROGRAM'
directory=${1:?$usage}
package=${2:?$usage}
program=${3:?$usage}
PATH=$PATH:/usr/sbin

if command -v "$program" > /dev/null; then
    dirname "$(command -v "$program")"
    exit
fi
mkdir -p "$directory"
cd "$directory"
find_it() { find "$PWD" -path "*bin/$program" -printf '%h\n' | head -n 1; }
if [ -z "$(find_it)" ]; then
    apt-get download -q "$package" >&2
    dpkg-deb -x "$package"_*.deb .
    rm -f "$package"_*.deb
fi
find_it
