#!/usr/bin/env bash
#
# make deb: Debian packages of this tree, in build/deb.
#
# They are built in a copy of the tree, as Debian builds packages, so nothing is
# left behind here; as any user, if what they are built with is installed (root,
# or a user who may sudo, gets that installed).  The packages are for the versions
# of PostgreSQL that this release of Debian has.  The same tree gives the same
# packages, byte for byte: all times in them are that of the changelog.
#
# DEBFULLNAME and DEBEMAIL say who the maintainer is: whoever builds them.
# DEB_DIR is another directory than build/deb.

set -euo pipefail
cd "$(dirname "$0")/.."

out=$(realpath -m "${DEB_DIR:-build/deb}")

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

need() {
    local package missing=()

    for package in "$@"; do
        [ "$(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2> /dev/null)" = 'ii ' ] || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    if [ "$(id -u)" -ne 0 ] && ! command -v sudo > /dev/null; then
        echo "Packages are missing, and this is neither root nor is there sudo: ${missing[*]}" >&2
        exit 1
    fi
    as_root apt-get update -q
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"
}

# What belongs to the tree: what git knows, or else all but what builds and tests make.
tree_files() {
    if [ "$(git rev-parse --show-toplevel 2> /dev/null)" = "$PWD" ]; then
        git ls-files -z --cached --others --exclude-standard | perl -0 -ne 'chomp; print "$_\0" if -l || -f'
    else
        find . \( -path ./.git -o -path ./build -o -name build -o -name node_modules -o -path ./tmp_check -o -path ./results \) -prune \
            -o \( -type f -o -type l \) ! -name '*.o' ! -name '*.so' ! -name '*.bc' ! -name wa_gateway ! -name wa_simulator \
            ! -path './sql/whatsapp_shared--[0-9.]*.sql' -printf '%P\0'
        find sql -maxdepth 1 -name 'whatsapp_shared--*--*.sql' -print0
    fi
}

need dpkg-dev debhelper postgresql-server-dev-all

version=$(dpkg-parsechangelog -l packaging/debian/changelog -S Version)
upstream=${version%-*}
SOURCE_DATE_EPOCH=$(dpkg-parsechangelog -l packaging/debian/changelog -S Timestamp)
export SOURCE_DATE_EPOCH

rm -rf "${out:?}"
source=$out/whatsapp-shared-$upstream
mkdir -p "$source"
tree_files | LC_ALL=C sort -z -u | grep -z -v '^packaging/debian/' |
    tar --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --mode=u+rwX,go+rX,go-w --format=gnu \
        --transform "flags=r;s,^,whatsapp-shared-$upstream/," --null --no-recursion -T - -cf - |
    gzip -n > "$out/whatsapp-shared_$upstream.orig.tar.gz"
tar -C "$out" -xzf "$out/whatsapp-shared_$upstream.orig.tar.gz"
cp -R packaging/debian "$source/debian"
cd "$source"
[ -z "${DEBEMAIL:-}" ] ||
    sed -i "s|^Maintainer: .*|Maintainer: ${DEBFULLNAME:-$(id -un)} <$DEBEMAIL>|" debian/control.in
pg_buildext updatecontrol
# Whatever the modes and times in this tree, and the umask of whoever builds.
umask 022
chmod -R u+rwX,go+rX,go-w debian
find debian -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
# Also without packages that this script does not name: the control file does.
dpkg-checkbuilddeps 2> "$out/missing" || need $(sed -n 's/.*: //p' "$out/missing" | sed 's/([^)]*)//g')
rm -f "$out/missing"
dpkg-buildpackage -us -uc -j"$(nproc)" "$@"

cd "$out"
printf '\n'
ls -1 ./*.deb ./*.dsc ./*.changes
