#!/usr/bin/env bash
# Renders the pictures of the README from the real window, off screen: run it when the window has changed.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$root/packaging/dependencies.sh"
need_packages "${build_packages[@]}" "${window_packages[@]}"

build_release spikescope
out=$root/resources/screenshots
mkdir -p "$out"
grab() { "$build/app/spikescope" --grab "$out/$1.png" --grab-size 1440x900 "${@:2}"; }
grab problem --plan-only --preset mlx-before --size 1536x2304 --budget 48 --tab alive --theme light
grab fixed --preset leanest --size 256x256 --activations fp32 --tab layers --theme light
grab tiles --model taef1 --size 640x640 --tile 256 --overlap 64 --activations fp32 --tab layers --theme dark --show-tiles
grab compare --plan-only --problem --size 1536x2304 --tab compare --theme dark
