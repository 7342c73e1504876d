"""The machine's limits, measured in the same run: multiply-adds in registers, and reading memory."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from .cases import Case

PROGRAM = "flashc-peak"

#: Which of flashc-peak's figures can bound a kind of product; the best of them does. f16 products are accumulated in float32.
PRODUCTS = {
    "f64": ("f64_gflops",),
    "f32": ("f32_gflops",),
    "f16": ("f32_gflops",),
    "bf16": ("f32_gflops", "vdpbf16ps_gflops", "amx_bf16_gflops"),
}


def program() -> Path | None:
    """flashc-peak: of FLASHC_BUILD_DIR, beside the package, of the build that the package is linked into, or on the path."""
    here = Path(__file__).parent
    candidates = [here / PROGRAM, here.parents[2] / "bin" / PROGRAM]
    candidates += [parent / "build/bin" / PROGRAM for parent in Path(__file__).resolve().parents[2:4]]
    if chosen := os.environ.get("FLASHC_BUILD_DIR"):
        candidates.insert(0, Path(chosen) / "bin" / PROGRAM)
    for candidate in candidates:
        if candidate.exists():
            return candidate
    found = shutil.which(PROGRAM)
    return Path(found) if found else None


def measure(threads: int, cpu_time: bool) -> dict[str, Any]:
    """One run of flashc-peak; empty where there is no such program."""
    path = program()
    if path is None:
        return {}
    command = [str(path), str(threads)] + (["--cpu-time"] if cpu_time else [])
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    measured: dict[str, Any] = json.loads(done.stdout)
    return measured


def best(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """A limit is what the machine can do at its best: the highest figure of all runs.

    >>> best([{"isa": "avx2", "f32_gflops": 2.0}, {"isa": "avx2", "f32_gflops": 3.0}])
    {'isa': 'avx2', 'f32_gflops': 3.0}
    """
    found: dict[str, Any] = {}
    for run in runs:
        for name, value in run.items():
            old = found.get(name)
            found[name] = (
                max(old, value) if isinstance(old, (int, float)) and isinstance(value, (int, float)) else value
            )
    return found


def limit_of(case: Case, limits: dict[str, Any]) -> tuple[str, float] | None:
    """What bounds a case, and its figure in the case's unit; None for the cost of a call, or where nothing was measured."""
    names = {"tiny": (), "decode": ("dram_gbs",), "dense": PRODUCTS[case.dtype]}[case.kind]
    known = [(float(limits[name]), name) for name in names if limits.get(name)]
    if not known:
        return None
    value, name = max(known)
    return name, value
