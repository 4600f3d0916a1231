#!/usr/bin/env bash
#
# make oci: an image of the extension for CloudNativePG, in build/oci.
#
# CloudNativePG mounts it beside the server ("image volume extensions", PostgreSQL 18
# and later).  The image is made from nothing and has
#
#   /lib                whatsapp_shared.so
#   /share/extension    the control file and the scripts
#   /system             libcurl, and what it needs that a server does not have loaded
#   /licenses           of all these
#
# It is a directory in the OCI image layout, written with tar, gzip and sha256sum: no
# daemon is asked.  It fits servers of the major version of PG_CONFIG on the same
# release of Debian as this machine.  The same tree gives the same image.
#
# OCI_DIR is another directory than build/oci.

set -euo pipefail
cd "$(dirname "$0")/.."

pg_config=${PG_CONFIG:-pg_config}
out=$(realpath -m "${OCI_DIR:-build/oci}")
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(date -d "$(sed -n 's/^ -- .*>  //p' packaging/debian/changelog | head -n 1)" +%s)}
version=$(sed -n "s/^default_version = '\(.*\)'/\1/p" whatsapp_shared.control)
major=$("$pg_config" --version | sed 's/^PostgreSQL \([0-9]*\).*/\1/')
created=$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)
# shellcheck disable=SC1091
distribution=$(. /etc/os-release && echo "${VERSION_CODENAME:-$ID}")
case $(uname -m) in
    x86_64) architecture=amd64 ;;
    aarch64) architecture=arm64 ;;
    *) architecture=$(uname -m) ;;
esac

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# ---- what is in it ----

make -s PG_CONFIG="$pg_config" with_llvm=no DESTDIR="$work/stage" install >&2
image=$work/image
mkdir -p "$image/lib" "$image/share/extension" "$image/system" "$image/licenses/whatsapp_shared"
library=$work/stage$("$pg_config" --pkglibdir)/whatsapp_shared.so
strip --strip-debug -o "$image/lib/whatsapp_shared.so" "$library"
cp "$work/stage$("$pg_config" --sharedir)/extension"/whatsapp_shared* "$image/share/extension/"
cp LICENSE "$image/licenses/whatsapp_shared/"

# The server has loaded these already, and libpq's are in every image of a server.
needs() { ldd "$@" | sed -n 's/.* => \(\/[^ ]*\) .*/\1/p' | sort -u; }
needs "$("$pg_config" --bindir)"/{postgres,psql} > "$work/there"
needs "$library" | comm -23 - "$work/there" > "$work/missing"
while read -r file; do
    cp -L "$file" "$image/system/"
    # Of the names that a library has, dpkg knows one.
    package=$(dpkg-query -S "$file" "$(realpath "$file")" 2> /dev/null | sed -n '1s/:.*//p') || true
    [ -z "$package" ] || install -D -m 644 "/usr/share/doc/$package/copyright" "$image/licenses/$package/copyright"
done < "$work/missing"
find "$image" -type f -exec chmod 644 {} +
find "$image" -type d -exec chmod 755 {} +

# ---- as a layout ----

rm -rf "${out:?}"
mkdir -p "$out/blobs/sha256"

# Stores a file under its digest, and prints the descriptor of it.
blob() {
    local type=$1 file=$2 extra=${3:-} digest size

    digest=$(sha256sum "$file" | cut -d' ' -f1)
    size=$(stat -c %s "$file")
    cp "$file" "$out/blobs/sha256/$digest"
    printf '{"mediaType":"%s","digest":"sha256:%s","size":%d%s}' "$type" "$digest" "$size" "$extra"
}

LC_ALL=C tar -C "$image" --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --format=gnu \
    -cf "$work/layer.tar" lib share system licenses
gzip -n -9 < "$work/layer.tar" > "$work/layer.tar.gz"
layer=$(blob application/vnd.oci.image.layer.v1.tar+gzip "$work/layer.tar.gz")

labels=$(printf '"org.opencontainers.image.title":"whatsapp_shared","org.opencontainers.image.version":"%s","org.opencontainers.image.licenses":"PostgreSQL","org.opencontainers.image.created":"%s"' "$version" "$created")
printf '{"created":"%s","architecture":"%s","os":"linux","config":{"User":"65532:65532","Labels":{%s}},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]},"history":[{"created":"%s","comment":"make oci"}]}' \
    "$created" "$architecture" "$labels" "$(sha256sum "$work/layer.tar" | cut -d' ' -f1)" "$created" > "$work/config"
config=$(blob application/vnd.oci.image.config.v1+json "$work/config")
printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":%s,"layers":[%s],"annotations":{%s}}' \
    "$config" "$layer" "$labels" > "$work/manifest"
tag=$version-$major-$distribution
manifest=$(blob application/vnd.oci.image.manifest.v1+json "$work/manifest" \
    "$(printf ',"annotations":{"org.opencontainers.image.ref.name":"%s"},"platform":{"architecture":"%s","os":"linux"}' "$tag" "$architecture")")
printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[%s]}' "$manifest" > "$out/index.json"
printf '{"imageLayoutVersion":"1.0.0"}' > "$out/oci-layout"

echo "$out:$tag"
