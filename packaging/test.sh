#!/usr/bin/env bash
# Installs what is missing, builds and runs all tests; arguments go to ctest (for example -L unit).
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$root/packaging/dependencies.sh"
need_packages "${build_packages[@]}" "${window_packages[@]}" "${test_packages[@]}"

# Other versions of clang-format than Debian 12's break lines elsewhere.
case $(clang-format --version) in
*' version 14.'*) find "$root"/{app,bench,core,tests} -name '*.cpp' -o -name '*.h' | xargs clang-format --dry-run --Werror ;;
*) echo "The format is not checked: that takes clang-format 14." ;;
esac

build=$root/build/test
[ -f "$build/build.ninja" ] || cmake -S "$root" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release
ninja -C "$build"
# Without app/, whose headers (Qt, CLI11) take clang-tidy half a minute for a file: packaging/tidy.sh alone looks at all.
case $(clang-tidy --version) in
*'version 14.'*) bash "$root/packaging/tidy.sh" core ;;
*) echo "clang-tidy is not run: its findings differ by version, and that takes clang-tidy 14." ;;
esac
# One at a time: a test on the CPU device uses all cores by itself.
ctest --test-dir "$build" --output-on-failure "$@"
