"""What a measurement has to say about the machine it ran on."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

# The flags that decide which code runs, best last.
ISA_FLAGS = ("sse2", "avx2", "fma", "avx512f", "avx512_bf16", "avx512_fp16", "amx_bf16", "asimd", "sve")


def cpu_facts() -> tuple[str, set[str]]:
    """The CPU's class (vendor's name, family and model) and its feature flags, as Linux tells them."""
    fields: dict[str, str] = {}
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            fields.setdefault(key.strip(), value.strip())
    except OSError:
        return platform.processor() or platform.machine(), set()
    name = fields.get("model name", platform.machine())
    if "cpu family" in fields:
        name += f" (family {fields['cpu family']}, model {fields['model']})"
    return name, set(fields.get("flags", fields.get("Features", "")).split())


def last_level_cache() -> int:
    """Bytes of the largest cache; 64 MiB where Linux does not say."""
    sizes = []
    for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        text = path.read_text().strip()
        scale = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}.get(text[-1:], 1)
        sizes.append(int(text.rstrip("KMG")) * scale)
    return max(sizes, default=64 << 20)


def flush_size() -> int:
    """Bytes to touch so that nothing is left in the caches: twice the largest, within reason."""
    return min(max(2 * last_level_cache(), 64 << 20), 1 << 30)


def describe(threads: int) -> dict[str, Any]:
    """Everything but the figures and the peers: machine class, instruction sets, threads, versions."""
    import flashc

    name, flags = cpu_facts()
    return {
        "cpu": name,
        "isa": [flag for flag in ISA_FLAGS if flag in flags],
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "last_level_cache": last_level_cache(),
        "threads": threads,
        "load": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.release()}",
        "versions": {"python": platform.python_version(), "flashc": flashc.__version__},
    }
