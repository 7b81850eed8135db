#!/usr/bin/env bash
# Prints the section of a version in a changelog: release_notes.sh VERSION CHANGELOG. Fails where there is none.
set -euo pipefail
version=$1 changelog=$2
notes=$(awk -v heading="## $version" '
  index($0, "## ") == 1 { inside = ($0 == heading || index($0, heading " ") == 1); next }
  inside' "$changelog" | sed -e '/./,$!d')
[ -n "$notes" ] || { echo "$changelog: no section '## $version': write it before the release is tagged" >&2; exit 1; }
printf '%s\n' "$notes"
