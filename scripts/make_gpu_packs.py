#!/usr/bin/env python3
"""Writes the packs that scripts/check_gpu.py takes to a machine with a GPU: `make gpu-packs`.

Each kernel of the suite is compiled for every target that takes it and becomes one fat pack, from which the runtime picks
what suits the device. What a target refuses is listed with its reason. The check, and the runtime's library where it is
built, are put beside them, so that the folder is all there is to copy. Of each pack only what the runtime loads is kept.
"""

from __future__ import annotations

import argparse
import itertools
import json
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

TARGETS = ["nvptx:sm_90a", "nvptx:sm_80", "amdgpu:gfx942", "amdgpu:gfx90a", "amdgpu:gfx1100"]
MASKS = {
    "full": "",
    "causal": "causal(bottom_right)",
    "top_left": "causal(top_left)",
    "window": "causal(bottom_right) & window(127,0)",
    "lengths": "key_lengths",
    "padding": "key_padding",
    "segments": "segments",
    "prefix": "prefix_lm(top_left)",
    "tensor": "tensor",
}


def suite(quick: bool) -> list[tuple[str, list[str]]]:
    """(name, options of flash-compile) of every kernel."""
    kernels = []
    dtypes, dims = (["bf16", "f32"], [64, 128]) if quick else (["bf16", "f16", "f32", "f64"], [64, 128, 80, 256])
    for dtype, dim in itertools.product(dtypes, dims):
        masks = ["full", "causal"] if quick or dim in (80, 256) else list(MASKS)
        for mask in masks:
            options = ["--head-dim", str(dim), "--dtype", dtype, "--lse"]
            options += ["--mask", MASKS[mask]] if MASKS[mask] else []
            kernels.append((f"{dtype}_d{dim}_{mask}", options))
    tf32 = ["--dtype", "f32", "--tf32", "--lse"]
    for dim, mask in itertools.product((64,) if quick else (64, 128, 256), ("full", "causal")):
        chosen = ["--mask", MASKS[mask]] if MASKS[mask] else []
        kernels.append((f"tf32_d{dim}_{mask}", ["--head-dim", str(dim), *tf32, *chosen]))
    if not quick:
        for dim in (40, 96, 111, 192):
            options = ["--head-dim", str(dim), "--dtype", "bf16", "--lse", "--mask", MASKS["causal"]]
            kernels.append((f"bf16_d{dim}_causal", options))
        kernels.append(("bf16_d192_dv128_causal", ["--head-dim", "192", "--value-head-dim", "128", "--dtype", "bf16"]))
        kernels[-1][1].extend(["--mask", MASKS["causal"]])
        kernels.append(("bf16_d64_bias", ["--head-dim", "64", "--dtype", "bf16", "--bias", "f32"]))
        kernels.append(("bf16_d64_softcap", ["--head-dim", "64", "--dtype", "bf16", "--softcap", "30"]))
    return kernels


def compile_pack(compiler: str, name: str, options: list[str], target: str, folder: Path) -> str:
    """Writes one pack, with the model's report on it where others compute the same; the reason where the compiler refuses."""
    command = [compiler, *options, "--target", target, "--name", name, "-o", str(folder)]
    # The report takes as long as the compilation. The check sets its measurements of these kernels against it.
    reported = name.endswith(("_full", "_causal")) and not target.startswith("emulated:")
    done = subprocess.run(command + ["--report=json"] * reported, capture_output=True, text=True)
    if done.returncode == 0:
        if reported:
            (folder / "report.json").write_text(done.stdout)
        keep_what_is_loaded(folder)
        return ""
    shutil.rmtree(folder, ignore_errors=True)
    reason = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[0]
    return reason.replace(f'loc("{name}"): ', "")  # the same for all that are refused for it


def keep_what_is_loaded(folder: Path) -> None:
    """Drops what a pack has for programs that are built against it: two thirds of its size."""
    description = folder / "kernel.json"
    metadata = json.loads(description.read_text())
    library = metadata["files"]["library"]
    metadata["files"] = {"library": library}
    description.write_text(json.dumps(metadata, indent=1))
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name not in ("kernel.json", "report.json", library["path"]):
            path.unlink()


def size_of(folder: Path) -> str:
    return f"{sum(path.stat().st_size for path in folder.rglob('*') if path.is_file()) / 2**20:.0f} MiB"


def add_instruction_tests(exporter: Path, out: Path) -> None:
    """The emulator's instruction tests and what runs them on a chip, where they are built."""
    script = Path(__file__).with_name("micro_tests.py")
    if not exporter.exists() or not script.exists():
        print("no instruction tests: flashc-export-micro-tests is not built")
        return
    tests = out / "micro-tests"
    tests.mkdir()
    for command in ([str(exporter), str(tests)], [sys.executable, str(script), "compile", str(tests)]):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            print(f"no instruction tests: {(done.stderr.strip().splitlines() or ['failed'])[-1]}")
            shutil.rmtree(tests)
            return
    shutil.copy(script, out)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=Path, default=Path("build"))
    parser.add_argument("-o", "--out", type=Path, default=Path("build/gpu-packs"))
    parser.add_argument("--targets", default=",".join(TARGETS), help="separated by commas")
    parser.add_argument("--emulated", action="store_true", help="also for each target's emulated device")
    parser.add_argument("--quick", action="store_true", help="a dozen kernels instead of all")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    compiler = str(options.build / "bin" / "flash-compile")
    targets, start = options.targets.split(","), time.monotonic()
    if options.emulated:
        targets += [f"emulated:{target.split(':')[1]}" for target in targets]
    shutil.rmtree(options.out, ignore_errors=True)
    refused: dict[str, list[str]] = {}
    kernels = suite(options.quick)
    with ThreadPoolExecutor(options.jobs) as pool:
        futures = {}
        for (name, flags), target in itertools.product(kernels, targets):
            folder = options.out / name / target.replace(":", "-")
            futures[name, target] = pool.submit(compile_pack, compiler, name, flags, target, folder)
        for name, _ in kernels:
            packs = []
            for target in targets:
                if reason := futures[name, target].result():
                    refused.setdefault(f"{target}: {reason}", []).append(name)
                else:
                    packs.append({"target": target, "path": target.replace(":", "-")})
            if packs:
                description = {"format": "flashc-fat-pack", "version": 1, "name": name, "packs": packs}
                (options.out / name / "kernel.json").write_text(json.dumps(description, indent=1))
            else:
                shutil.rmtree(options.out / name, ignore_errors=True)
            print(f"{name:28} {', '.join(pack['target'] for pack in packs) or 'no target takes it'}", flush=True)
    for reason, names in refused.items():
        print(f"refused by {reason} ({len(names)}: {', '.join(names[:4])}{', ...' if len(names) > 4 else ''})")
    made = len(list(options.out.glob("*/kernel.json")))
    if made:
        shutil.copy(Path(__file__).with_name("check_gpu.py"), options.out)
        parts = Path(__file__).with_name("gpu_check")
        shutil.copytree(parts, options.out / "gpu_check", ignore=shutil.ignore_patterns("__pycache__"))
        add_instruction_tests(options.build / "bin" / "flashc-export-micro-tests", options.out)
        library = options.build / "lib" / "libflashc_runtime.so"
        if library.exists():
            shutil.copy(library, options.out)
        print(f"{made} kernels in {options.out}, {size_of(options.out)}, {time.monotonic() - start:.0f} s")
        print("on the machine with the GPU: python3 check_gpu.py .")
    return 0 if made else 1


if __name__ == "__main__":
    sys.exit(main())
