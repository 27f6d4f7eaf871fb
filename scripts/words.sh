#!/usr/bin/env bash
# Checks spelling with typos (installed into .tools where it is missing), and that no word of scripts/words.txt is used.
set -euo pipefail
cd "$(dirname "$0")/.."
name=words
. scripts/common.sh
typos=.tools/typos/bin/typos
version=$(sed -n 's/^typos==\([^ ]*\).*/\1/p' scripts/typos.txt)

has_typos() { [ "$("$typos" --version 2>/dev/null || true)" = "typos-cli $version" ]; }
install_typos() {
  find_pip || return 1
  rm -rf .tools/typos
  PIP_REQUIRE_VIRTUALENV=0 "${pip[@]}" install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps \
    --only-binary=:all: --require-hashes --target .tools/typos -r scripts/typos.txt >&2 || return 1
  has_typos
}

failed=0
if has_typos || install_typos; then
  "$typos" || failed=1
else
  skipped "no typos (pip install typos==$version)"
fi
while IFS=$'\t' read -r pattern instead; do
  case "$pattern" in '' | '#'*) continue ;; esac
  hits=$(git grep -nIP -e "$pattern" -- . ':!scripts/words.txt' ':!tests/fuzz/corpus' ':!models/mini/tokenizer.json') || continue
  printf '%s\n' "$hits" | sed "s|\$|   → ${instead//|/\\|}|" >&2
  failed=1
done <scripts/words.txt
exit $failed
