#!/usr/bin/env bash
# A picture depends on its controls alone: not on how often the op ran before it, nor on what memory held. Decodes each
# configuration at four sizes once, then repeated, then over poisoned memory, and compares what comes out to the bit.
# Wants a GPU: commands that are submitted again and tensors far apart are as nothing on a CPU device.
#   bench/same_picture.sh path/to/spikescope-cli [jobs at a time, 4] [repeats, "2 3 7 12 35"]
set -u
if [ "${1:-}" = --one ]; then # of one configuration, for xargs
    cli=$2 configuration=$3 folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    compared=0 different=0
    result() { # the sum of the decoded tensor, or the reason why there is none
        if "$cli" decode --model flux1 --weights synthetic:7 --seed 7 --quiet "$@" \
            --tensor-out "$folder/out.safetensors" >/dev/null 2>"$folder/error"; then
            md5sum <"$folder/out.safetensors" | cut -c1-12
        else
            tail -n 1 "$folder/error"
        fi
        rm -f "$folder/out.safetensors"
    }
    for size in 256x256 384x384 512x512 640x640; do
        # shellcheck disable=SC2086 # a configuration is several words
        once=$(result $configuration --size $size)
        for more in ${REPEATS} poison; do
            case $more in poison) with=--poison ;; *) with="--repeat $more" ;; esac
            # shellcheck disable=SC2086
            again=$(result $configuration --size $size $with)
            compared=$((compared + 1))
            [ "$once" = "$again" ] && continue
            different=$((different + 1))
            echo "differs: $configuration --size $size $with: $again, once $once"
        done
    done
    echo "$compared compared, $different differ: $configuration"
    [ "$different" = 0 ]
    exit
fi
cli=$1
export REPEATS=${3:-2 3 7 12 35}
# mlx-before is planned to take 25.5 GiB at 512x512 and 39.8 at 640x640: few jobs at a time for a small card.
printf '%s\n' "--preset mlx-today" "--preset mlx-today --norm fused" "--preset mlx-today --activations fp16" \
    "--preset mlx-today --evaluate ops:20" "--preset mlx-today --ahead 0" "--preset mlx-today --allocator direct" \
    "--preset mlx-today --allocator expandable" "--preset mlx-after" "--preset mlx-after --conv winograd" \
    "--preset mlx-before" "--preset pytorch-eager" "--preset pytorch-eager --conv winograd" \
    "--preset pytorch-channels-last" "--preset torch-compile" "--preset fastest" "--preset leanest" \
    "--preset fastest --tile 256 --tiles-in-flight 3" "--preset fastest --tile stripe:64 --spill host" \
    "--preset diffusers-tiled" "--preset comfyui-tiled" "--preset sdcpp-tiled" "--preset seedvr2-tiled" \
    "--preset invokeai-tiled" | xargs -P "${2:-4}" -d '\n' -n 1 bash "$0" --one "$cli"
