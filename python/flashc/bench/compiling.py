"""How long the first kernel takes, in fresh processes."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile

PROBE = """
import json, time, numpy as np, flashc
q = np.zeros((1, 1, 64, 64), np.float32)
start = time.perf_counter()
kernel = flashc.compile(head_dim=64, dtype="f32", mask=flashc.causal("top_left"))
kernel(q, q, q)
print(json.dumps((time.perf_counter() - start) * 1e3))
"""


def compile_times(tries: int) -> dict[str, float]:
    """Milliseconds, medians over fresh processes, until a kernel has run: compiled anew, and from the disk cache."""
    cold: list[float] = []
    cached: list[float] = []
    for _ in range(tries):
        with tempfile.TemporaryDirectory() as cache:
            environment = dict(os.environ, FLASHC_CACHE_DIR=cache)
            for times in (cold, cached):
                done = subprocess.run(
                    [sys.executable, "-c", PROBE], env=environment, capture_output=True, text=True, check=True
                )
                times.append(json.loads(done.stdout))
    return {"first_compile_ms": statistics.median(cold), "from_cache_ms": statistics.median(cached)}
