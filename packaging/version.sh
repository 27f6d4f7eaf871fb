# shellcheck shell=bash
# Sets `version`, that of Cargo.toml; sourced.
# shellcheck disable=SC2034 # for whoever sources this
version=$(sed -n '/^\[workspace.package\]/,/^\[/ s/^version = "\(.*\)"/\1/p' Cargo.toml)
