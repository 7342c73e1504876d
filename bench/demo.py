"""Attention over a real text, compiled just in time: verified, weighed against the standard computation, and timed.

The tokens are the bytes of the project's own README; a fixed random embedding and three projections make q, k and v.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

import flashc
from flashc.bench.machine import describe

TEXT = Path(__file__).resolve().parent.parent / "README.md"
HEADS, HEAD_DIM, MODEL_DIM = 8, 64, 512


def tokens(length: int) -> np.ndarray:
    """The text's bytes, repeated until there are `length` of them."""
    text = np.frombuffer(TEXT.read_bytes(), np.uint8)
    return np.resize(text, length)


def project(length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """q, k, v of shape [1, heads, length, head dim]: views of one fused projection, as a model makes them."""
    generator = np.random.default_rng(7)
    embedding = generator.standard_normal((256, MODEL_DIM), dtype=np.float32)
    weights = generator.standard_normal((MODEL_DIM, 3 * HEADS * HEAD_DIM), dtype=np.float32) / MODEL_DIM**0.5
    position = np.arange(length, dtype=np.float32)[:, None]
    frequency = 10000.0 ** (-np.arange(0, MODEL_DIM, 2, dtype=np.float32) / MODEL_DIM)
    states = embedding[tokens(length)]
    states[:, 0::2] += np.sin(position * frequency)
    states[:, 1::2] += np.cos(position * frequency)
    fused = (states @ weights).reshape(1, length, 3, HEADS, HEAD_DIM)
    q, k, v = (fused[:, :, i].transpose(0, 2, 1, 3) for i in range(3))
    return q, k, v


def standard(q: np.ndarray, k: np.ndarray, v: np.ndarray) -> np.ndarray:
    """The definition under a causal mask, in the arrays' own precision: the whole score matrix is in memory."""
    scores = q @ k.swapaxes(-1, -2)
    scores *= q.shape[-1] ** -0.5
    rows, keys = scores.shape[-2:]
    scores[..., np.triu(np.ones((rows, keys), bool), 1)] = -np.inf
    scores -= scores.max(-1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(-1, keepdims=True)
    return scores @ v


def error_against_reference(out: np.ndarray, q: np.ndarray, k: np.ndarray, v: np.ndarray, rows: int = 256) -> float:
    """The largest error relative to its row's largest magnitude, against the float64 reference.

    The reference is slow and holds every score, so the first and the last `rows` query rows are compared. Under a
    causal mask the first ones are an attention of their own, and the last ones one that is aligned at its end.
    """
    first, last = (slice(None), slice(None), slice(rows)), (slice(None), slice(None), slice(-rows, None))
    expected_first, _ = flashc.reference(q[first], k[first], v[first], mask=flashc.causal("top_left"))
    expected_last, _ = flashc.reference(q[last], k, v, mask=flashc.causal("bottom_right"))

    def error(actual: np.ndarray, expected: np.ndarray) -> float:
        return float((np.abs(actual - expected).max(-1) / np.abs(expected).max(-1)).max())

    return max(error(out[first], expected_first), error(out[last], expected_last))


def compiled() -> flashc.Kernel:
    return flashc.compile(head_dim=HEAD_DIM, dtype="f32", mask=flashc.causal("top_left"))


def weigh(what: str, length: int) -> int:
    """Runs in a process of its own: bytes by which computing attention raised this process's peak."""
    q, k, v = project(length)
    if what == "flashc":
        kernel = compiled()
        kernel(*(x[:, :, :128] for x in (q, k, v)))  # the compiler's own memory is not attention's
    # The peak so far is that of making q, k and v.
    reset_peak()
    before = peak_bytes()
    out = kernel(q, k, v) if what == "flashc" else standard(q, k, v)
    assert np.isfinite(np.asarray(out)).all()
    return peak_bytes() - before


def reset_peak() -> None:
    """Makes the kernel forget the highest resident size so far, where it allows that."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def peak_bytes() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def weigh_apart(what: str, length: int) -> int:
    command = [sys.executable, __file__, "--weigh", what, str(length)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
    return int(done.stdout)


def median_seconds(calls: dict[str, Callable[[], object]], rounds: int = 7) -> dict[str, float]:
    """Medians of alternating rounds, after one call of each."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(rounds):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def size(count: int) -> str:
    return f"{count / 2**20:,.1f} MiB"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--length", type=int, default=4096, help="tokens to verify and time")
    parser.add_argument("--weigh", nargs=2, metavar=("WHAT", "LENGTH"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.weigh:
        print(weigh(options.weigh[0], int(options.weigh[1])))
        return 0

    console = Console(width=110, highlight=False)
    threads = len(os.sched_getaffinity(0))
    machine = describe(threads)
    console.print(f"{machine['cpu']}, {' '.join(machine['isa'])}, {threads} CPUs")

    with tempfile.TemporaryDirectory() as cache:
        os.environ["FLASHC_CACHE_DIR"] = cache
        return show(console, options.length, threads)


def show(console: Console, length: int, threads: int) -> int:
    """The demo itself, with an empty kernel cache that its subprocesses share; 1 if the result is wrong."""
    start = time.perf_counter()
    kernel = compiled()
    seconds = time.perf_counter() - start
    console.print(f"[bold]compile[/]  causal attention, float32, D={HEAD_DIM}: {seconds * 1e3:.0f} ms")

    q, k, v = project(length)
    console.print(
        f"[bold]input[/]    {length} bytes of {TEXT.name} as tokens; q, k, v are views of one fused projection"
    )
    out = np.asarray(kernel(q, k, v))
    error = error_against_reference(out, q, k, v)
    verdict = "ok" if error <= 1e-5 else "WRONG"
    console.print(f"[bold]verify[/]   against the float64 reference: error {error:.1e} of 1e-5 allowed, {verdict}")
    if error > 1e-5:
        return 1

    memory = Table("tokens", "flashc", "standard computation", "ratio", title="peak memory on top of q, k, v")
    for tokens_ in (2048, 4096, 8192):
        ours, theirs = weigh_apart("flashc", tokens_), weigh_apart("standard", tokens_)
        memory.add_row(str(tokens_), size(ours), size(theirs), f"{theirs / max(ours, 1):.0f} x")
    console.print(memory)

    calls: dict[str, Callable[[], object]] = {"flashc": lambda: kernel(q, k, v)}
    try:
        import torch
    except ImportError as error:
        console.print(
            f"[yellow]PyTorch cannot be imported ({error}): timed beside NumPy's standard computation instead[/]"
        )
        calls["NumPy, standard"] = lambda: standard(q, k, v)
    else:
        torch.set_num_threads(threads)
        tq, tk, tv = (torch.from_numpy(x) for x in (q, k, v))
        sdpa = torch.nn.functional.scaled_dot_product_attention
        calls[f"PyTorch {torch.__version__} SDPA"] = lambda: sdpa(tq, tk, tv, is_causal=True)
    times = median_seconds(calls)
    flops = 2 * HEADS * length**2 * 2 * HEAD_DIM / 2
    speed = Table(
        "", "ms", "GFLOP/s", "against flashc", title=f"speed, {length} tokens, {threads} threads, medians of 7"
    )
    for name, seconds in times.items():
        ratio = f"{seconds / times['flashc']:.2f} x the time"
        speed.add_row(name, f"{seconds * 1e3:.1f}", f"{flops / seconds * 1e-9:.0f}", ratio)
    console.print(speed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
