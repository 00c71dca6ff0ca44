#!/usr/bin/env bash
# From a bare Debian 12 to a decoded picture and its memory account: installs what is missing, builds, and decodes a 256×256
# FLUX.1-shaped image from synthetic weights and latents on whatever Vulkan device there is. Where there is a display, it
# then opens the window with that run. Run again, it only does what is not done.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$root/packaging/dependencies.sh"
need_packages "${build_packages[@]}" "${window_packages[@]}"

build_release spikescope-cli spikescope
program=$build/app/spikescope-cli

out=$root/out/quickstart
results=("$out/decoded.png" "$out/report.json" "$out/events.csv" "$out/layers.csv" "$out/table.txt")
fresh=yes
for file in "${results[@]}"; do [ "$file" -nt "$program" ] || fresh=no; done
if [ $fresh = yes ]; then
    echo "Already done with this build:"
else
    mkdir -p "$out"
    "$program" devices
    echo "Decoding 256×256, FLUX.1's decoder in fp32, synthetic weights and latents"
    "$program" decode --model flux1 --weights synthetic:7 --seed 7 --size 256x256 --activations fp32 -o "$out/decoded.png" \
        --report "$out/report.json" --csv "$out/events.csv" --layers "$out/layers.csv" >"$out/table.new"
    mv "$out/table.new" "$out/table.txt"
fi
cat "$out/table.txt"
echo
echo "Picture, report, events, layers and this table are in $out"
if [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; then
    exec "$build/app/spikescope" "$out/report.json"
fi
echo "With a display, $build/app/spikescope opens the window"
