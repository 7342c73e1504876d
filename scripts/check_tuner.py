"""Shows how near the tuner comes to the best tiles there are.

For each cell every legal choice of tiles on a grid is compiled and timed (several passes, each of which keeps the faster part, so that
noise in one pass decides little). Then the tuner is run with an empty store, as on a machine that it has no entry for, in a process of
its own. At last its choice, the compiler's default and the best of the exhaustive search are measured again in alternating
rounds; what counts is the median over rounds of the choice's time over the best one's. Ends with an error where that is past --within.

  python scripts/check_tuner.py [--subset yardstick] [--cases "f32 D64"] [--cpu-time] [--json FILE]
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import flashc
from flashc.bench import cases, problem
from flashc.bench.cases import WINDOW, Case

Tiles = tuple[int, ...]  # queries, keys, and the keys of a task where short queries are split
ROWS = (6, 12, 18, 24, 30, 36, 42, 48, 60, 72, 84, 96, 120, 144, 192, 240)
KEYS = (64, 128, 192, 256, 320, 384, 448, 512, 640, 768, 896, 1024, 1536, 2048, 4096)
#: A pass of the search: turns of each candidate, seconds of one, and the share of candidates that go on to the next pass.
PASSES = ((1, 0.005, 0.3), (3, 0.03, 0.3), (3, 0.06, 0.3))
FINALISTS = 3

TUNE = """
import json, sys
sys.path.insert(0, {scripts!r})
from check_tuner import compile_case, shape_of
from flashc.bench.cases import Case
case = Case.from_json(json.loads(sys.argv[1]))
outcome = compile_case(case, None).tune(shapes=shape_of(case), budget=float(sys.argv[2]))
tried = [candidate for candidate in outcome.candidates if candidate.rounds]
print(json.dumps(dict(tiles=outcome.tiles, improved=outcome.improved, speedup=outcome.speedup, timed=len(tried))))
"""


def mask_of(case: Case) -> flashc.Mask | None:
    causal = flashc.causal("top_left")
    return {"full": None, "causal": causal, "window": causal & flashc.window(WINDOW - 1, 0)}[case.mask]


def arrays_of(case: Case) -> tuple[Any, Any, Any]:
    q, k, v = problem.inputs(case)
    if case.dtype == "bf16":
        import ml_dtypes

        return q.view(ml_dtypes.bfloat16), k.view(ml_dtypes.bfloat16), v.view(ml_dtypes.bfloat16)
    return q, k, v


def shape_of(case: Case) -> tuple[int, ...]:
    return (case.batch, case.heads, case.key_heads, case.queries, case.keys)


def compile_case(case: Case, tiles: Tiles | None) -> flashc.Kernel:
    return flashc.compile(head_dim=case.head_dim, dtype=case.dtype, mask=mask_of(case), tiles=tiles)


@dataclass
class Candidate:
    """One choice of tiles and its kernel. `tiles` of None is the compiler's own choice."""

    tiles: Tiles | None
    call: Callable[[], object]
    estimate: float = 0.0


class Clock:
    """Wall time, or the process's CPU time where others use the machine."""

    def __init__(self, cpu_time: bool) -> None:
        self.read = time.process_time if cpu_time else time.perf_counter

    def turn(self, candidate: Candidate, budget: float) -> float:
        """Seconds a call, over as many calls as fit into the budget."""
        calls = max(1, round(budget / max(candidate.estimate, 1e-6)))
        start = self.read()
        for _ in range(calls):
            candidate.call()
        candidate.estimate = (self.read() - start) / calls
        return candidate.estimate


def compiled(case: Case, tiles: Tiles | None, arrays: tuple[Any, Any, Any], out: Any) -> Candidate | None:
    """None where the compiler refuses the tiles."""
    try:
        kernel = compile_case(case, tiles)
    except (RuntimeError, ValueError):
        return None
    call = kernel.call
    q, k, v = arrays
    return Candidate(tiles, lambda: call(q, k, v, out=out))


def legal(case: Case) -> list[Tiles]:
    """The grid, and whatever the cost model thinks of besides, splits for short queries among it.

    Tiles beyond the lengths behave as those at the lengths; one past each is enough.
    """
    rows = [r for i, r in enumerate(ROWS) if i == 0 or ROWS[i - 1] < case.queries]
    keys = [k for i, k in enumerate(KEYS) if i == 0 or KEYS[i - 1] < case.keys]
    grid: list[Tiles] = [(r, k) for r in rows for k in keys]
    model = [tiles for tiles, _ in flashc.tuning.candidates(compile_case(case, None), shape_of(case))]
    return list(dict.fromkeys(grid + model))


def search(case: Case, arrays: tuple[Any, Any, Any], out: Any, clock: Clock) -> tuple[list[Candidate], int]:
    """The fastest few of all that the compiler takes, and how many those were."""
    found = [candidate for tiles in legal(case) if (candidate := compiled(case, tiles, arrays, out))]
    count = len(found)
    for candidate in found:
        candidate.call()
        clock.turn(candidate, 0.0)
    for turns, budget, share in PASSES:
        times: dict[Tiles | None, list[float]] = {candidate.tiles: [] for candidate in found}
        for _ in range(turns):
            for candidate in found:
                times[candidate.tiles].append(clock.turn(candidate, budget))
        found.sort(key=lambda candidate: statistics.median(times[candidate.tiles]))
        found = found[: max(FINALISTS, round(len(found) * share))]
    return found[:FINALISTS], count


def tuned_tiles(case: Case, budget: float, threads: int) -> tuple[Tiles, dict[str, Any]]:
    """What the tuner chooses in a fresh process with an empty store."""
    with tempfile.TemporaryDirectory() as cache:
        environment = dict(os.environ, FLASHC_CACHE_DIR=cache, FLASHC_NUM_THREADS=str(threads))
        code = TUNE.format(scripts=str(Path(__file__).resolve().parent))
        command = [sys.executable, "-c", code, json.dumps(case.as_json()), str(budget)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{case.name}: the tuner failed:\n{done.stderr}")
    outcome: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return tuple(outcome["tiles"]), outcome


def contest(candidates: dict[str, Candidate], clock: Clock, rounds: int, budget: float) -> dict[str, list[float]]:
    """Seconds a call of each, in alternating rounds whose order rotates."""
    names = list(candidates)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds + 1):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            value = clock.turn(candidates[name], budget)
            if number:  # the first round warms up
                seconds[name].append(value)
    return seconds


def check(case: Case, options: argparse.Namespace, clock: Clock) -> dict[str, Any]:
    arrays = arrays_of(case)
    out = np.empty_like(arrays[0])
    best, count = search(case, arrays, out, clock)
    chosen, outcome = tuned_tiles(case, options.tune_budget, options.threads)
    contenders = {f"best {rank}": candidate for rank, candidate in enumerate(best, 1)}
    for name, tiles in (("tuned", chosen), ("default", None)):
        candidate = compiled(case, tiles, arrays, out)
        if candidate is None:
            raise SystemExit(f"{case.name}: the tuner chose {tiles}, which the compiler refuses")
        candidate.call()
        clock.turn(candidate, 0.0)
        contenders[name] = candidate
    seconds = contest(contenders, clock, options.rounds, options.budget)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    # Which of the finalists is the best is decided here, in their favour; the ratio is of the same rounds.
    winner = min((name for name in medians if name.startswith("best")), key=lambda name: medians[name])
    against = [mine / theirs for mine, theirs in zip(seconds["tuned"], seconds[winner])]
    low, ratio, high = statistics.quantiles(against, n=4, method="inclusive")
    return {
        "name": case.name,
        "legal": count,
        "best": contenders[winner].tiles,
        "tuned": chosen,
        "ratio": ratio,
        "quartiles": [low, high],
        "default_ratio": medians["default"] / medians[winner],
        "gflops": case.work / medians["tuned"] * 1e-9,
        "outcome": outcome,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subset", choices=sorted(cases.SUBSETS), default="yardstick")
    parser.add_argument("--cases", default="", metavar="PATTERN", help="as python -m flashc.bench has it")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=15, help="of the last comparison: %(default)s")
    parser.add_argument("--budget", type=float, default=0.1, help="seconds of a turn in it: %(default)s")
    parser.add_argument("--tune-budget", type=float, default=20, help="seconds that the tuner may take: %(default)s")
    parser.add_argument("--within", type=float, default=0.02, help="of the best, else an error: %(default)s")
    parser.add_argument("--cpu-time", action="store_true", help="CPU time instead of wall time: for shared machines")
    parser.add_argument("--json", type=Path, help="where the figures go")
    options = parser.parse_args()
    flashc.set_num_threads(options.threads)
    # Nothing that was tuned before, here or by the package's makers, plays a part.
    os.environ["FLASHC_PRETUNED"] = ""
    with tempfile.TemporaryDirectory() as cache:
        os.environ["FLASHC_CACHE_DIR"] = cache
        return check_all(options)


def check_all(options: argparse.Namespace) -> int:
    clock = Clock(options.cpu_time)
    if options.cpu_time:
        print("CPU time, not wall time")
    rows = []
    for case in cases.select(options.subset, options.cases):
        row = check(case, options, clock)
        rows.append(row)
        verdict = "ok" if row["ratio"] <= 1 + options.within else "BEHIND"
        print(
            f"{row['name']}: tuned {row['tuned']} takes {row['ratio']:.3f} ({row['quartiles'][0]:.3f} to"
            f" {row['quartiles'][1]:.3f}) of the best of {row['legal']}, {row['best']}; the default"
            f" {row['default_ratio']:.3f}: {verdict}",
            flush=True,
        )
    if options.json:
        options.json.write_text(json.dumps({"threads": options.threads, "cases": rows}, indent=1, default=str) + "\n")
    behind = [row["name"] for row in rows if row["ratio"] > 1 + options.within]
    print(f"{len(rows) - len(behind)} of {len(rows)} cells within {options.within:.0%} of the best")
    return 1 if behind or not rows else 0


if __name__ == "__main__":
    sys.exit(main())
