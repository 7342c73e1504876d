"""What a measurement has to say about the machine it ran on."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from pathlib import Path

BUILD = Path(os.environ.get("FLASHC_BUILD_DIR", Path(__file__).resolve().parent.parent / "build"))
# The flags that decide which code runs, best last.
ISA_FLAGS = ("sse2", "avx2", "fma", "avx512f", "avx512_bf16", "avx512_fp16", "amx_bf16", "asimd", "sve")


def cpu_facts() -> tuple[str, set[str]]:
    """The CPU's class (vendor's name, family and model) and its feature flags, as Linux tells them."""
    fields: dict[str, str] = {}
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    name = fields.get("model name", platform.machine())
    if "cpu family" in fields:
        name += f" (family {fields['cpu family']}, model {fields['model']})"
    return name, set(fields.get("flags", fields.get("Features", "")).split())


def peak(threads: int) -> dict[str, float]:
    """What the multiply-add units of `threads` threads reach, measured now; GFLOP/s."""
    done = subprocess.run([BUILD / "bin/flashc-peak", str(threads)], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def describe(threads: int) -> dict[str, object]:
    """Everything but the figures: machine class, instruction sets, threads, versions."""
    import flashc

    name, flags = cpu_facts()
    versions = {"python": platform.python_version(), "flashc": getattr(flashc, "__version__", "?")}
    try:
        import torch

        versions["torch"] = torch.__version__
    except ImportError:
        versions["torch"] = "absent"
    return {
        "cpu": name,
        "isa": [flag for flag in ISA_FLAGS if flag in flags],
        "cpus": len(os.sched_getaffinity(0)),
        "threads": threads,
        "load": round(os.getloadavg()[0], 2),
        "versions": versions,
    }
