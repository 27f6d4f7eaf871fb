#!/usr/bin/env bash
# Builds the guides and the reference as a book in docs/book. mdBook is installed into .tools where it is missing.
set -euo pipefail
cd "$(dirname "$0")/.."
version=0.5.4
mdbook=.tools/bin/mdbook
if [ "$("$mdbook" --version 2>/dev/null || true)" != "mdbook v$version" ]; then
    # It builds one book in a second, so that optimising it does not pay.
    CARGO_PROFILE_DEV_DEBUG=0 cargo install --locked --debug mdbook --version "$version" --no-default-features --features search --root .tools
fi
"$mdbook" build docs
echo "docs/book/index.html" >&2
