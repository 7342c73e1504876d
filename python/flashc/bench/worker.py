"""One peer in a process: answers requests, a JSON object a line, until its input ends.

Requests and answers:
  {"op": "prepare", "case": {...}, "tune": s}      -> {"rows": [[...]...], "checksum", "facts", "seconds"}
  {"op": "time", "budget": s, "cold": bool}        -> {"seconds": a call, "calls": n, "cpu_from": s, "cpu_to": s}
  {"op": "drop"}                                   -> {}
Each may answer {"unsupported": why} or {"error": what}. The first line it writes holds the peer's versions, or an error.
"""

from __future__ import annotations

import concurrent.futures
import gc
import json
import os
import sys
import time
import traceback
from typing import Any

import numpy as np

from . import peers, problem
from .cases import Case


class Flush:
    """Touches more memory than the caches hold, from as many threads as the peers use."""

    def __init__(self, threads: int, size: int) -> None:
        self.parts = [np.zeros(size // threads // 8, np.int64) for _ in range(threads)]
        self.pool = concurrent.futures.ThreadPoolExecutor(threads)

    def __call__(self) -> None:
        list(self.pool.map(self.touch, self.parts))

    @staticmethod
    def touch(part: Any) -> None:
        np.add(part, 1, out=part)


class Worker:
    def __init__(self, name: str, threads: int, flush_bytes: int, cpu_time: bool) -> None:
        self.peer = peers.create(name, threads)
        self.threads = threads
        self.flush_bytes = flush_bytes
        self.flush: Flush | None = None
        self.clock = self.cpu_clock if cpu_time else time.perf_counter
        self.prepared: peers.Prepared | None = None
        self.estimate = 0.0

    def cpu_clock(self) -> float:
        return time.process_time() / self.threads

    def prepare(self, request: dict[str, Any]) -> dict[str, Any]:
        self.drop(request)
        if request.get("tune"):
            self.peer.tune = request["tune"]
        case = Case.from_json(request["case"])
        arrays = problem.inputs(case)
        start = time.perf_counter()
        self.prepared = self.peer.prepare(case, *arrays)
        result = self.prepared.call()
        seconds = time.perf_counter() - start
        rows = [row.tolist() for row in self.prepared.rows(result, problem.sample(case))]
        del result
        self.prepared.call()
        start = self.clock()
        self.prepared.call()
        self.estimate = max(self.clock() - start, 1e-7)
        facts, checksum = self.prepared.facts, problem.checksum(arrays)
        return {"rows": rows, "checksum": checksum, "facts": facts, "seconds": seconds, "estimate": self.estimate}

    def time(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self.prepared
        cpu_from = time.process_time()
        call, budget = self.prepared.call, request["budget"]
        if request["cold"]:
            seconds, calls = self.time_cold(call, budget)
        else:
            calls = max(1, round(budget / self.estimate))
            start = self.clock()
            for _ in range(calls):
                call()
            seconds = (self.clock() - start) / calls
            self.estimate = max(seconds, 1e-7)
        return {"seconds": seconds, "calls": calls, "cpu_from": cpu_from, "cpu_to": time.process_time()}

    def time_cold(self, call: Any, budget: float) -> tuple[float, int]:
        """Each call after a flush; the flush counts in the budget and not in the time."""
        if self.flush is None:
            self.flush = Flush(self.threads, self.flush_bytes)
        total, calls, begin = 0.0, 0, time.perf_counter()
        while calls == 0 or time.perf_counter() - begin < budget:
            self.flush()
            start = self.clock()
            call()
            total += self.clock() - start
            calls += 1
        return total / calls, calls

    def drop(self, request: dict[str, Any]) -> dict[str, Any]:
        self.prepared = None
        gc.collect()
        return {}

    def answer(self, line: str) -> dict[str, Any]:
        request = json.loads(line)
        try:
            return getattr(self, {"prepare": "prepare", "time": "time", "drop": "drop"}[request["op"]])(request)
        except peers.UnsupportedError as reason:
            self.prepared = None
            return {"unsupported": str(reason)}
        except Exception as error:
            self.prepared = None
            traceback.print_exc()
            return {
                "error": f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"[:300]
            }


def serve(name: str, threads: int, flush_bytes: int, cpu_time: bool) -> None:
    # What frameworks print must not get between the answers: they get standard error, we keep the pipe.
    pipe = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def say(message: dict[str, Any]) -> None:
        pipe.write(json.dumps(message) + "\n")

    try:
        worker = Worker(name, threads, flush_bytes, cpu_time)
    except ImportError as error:
        say({"error": f"not installed: {error}"})
        return
    except Exception as error:
        traceback.print_exc()
        say({"error": f"{type(error).__name__}: {error}"[:300]})
        return
    say({"versions": {**worker.peer.versions(), "python": sys.version.split()[0], "numpy": np.__version__}})
    for line in sys.stdin:
        say(worker.answer(line))
