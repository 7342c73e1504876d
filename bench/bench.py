"""Measures flashc beside PyTorch's scaled_dot_product_attention, and both beside the machine's limit.

Rounds alternate: flashc, PyTorch, flashc, ... so that a change of clock or load meets both. A figure is the median of
its rounds; the spread is the distance of the quartiles as a share of the median. Caches are warm: the same tensors are
used again. The limit is what bench/peak.cpp reaches on the same threads, measured before and after the cases.

FLOPs are counted as the literature does: 2 B H Sq Sk (D + Dv), half of it under a causal mask.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from machine import BUILD, describe, peak


@dataclass
class Case:
    """One shape; query and key lengths are equal."""

    head_dim: int
    length: int
    causal: bool
    batch: int = 1
    heads: int = 8
    dtype: str = "f32"

    @property
    def name(self) -> str:
        return f"{self.dtype} D{self.head_dim} S{self.length} {'causal' if self.causal else 'full'}"

    @property
    def flops(self) -> float:
        full = 2.0 * self.batch * self.heads * self.length**2 * 2 * self.head_dim
        return full / 2 if self.causal else full


@dataclass
class Figure:
    """GFLOP/s: the median of the rounds, and the distance of the quartiles as a share of it."""

    gflops: float
    spread: float

    @staticmethod
    def of(flops: float, seconds: list[float]) -> Figure:
        rates = [flops / s * 1e-9 for s in seconds]
        low, middle, high = statistics.quantiles(rates, n=4)
        return Figure(middle, (high - low) / middle)


def once(call: Callable[[], object], repeat: int) -> float:
    """Seconds a call, over `repeat` calls in a row."""
    start = time.perf_counter()
    for _ in range(repeat):
        call()
    return (time.perf_counter() - start) / repeat


def measure(contenders: dict[str, Callable[[], object]], flops: float, rounds: int, budget: float) -> dict[str, Figure]:
    """Alternates the contenders for `rounds` rounds of about `budget` seconds each."""
    repeats = {}
    for name, call in contenders.items():
        call()
        repeats[name] = max(1, round(budget / once(call, 1)))
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, call in contenders.items():
            seconds[name].append(once(call, repeats[name]))
    return {name: Figure.of(flops, values) for name, values in seconds.items()}


def run_case(case: Case, rounds: int, budget: float) -> dict[str, Figure]:
    """Both contenders on one case; their results are compared before anything is measured."""
    import numpy as np

    import flashc

    shape = (case.batch, case.heads, case.length, case.head_dim)
    generator = np.random.default_rng(0)
    q, k, v = (generator.standard_normal(shape, dtype=np.float32) for _ in range(3))
    mask = flashc.causal("top_left") if case.causal else None
    kernel = flashc.compile(head_dim=case.head_dim, dtype=case.dtype, mask=mask)
    contenders: dict[str, Callable[[], object]] = {"flashc": lambda: kernel(q, k, v)}
    try:
        import torch
    except ImportError:
        return measure(contenders, case.flops, rounds, budget)
    tq, tk, tv = (torch.from_numpy(x) for x in (q, k, v))

    def sdpa() -> torch.Tensor:
        return torch.nn.functional.scaled_dot_product_attention(tq, tk, tv, is_causal=case.causal)

    difference = np.abs(np.asarray(kernel(q, k, v)) - sdpa().numpy()).max()
    if not difference < 1e-4:
        raise SystemExit(f"{case.name}: flashc and PyTorch differ by {difference}")
    contenders["torch"] = sdpa
    with torch.inference_mode():
        return measure(contenders, case.flops, rounds, budget)


COMPILE_PROBE = """
import json, time, numpy as np, flashc
q = np.zeros((1, 1, 64, 64), np.float32)
start = time.perf_counter()
kernel = flashc.compile(head_dim=64, dtype="f32", mask=flashc.causal("top_left"))
kernel(q, q, q)
print(json.dumps((time.perf_counter() - start) * 1e3))
"""


def compile_times(tries: int) -> dict[str, float]:
    """Milliseconds, medians over fresh processes, until a kernel has run: compiled anew, and from the disk cache."""
    cold, cached = [], []
    for _ in range(tries):
        with tempfile.TemporaryDirectory() as cache:
            environment = dict(os.environ, FLASHC_CACHE_DIR=cache)
            for times in (cold, cached):
                done = subprocess.run(
                    [sys.executable, "-c", COMPILE_PROBE], env=environment, capture_output=True, text=True, check=True
                )
                times.append(json.loads(done.stdout))
    return {"first_compile_ms": statistics.median(cold), "from_cache_ms": statistics.median(cached)}


def show(rows: list[dict], limit: float) -> None:
    """Prints the table: GFLOP/s (share of the limit, spread) of each contender, and flashc's ratio to PyTorch."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"B1 H8 forward, GFLOP/s (share of the {limit:.0f} GFLOP/s limit), median ± quartile distance")
    for column, side in (("case", "left"), ("flashc", "right"), ("PyTorch SDPA", "right"), ("ratio", "right")):
        table.add_column(column, justify=side)

    def cell(figure: dict | None) -> str:
        if figure is None:
            return "-"
        return f"{figure['gflops']:.0f} ({figure['gflops'] / limit:.0%}) ±{figure['spread']:.0%}"

    for row in rows:
        ratio = f"{row['ratio']:.2f}" if "ratio" in row else "-"
        table.add_row(row["name"], cell(row["flashc"]), cell(row.get("torch")), ratio)
    Console(width=120).print(table)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--head-dims", type=int, nargs="+", default=[64, 128])
    parser.add_argument("--lengths", type=int, nargs="+", default=[1024, 4096])
    parser.add_argument("--rounds", type=int, default=7, help="alternating rounds a case")
    parser.add_argument("--budget", type=float, default=0.3, help="seconds a contender in each round")
    parser.add_argument("--json", type=Path, default=BUILD / "bench.json", help="where the figures go")
    parser.add_argument(
        "--yardstick", type=Path, help="a program to run beside, with the number of threads as argument"
    )
    options = parser.parse_args()

    # Both contenders' pools read these when they are made, which is at the first import.
    os.environ["FLASHC_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = str(options.threads)
    report: dict[str, object] = {"machine": describe(options.threads)}
    print(json.dumps(report["machine"], indent=1))

    limits = [peak(options.threads)["f32_gflops"]]
    rows: list[dict] = []
    for head_dim in options.head_dims:
        for length in options.lengths:
            for causal in (False, True):
                case = Case(head_dim, length, causal)
                figures = run_case(case, options.rounds, options.budget)
                row = {"name": case.name, **asdict(case), **{name: asdict(f) for name, f in figures.items()}}
                if "torch" in figures:
                    row["ratio"] = figures["flashc"].gflops / figures["torch"].gflops
                rows.append(row)
                print(".", end="", flush=True)
    print()
    limits.append(peak(options.threads)["f32_gflops"])
    report.update(limit_gflops=max(limits), limits_gflops=limits, cases=rows, compile=compile_times(3))
    show(rows, max(limits))
    if "torch" not in rows[0]:
        print("PyTorch is not installed: nothing stands beside flashc (make bench installs it)")
    times = report["compile"]
    print(f"first compile {times['first_compile_ms']:.0f} ms, from the cache {times['from_cache_ms']:.1f} ms", end="")
    print(" (until a causal D64 kernel has run, in a fresh process)")
    if options.yardstick:
        done = subprocess.run([options.yardstick, str(options.threads)], capture_output=True, text=True, check=True)
        report["yardstick"] = done.stdout
        print(f"{options.yardstick.name}, in the same run:\n{done.stdout}")
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(report, indent=1) + "\n")
    print(f"figures: {options.json}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
