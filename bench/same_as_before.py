#!/usr/bin/env python3
"""Whether two builds of the command line plan and decode the same.

  bench/same_as_before.py OLD NEW             plans: every preset, family, op and three sizes, equal to the byte
  bench/same_as_before.py OLD NEW --pictures  pictures of the CPU device, equal to the bit, and their recorded peaks

OLD and NEW are two spikescope-cli. Of a plan, the peaks with their categories, phases and layers are compared; fields
that only one of the two prints are not. Exits with 1 when anything differs.
"""
import argparse
import concurrent.futures
import hashlib
import itertools
import json
import os
import re
import subprocess
import sys
import tempfile

SIZES = ["512x512", "1024x1024", "2048x1536"]
# Beside the presets: what no preset sets.
MORE = ["--conv winograd", "--upsample folded", "--tile 256 --overlap 64", "--tile stripe:64 --spill host",
        "--tile stripe:128 --spill recompute", "--tile 256 --tiles-in-flight 2", "--repeat 3", "--batch 2",
        "--promote on --hold on", "--load full --apply dictionary", "--resident text=4 --offload after-decode",
        "--allocator expandable --lifetime stream", "--allocator direct --lifetime lazy --evaluate ops:7"]
PICTURE_SIZE = "128x96"


def run(cli, arguments):
    done = subprocess.run([cli, *arguments], capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def choices(cli, option):
    """What the help says in the last parentheses of an option."""
    text = re.search(rf"^\s+--{option} TEXT\s+.*\(([^()]*)\)$", run(cli, ["plan", "--help"])[1], re.MULTILINE)
    return text.group(1).split(", ")


def common(old, new):
    """Both without the members of objects that only one of them has."""
    if isinstance(old, dict) and isinstance(new, dict):
        pairs = {key: common(old[key], new[key]) for key in old if key in new}
        return {k: p[0] for k, p in pairs.items()}, {k: p[1] for k, p in pairs.items()}
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = [common(a, b) for a, b in zip(old, new)]
        return [p[0] for p in pairs], [p[1] for p in pairs]
    return old, new


def recorded(text):
    """What must stay: a summary without its schema, device and times."""
    summary = json.loads(text)
    for field in ("schema", "device", "duration_ms", "load_ms", "host_peak_bytes", "driver"):
        summary.pop(field, None)
    for layer in summary.get("layers") or []:
        layer.pop("begin_ns", None), layer.pop("end_ns", None)
    summary.get("peak", {}).pop("time_ns", None)
    return summary


def outcome(cli, arguments, picture=None):
    code, out, error = run(cli, arguments)
    if code != 0 and not out:
        return code, error.strip(), None
    digest = hashlib.sha256(open(picture, "rb").read()).hexdigest() if picture and os.path.exists(picture) else None
    return code, recorded(out), digest


def compare(job):
    arguments, pictures = job
    results = []
    for cli in options.builds:
        with tempfile.TemporaryDirectory() as folder:
            if pictures:
                picture = os.path.join(folder, "out.safetensors")
                results.append(outcome(cli, [*arguments, "--json", "--quiet", "--tensor-out", picture], picture))
            else:
                results.append(outcome(cli, [*arguments, "--json"]))
    (old_code, old, old_digest), (new_code, new, new_digest) = results
    if old_code == 0 and isinstance(new, dict):
        old, new = common(old, new)
    refused = not isinstance(old, dict)
    same = (old_code, old_digest) == (new_code, new_digest) and (refused or old == new)
    return " ".join(arguments), same, refused, (old_code, old, old_digest), (new_code, new, new_digest)


def first_difference(old, new, path=""):
    if isinstance(old, dict) and isinstance(new, dict):
        for key in old:
            found = first_difference(old[key], new.get(key), f"{path}.{key}")
            if found:
                return found
        return None
    if isinstance(old, (list, tuple)) and isinstance(new, (list, tuple)) and len(old) == len(new):
        for i, (a, b) in enumerate(zip(old, new)):
            found = first_difference(a, b, f"{path}[{i}]")
            if found:
                return found
        return None
    return None if old == new else f"{path}: {old!r}, now {new!r}"


def plan_jobs():
    configurations = [f"--preset {preset}" for preset in choices(options.builds[0], "preset")] + MORE
    for model, op, size, configuration in itertools.product(choices(options.builds[0], "model"), ["decode", "encode"],
                                                            SIZES, configurations):
        yield ["plan", "--model", model, "--weights", "synthetic:7", "--op", op, "--size", size,
               *configuration.split()], False


def picture_jobs():
    presets = [f"--preset {preset}" for preset in choices(options.builds[0], "preset")]
    for model, configurations in (("flux1", [*presets, *MORE[:9]]), ("flux2", presets[-6:]), ("taesd", presets[-6:]),
                                  ("taef2", presets[-6:])):
        for configuration in configurations:
            yield ["decode", "--model", model, "--weights", "synthetic:7", "--seed", "7", "--device", "cpu", "--size",
                   PICTURE_SIZE, *configuration.split()], True


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("builds", nargs=2, metavar=("OLD", "NEW"))
parser.add_argument("--pictures", action="store_true")
parser.add_argument("--jobs", type=int, default=os.cpu_count())
options = parser.parse_args()

compared = refusals = different = 0
with concurrent.futures.ThreadPoolExecutor(1 if options.pictures else options.jobs) as pool:
    for name, same, refused, old, new in pool.map(compare, picture_jobs() if options.pictures else plan_jobs()):
        compared += 1
        refusals += refused
        if not same:
            different += 1
            print(f"differs: {name}\n  {first_difference(old, new)}")
print(f"{compared} compared, of them {refusals} refused by both, {different} differ")
sys.exit(different != 0)
