#!/usr/bin/env bash
# Compares two folders of packages, as release.sh makes them, and lists what differs: packages, files of the tree, symbols.
#   packaging/compare.sh A B        exit code 1 where something differs
set -euo pipefail
export LC_ALL=C.UTF-8
# shellcheck disable=SC2034 # for the messages of common.sh
name=compare
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/../scripts/common.sh"
[ $# = 2 ] || die "two folders are needed" "packaging/compare.sh A B"
# content FOLDER: hash or target, mode and name of everything in it; times and owners only matter inside the packages.
content() {
  (cd "$1" && find root symbols -type f -print0 | sort -z | xargs -0 sha256sum &&
    find root symbols -printf '%m %y %l %p\n' | sort -k 4 &&
    find . -maxdepth 1 \( -name '*.tar.xz' -o -name '*.deb' -o -name '*.whl' -o -name '*.cdx.json' \) -printf '%P\0' | sort -z | xargs -0 sha256sum)
}
for folder in "$1" "$2"; do [ -d "$folder/root" ] || die "$folder holds no packages" "make dist"; done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
content "$1" >"$work/a"
content "$2" >"$work/b"
if cmp -s "$work/a" "$work/b"; then
  say "$(grep -cE '^[0-9a-f]{64} ' "$work/a") files have the same bytes"
  exit 0
fi
diff "$work/a" "$work/b" | sed -n 's/^[<>] .* \(.*\)$/\1/p' | sort -u | while read -r file; do
  if [ ! -e "$1/$file" ] || [ ! -e "$2/$file" ]; then
    echo "only in one: $file"
  elif [ -f "$1/$file" ] && ! cmp -s "$1/$file" "$2/$file"; then
    echo "differs: $file ($(stat -c %s "$1/$file") and $(stat -c %s "$2/$file") bytes, $({ cmp -l "$1/$file" "$2/$file" 2>/dev/null || true; } | head -n 1000000 | wc -l) of them)"
  else
    echo "another mode: $file"
  fi
done
exit 1
