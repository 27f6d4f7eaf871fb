# shellcheck shell=bash disable=SC2154
# What the scripts share; sourced, not run. `name` is the word in front of every message.
say() { printf '%s: %s\n' "$name" "$*" >&2; }
die() {
  printf '%s: error: %s\n' "$name" "$1" >&2
  [ $# -lt 2 ] || printf '\nhint: %s\n' "$2" >&2
  exit 1
}

# Sets the array `pip` to a pip that runs: a `pip` on the PATH may be a stub of a Python that has none, or too old to
# fetch for a named platform. `pip download` installs nothing, so a distribution that manages its own Python (PEP 668)
# does not stand in the way.
find_pip() {
  local candidate
  for candidate in "python3 -m pip" pip3 pip "/usr/bin/python3 -m pip"; do
    read -ra pip <<<"$candidate"
    case "$("${pip[@]}" --version 2>/dev/null || true)" in
      "pip 1."* | "pip 8."* | "pip 9."* | "pip 1"[0-9].* | "pip 20."[0-2]* | "") ;;
      *) return 0 ;;
    esac
  done
  pip=()
  return 1
}

# skipped REASON: says that something cannot run here, and records it in the file SEGEARTH_SKIPPED, as tests in Rust do.
skipped() {
  printf 'skipped %s: %s\n' "$name" "$1" >&2
  [ -z "${SEGEARTH_SKIPPED:-}" ] || printf '%s\t%s\n' "$1" "$name" >>"$SEGEARTH_SKIPPED"
}

# Prints `N skipped: reason (count), …` from the file SEGEARTH_SKIPPED, in which a test may stand more than once.
print_skipped() {
  sort -u "$SEGEARTH_SKIPPED" | cut -f 1 | sort | uniq -c | sort -k 1,1nr -k 2 | awk '
    { count = $1; sub(/^ *[0-9]+ /, ""); total += count; reasons = reasons (NR > 1 ? ", " : ": ") $0 " (" count ")" }
    END { print total + 0 " skipped" reasons }'
}

# need_disk FOLDER MIB WHAT
need_disk() {
  local free
  free=$(($(df -Pk "$1" | awk 'NR == 2 { print $4 }') / 1024))
  [ "$free" -ge "$2" ] || die "$3 needs $2 MiB of disk; $(cd "$1" && pwd) has $free MiB free" "make room, then run this again"
}
