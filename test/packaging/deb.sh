#!/usr/bin/env bash
#
# make check-deb: the Debian packages, from the source to a message that they send.
#
# They are built twice, in different places, as an unprivileged user; both must be
# the same, and lintian must find neither errors nor warnings.  In a clean chroot of
# this release they are then installed in a made-up older revision, upgraded while
# their server runs, removed and purged.  At each step a message is sent.
#
# Needs root, debootstrap and the archive that apt uses; where one is missing it
# says "not run" and exits with status 77.  WA_TWICE=no builds once.

set -euo pipefail
cd "$(dirname "$0")/../.."

passed=0
failed=0
ok() {
    passed=$((passed + 1))
    echo "ok - $*"
}
not_ok() {
    failed=$((failed + 1))
    echo "not ok - $*"
}
check() {
    local name=$1
    shift
    if "$@"; then ok "$name"; else not_ok "$name"; fi
}
not_run() {
    echo "make check-deb: not run: $*" >&2
    exit 77
}

[ "$(id -u)" -eq 0 ] || not_run "a chroot needs root"
command -v apt-get > /dev/null || not_run "this is not a Debian system"
# shellcheck disable=SC1091
release=$(. /etc/os-release && echo "$VERSION_CODENAME")
cache=$PWD/build/check-deb
clean=$cache/clean
mkdir -p "$cache"

status=0
test/tools/chroot.sh make "$release" "$cache/base" security || status=$?
[ "$status" -eq 0 ] || not_run "there is no chroot of $release"

DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends \
    lintian dpkg-dev debhelper postgresql-server-dev-all libcurl4-openssl-dev libgnutls28-dev libjansson-dev \
    libmicrohttpd-dev libpq-dev zlib1g-dev > "$cache/packages.log" 2>&1 ||
    not_run "what builds packages cannot be installed: $(tail -n 1 "$cache/packages.log")"

# ---- built, by somebody without rights ----

work=$(mktemp -d /tmp/whatsapp_shared-deb.XXXXXX)
# Whoever builds must get to what is below.
chmod 711 "$work"
trap 'rm -rf "$work" "${clean:?}"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# In a directory of its own, with an environment of its own.
build() {
    local dir=$work/$1
    shift

    mkdir -p "$dir/tree"
    tar -cf - --exclude=./.git --exclude=./build --exclude=node_modules . | tar -C "$dir/tree" -xf -
    find "$dir/tree" -name '*.o' -delete
    chown -R nobody "$dir"
    (cd "$dir/tree" && find . -type f | sort) > "$dir/before"
    if ! runuser -u nobody -- env -i PATH=/usr/bin:/bin HOME="$dir" DEB_DIR="$dir/out" "$@" \
        bash -c "umask $mask; cd '$dir/tree' && packaging/build-deb.sh" > "$dir.log" 2>&1; then
        tail -n 30 "$dir.log"
        return 1
    fi
    (cd "$dir/tree" && find . -type f | sort) | cmp -s - "$dir/before" || not_ok "the build leaves the tree as it was"
}

mask=022
if ! build one LANG=C.UTF-8 TZ=UTC; then
    not_ok "the packages are built"
    printf '\n%d passed, %d failed\n' "$passed" "$failed"
    exit 1
fi
ok "the packages are built by a user without rights"
out=$work/one/out
version=$(sed -n 's/^Version: //p' "$out"/*.changes)
if [ "${WA_TWICE:-}" != no ]; then
    mask=027
    build a/longer/path LANG=C TZ=Pacific/Kiritimati || not_ok "the packages are built again"
    for file in "$out"/*.deb "$out"/*.orig.tar.gz "$out"/*.debian.tar.xz; do
        check "$(basename "$file") is the same when it is built elsewhere" cmp "$file" "$work/a/longer/path/out/$(basename "$file")"
    done
    rm -rf "$work/a"
fi

# Without showing what is overridden, which lintian would count, too.
if (cd "$out" && runuser -u nobody -- env HOME="$work/one" lintian --no-cfg --fail-on error,warning ./*.changes) > "$cache/lintian.log" 2>&1; then
    ok "lintian finds neither errors nor warnings"
else
    not_ok "lintian finds neither errors nor warnings"
fi
sed 's/^/    /' "$cache/lintian.log"

# ---- a made-up older revision: another version, other bytes, another conffile ----

older=$work/older
mkdir "$older" "$work/unpacked"
for deb in "$out"/*.deb; do
    case $deb in *-dbgsym_*) continue ;; esac
    tree=$work/unpacked/$(basename "$deb" .deb)
    dpkg-deb -R "$deb" "$tree"
    sed -i "s/^Version: .*/Version: ${version%-*}-0.1/" "$tree/DEBIAN/control"
    [ ! -e "$tree/etc/whatsapp-shared/wa_gateway.conf.example" ] ||
        echo '# of the older revision' >> "$tree/etc/whatsapp-shared/wa_gateway.conf.example"
    (cd "$tree" && find . -path ./DEBIAN -prune -o -type f -printf '%P\0' | LC_ALL=C sort -z | grep -z -v '^etc/' |
        xargs -0 md5sum > DEBIAN/md5sums)
    dpkg-deb --root-owner-group -b "$tree" "$older" > /dev/null
done

# ---- installed, upgraded, removed, purged ----

rm -rf "${clean:?}"
cp -a "$cache/base" "$clean"
mkdir "$clean/older" "$clean/new"
cp "$older"/*.deb "$clean/older/"
find "$out" -name '*.deb' ! -name '*-dbgsym_*' -exec cp -t "$clean/new" {} +
install -m 755 packaging/debian/tests/send-a-message "$clean/send-a-message"

in_clean() { test/tools/chroot.sh run "$clean" "$@"; }
apt() { in_clean sh -c "apt-get -q -y --no-install-recommends $*" > "$cache/apt.log" 2>&1; }
# What the packages must not leave behind: every file but what apt and dpkg keep themselves.
files() {
    (cd "$clean" && find . -xdev \( -path ./proc -o -path ./dev -o -path ./tmp -o -path ./var/lib/dpkg -o -path ./var/lib/apt -o -path ./var/cache \
        -o -path ./var/log -o -path ./older -o -path ./new \) -prune -o -print) | grep -i 'whatsapp\|wa_gateway\|wa_simulator' | grep -v '^./send-a-message$' | sort
}
version_of() { in_clean dpkg-query -W -f '${Package} ${Version}\n' '*whatsapp-shared*' | awk '{ print $2 }' | sort -u; }

# The server first, so that what is removed later is ours alone; its own cluster is not wanted.
mkdir -p "$clean/etc/postgresql-common/createcluster.d"
echo 'create_main_cluster = off' > "$clean/etc/postgresql-common/createcluster.d/test.conf"

check "nothing of it is in the chroot" test -z "$(files)"
if apt install /older/*.deb; then ok "the older revision is installed"; else
    not_ok "the older revision is installed"
    tail -n 20 "$cache/apt.log"
fi
check "it is the older one" test "$(version_of)" = "${version%-*}-0.1"
check "the gateway has its user" in_clean sh -c 'getent passwd wa_gateway > /dev/null'
check "and no settings but the example" test "$(ls "$clean/etc/whatsapp-shared")" = wa_gateway.conf.example
for unit in service socket; do
    check "its $unit starts only when it is configured" grep -qx 'ConditionPathExists=/etc/whatsapp-shared/wa_gateway.conf' \
        "$clean/lib/systemd/system/wa_gateway.$unit"
done
check "the older revision sends a message" in_clean /send-a-message
cp "$clean/etc/whatsapp-shared/wa_gateway.conf.example" "$clean/etc/whatsapp-shared/wa_gateway.conf"

if apt install /new/*.deb; then ok "it is upgraded"; else
    not_ok "it is upgraded"
    tail -n 20 "$cache/apt.log"
fi
check "to the present version" test "$(version_of)" = "$version"
check "the example, which nobody has changed, is the new one" cmp -s packaging/wa_gateway.conf "$clean/etc/whatsapp-shared/wa_gateway.conf.example"
check "the settings are the old ones" grep -q 'of the older revision' "$clean/etc/whatsapp-shared/wa_gateway.conf"
check "the new version sends a message" in_clean /send-a-message
check "every file is as it was packed" test -z "$(in_clean sh -c 'dpkg -V $(dpkg-query -W -f "\${Package} " "*whatsapp-shared*")')"
for manual in wa_gateway.8 wa_simulator.1; do
    check "there is a manual $manual" test -e "$clean/usr/share/man/man${manual##*.}/$manual.gz"
done

packages=$(in_clean dpkg-query -W -f '${Package} ' '*whatsapp-shared*')
check "it is removed" apt remove $packages
check "with all but settings" test "$(files | grep -v '^./etc/\|/deb-systemd-helper-\|^./var/lib/systemd' | xargs)" = ""
# Not by apt, which does not know any more what had no settings.
check "it is purged" in_clean sh -c "dpkg --purge $packages > /dev/null 2>&1"
check "the settings of the site are not deleted" test "$(ls "$clean/etc/whatsapp-shared")" = wa_gateway.conf
rm -r "$clean/etc/whatsapp-shared"
left=$(files || true)
check "and nothing else is left" test -z "$left" || echo "$left"

printf '\n%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
