# shellcheck shell=bash
# Clean systems of Debian and Ubuntu to try packages in; sourced after common.sh, by scripts that have a folder `work`. Needs root.
# shellcheck disable=SC2154 # `work` is theirs
#   KEYRING=…  Ubuntu's keys, default /usr/share/keyrings/ubuntu-archive-keyring.gpg

# clean_system RELEASE FOLDER: the smallest system, unless an earlier call has made it; fails where it cannot be made, and has said so.
clean_system() {
  local release=$1 base=$2 source keyring=${KEYRING:-/usr/share/keyrings/ubuntu-archive-keyring.gpg}
  [ "$(id -u)" = 0 ] || { skipped "$release: not root"; return 1; }
  [ ! -e "$base/.complete" ] || return 0
  command -v debootstrap >/dev/null || { skipped "$release: no debootstrap"; return 1; }
  rm -rf "$base"
  mkdir -p "$base"
  case "$release" in
    jammy | noble)
      # Ubuntu's keys are not among Debian's.
      [ -e "$keyring" ] || { skipped "$release: no $keyring"; return 1; }
      # Debian's debootstrap does not know the newer ones by name; one script serves them all.
      source=(--keyring="$keyring" "$release" "$base" http://archive.ubuntu.com/ubuntu gutsy)
      ;;
    *) source=("$release" "$base") ;;
  esac
  debootstrap --variant=minbase "${source[@]}" >"$work/$release.log" 2>&1 ||
    { tail -n 3 "$work/$release.log" >&2; skipped "$release cannot be installed"; return 1; }
  touch "$base/.complete"
}

mounted=()
# copy_system BASE ROOT: a copy in which programs find devices, processes and the network, until release_systems.
copy_system() {
  cp -a "$1" "$2"
  mount -t proc proc "$2/proc" && mounted+=("$2/proc")
  mount --bind /dev "$2/dev" && mounted+=("$2/dev")
  cp /etc/resolv.conf "$2/etc/" 2>/dev/null || true
}

release_systems() {
  local folder
  for folder in "${mounted[@]}"; do umount "$folder" 2>/dev/null || umount -l "$folder"; done
  mounted=()
}
