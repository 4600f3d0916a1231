#!/usr/bin/env bash
#
# Builds the extension once more, with the fail points between it and what it calls, and
# installs it into the private PostgreSQL; and the library that lets allocations of a program fail.
#
#   build.sh DIRECTORY
#
# Needs PG_CONFIG, and whatsapp_shared.so as it is built otherwise.

set -euo pipefail
cd "$(dirname "$0")/../.."

mkdir -p "$1"
dir=$(cd "$1" && pwd)

perl test/failpoints/generate.pl test/failpoints/points.list whatsapp_shared.so "$dir"
gcc -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare -O1 -g -fPIC -I "$dir" -I "$("$PG_CONFIG" --includedir-server)" \
    -c -o "$dir/points.o" test/failpoints/points.c
gcc -c -o "$dir/before.o" "$dir/before.S"
gcc -Wall -Wextra -O1 -g -fPIC -shared -o "$dir/allocations.so" test/failpoints/allocations.c -ldl

rm -f whatsapp_shared.so
make -s with_llvm=no PG_CONFIG="$PG_CONFIG" \
    PG_LDFLAGS="$dir/points.o $dir/before.o -Wl,@$dir/wrap.flags" install
