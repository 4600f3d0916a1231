#!/usr/bin/env bash
#
# make release: of a tree whose tests have passed, one that can be tagged.
#
# Freezes the script of the version that the control file names, gives the changelog
# and the packages its date, says in META.json that it is stable, and checks what the
# files say of each other.  It neither commits nor tags, and says how.

set -euo pipefail
cd "$(dirname "$0")/.."

refuse() {
    echo "make release: $*" >&2
    exit 1
}

version=$(sed -n "s/^default_version = '\(.*\)'/\1/p" whatsapp_shared.control)
frozen=sql/released/whatsapp_shared--$version.sql
today=$(date -u +%F)

[ -z "$(git status --porcelain)" ] || refuse "there are changes that are not committed"
[ ! -e "$frozen" ] || refuse "version $version was released already: a new one is due (sql/README.md)"
grep -qx '## \[Unreleased\]' CHANGELOG.md || refuse "CHANGELOG.md has no section [Unreleased]"
newest=$(find sql/released -name 'whatsapp_shared--*.sql' | sort -V | tail -n 1)
older=$(basename "$newest" .sql)
[ -e "sql/$older--$version.sql" ] || refuse "there is no script that leads from ${older#*--} to $version"

make -s "sql/whatsapp_shared--$version.sql"
cp "sql/whatsapp_shared--$version.sql" "$frozen"
sed -i "s/\"release_status\": \"testing\"/\"release_status\": \"stable\"/" META.json
sed -i "s/^## \[Unreleased\]\$/## [$version] - $today/" CHANGELOG.md
sed -i "0,/^ -- /s/^\( -- .*>  \).*/\1$(LC_ALL=C date -u -R)/" packaging/debian/changelog

test/tools/run-tests.sh lists conventions
cat << END

Version $version is ready:
  git add sql/released && git commit -a -m 'Release version $version' && git tag -a v$version -m 'Version $version'
The next change of sql/ needs a next version: sql/README.md.
END
