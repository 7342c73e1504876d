"""The machine's limits, measured in the same run: multiply-adds in registers, and reading memory.

Multiply-adds are measured before and after a run. The bandwidth of memory, which neighbours share, moves within minutes: reading
a buffer as large as a case's keys and values takes turns with the peers, and a share of it is a ratio within each round.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
from pathlib import Path
from typing import Any

from .cases import Case
from .figures import figure
from .workers import Connection, WorkerError

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
    """What bounds a dense case, and its figure in GFLOP/s; None for others, or where nothing was measured."""
    names = PRODUCTS[case.dtype] if case.kind == "dense" else ()
    known = [(float(limits[name]), name) for name in names if limits.get(name)]
    if not known:
        return None
    value, name = max(known)
    return name, value


class MemoryReader:
    """flashc-peak reading a buffer of its own, in turns; it has the part of a worker that rounds ask for.

    One turn reads in several ways (streams a thread, with and without prefetching); which of them is the limit is told by all turns.
    """

    def __init__(self, size: float, threads: int, flush_bytes: int, cpu_time: bool) -> None:
        path = program()
        if path is None:
            raise WorkerError(f"no {PROGRAM}")
        command = [str(path), str(threads), "--read", str(int(size)), "--flush", str(flush_bytes)]
        self.turns: dict[str, list[list[float]]] = {"warm": [], "cold": []}
        self.connection = Connection(command + (["--cpu-time"] if cpu_time else []))
        if hasattr(os, "sched_setaffinity"):  # where the workers are; its threads, which a turn starts, follow
            os.sched_setaffinity(self.connection.process.pid, sorted(os.sched_getaffinity(0))[:threads])
        self.patterns: list[str] = self.connection.receive(60)["patterns"]

    def ask(self, timeout: float, **request: Any) -> dict[str, Any]:
        """One turn. Its seconds are those of the fastest pattern; `figures` tells more."""
        temperature = "cold" if request["cold"] else "warm"
        self.connection.send(f"{request['budget']} {temperature}\n".encode())
        seconds = self.connection.receive(timeout)["seconds"]
        self.turns[temperature].append(seconds)
        return {"seconds": min(seconds)}

    def close(self) -> None:
        self.connection.close()


def paired(
    work: float, turns: list[list[float]], patterns: list[str], seconds: dict[str, list[float]]
) -> dict[str, Any]:
    """The limit as the best pattern's figure over the rounds, and each peer's share of it, round by round.

    The pattern with the best median over all rounds, not each round's luckiest one. A peer with fewer rounds has had the first ones.

    >>> found = paired(1e9, [[2.0, 1.0], [2.0, 2.0], [1.0, 1.5]], ["a", "b"], {"x": [2.0, 4.0, 2.0], "y": [5.0]})
    >>> found["pattern"], round(found["median"], 2)
    ('b', 0.67)
    >>> [(name, share["median"], share["rounds"]) for name, share in found["shares"].items()]
    [('x', 0.5, 3), ('y', 0.2, 1)]
    """
    best = min(range(len(patterns)), key=lambda i: statistics.median(turn[i] for turn in turns))
    reading = [turn[best] for turn in turns]
    shares = {
        name: figure([limit / theirs for limit, theirs in zip(reading, values)]).as_json()
        for name, values in seconds.items()
        if values
    }
    return {"pattern": patterns[best], **figure([work / s * 1e-9 for s in reading]).as_json(), "shares": shares}
