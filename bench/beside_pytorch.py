#!/usr/bin/env python3
"""Whole decodes of this program and of PyTorch on the same device in one run, as one table with ratios.

    beside_pytorch.py --bench build/release/bench/decode_bench --peer ../shared/pytorch/peer_decode.py --sizes 512 1024

The peer is any program that takes --sizes, --dtype, --reps and --max-autotune and prints a JSON line for each case with
"peer", "size", "ms" and "elements_per_px". Both decode the FLUX.1 decoder with their weights loaded; medians.
"""
import argparse
import datetime
import json
import subprocess
import sys


def lines(command):
    done = subprocess.run(command, capture_output=True, text=True)
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if not found:
        sys.exit(f"{command[0]}: nothing came out\n{done.stderr[-2000:]}")
    return found


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--bench", required=True, help="decode_bench of this program")
    p.add_argument("--peer", required=True, help="the peer's script")
    p.add_argument("--sizes", type=int, nargs="+", default=[512, 1024, 2048])
    p.add_argument("--presets", nargs="+", default=["fastest", "leanest"])
    p.add_argument("--dtype", default="bf16", choices=["bf16", "fp16", "fp32"])
    p.add_argument("--runs", type=int, default=9)
    p.add_argument("--portable", action="store_true", help="the portable kernels beside the others")
    p.add_argument("--max-autotune", action="store_true", help="of torch.compile; takes minutes")
    p.add_argument("--skip-compile", action="store_true")
    a = p.parse_args()

    peer_flags = ["--max-autotune"] * a.max_autotune + ["--skip-compile"] * a.skip_compile
    print(f"{datetime.date.today()}, {a.dtype}, medians of {a.runs}\n")
    print("| size | | ms | of the fastest peer | elements a pixel |\n|---|---|---|---|---|")
    for size in a.sizes:
        rows = []
        for preset in a.presets:
            for portable in [False, True] if a.portable else [False]:
                command = [a.bench, "--json", "--preset", preset, "--activations", a.dtype, "--sizes", str(size),
                           "--runs", str(a.runs)] + ["--portable"] * portable
                own = lines(command)[0]
                rows.append((f"{preset}, {own['kernels_of']}", own["ms"], own["elements_per_pixel"]))
        peers = [(r["peer"], r["ms"], r["elements_per_px"])
                 for r in lines([sys.executable, a.peer, "--sizes", str(size), "--dtype", a.dtype, "--reps",
                                 str(a.runs)] + peer_flags)]
        best = min(ms for _, ms, _ in peers)
        for name, ms, elements in rows + peers:
            print(f"| {size}² | {name} | {ms:.2f} | {ms / best:.2f} | {elements:.0f} |", flush=True)


main()
