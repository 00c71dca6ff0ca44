#!/usr/bin/env bash
# Runs clang-tidy with the checks of .clang-tidy over the sources below FOLDER… (app and core), as build/test compiles them.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
[ $# -gt 0 ] || set -- app core
find "$@" -name '*.cpp' -print0 | sort -z | xargs -0 -n 1 -P "$(nproc)" clang-tidy --quiet -p build/test 2> >(grep -v ' warnings generated\.$' >&2)
