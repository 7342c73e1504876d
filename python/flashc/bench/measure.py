"""A run: for each case the peers are prepared, held against the definition, and timed in alternating rounds."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from . import limits, problem, targets
from .cases import Case
from .figures import advantage, figure, rates
from .peers import PEERS
from .workers import WorkerError, WorkerProcess, interpreter

#: Seconds between two turns: threads that spin for a bounded time have gone to sleep.
SETTLE = 0.004
#: A peer that needs this many times the fastest one's time, and longer than a round, gets this many rounds, not all of them.
SLOW, SLOW_ROUNDS = 4.0, 3

#: The limit's name among the contenders of a case that reads memory.
LIMIT = "limit"


class Contender(Protocol):
    """Who takes turns: a worker, or the limit."""

    def ask(self, timeout: float, **request: Any) -> dict[str, Any]: ...


@dataclass
class Options:
    """How a run measures."""

    threads: int
    rounds: int = 7
    budget: float = 0.1  # seconds of a peer in each round
    cold: bool = True
    cpu_time: bool = False
    tune: float = 0.0  # seconds that flashc is tuned for before each case
    prepare_timeout: float = 120
    total_budget: float = float("inf")  # seconds of the whole run; cases past it are left out
    flush_bytes: int = 1 << 27
    peers_environment: Path = Path(".venv-bench")


@dataclass
class Run:
    """The workers, and what became of them."""

    options: Options
    names: list[str]
    say: Callable[[str], None]
    workers: dict[str, WorkerProcess] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)  # why a peer takes no part
    versions: dict[str, dict[str, str]] = field(default_factory=dict)
    idle_cpu: dict[str, float] = field(default_factory=dict)
    turn_seconds: float = 0.0
    estimates: dict[str, float] = field(default_factory=dict)  # seconds a call of the case at hand

    def start(self, name: str) -> WorkerProcess | None:
        """The peer's process, started again if it has died; None if it cannot be had."""
        if name in self.absent:
            return None
        worker = self.workers.get(name)
        if worker and worker.process.poll() is None:
            return worker
        if worker:
            self.settle_accounts(name)
        options = self.options
        try:
            python = interpreter(name, options.peers_environment)
            worker = WorkerProcess(name, python, options.threads, options.flush_bytes, options.cpu_time)
        except WorkerError as error:
            self.absent[name] = str(error)
            self.say(f"{PEERS[name].title}: left out: {error}")
            return None
        self.workers[name] = worker
        self.versions[name] = worker.versions
        return worker

    def settle_accounts(self, name: str) -> None:
        self.idle_cpu[name] = self.idle_cpu.get(name, 0.0) + self.workers[name].idle_cpu

    def close(self) -> None:
        for name, worker in self.workers.items():
            self.settle_accounts(name)
            worker.close()

    def prepare(self, case: Case) -> tuple[dict[str, WorkerProcess], dict[str, dict[str, Any]]]:
        """Those that are ready and right, and for everyone what is to be told of him."""
        arrays = problem.inputs(case)
        at = problem.sample(case)
        expected = [problem.expected_row(case, arrays, row) for row in at]
        checksum = problem.checksum(arrays)
        del arrays
        ready: dict[str, WorkerProcess] = {}
        notes: dict[str, dict[str, Any]] = {}
        for name in self.names:
            worker = self.start(name)
            if worker is None:
                continue
            try:
                tune = self.options.tune if name == "flashc" else 0.0
                timeout = self.options.prepare_timeout + 3 * tune
                answer = worker.ask(timeout, op="prepare", case=case.as_json(), tune=tune)
            except WorkerError as error:
                notes[name] = {"error": str(error)}
                continue
            if "rows" not in answer:
                notes[name] = answer
                continue
            if answer["checksum"] != checksum:
                notes[name] = {"error": "drew other inputs from the seed"}
                continue
            error_ = problem.relative_error([np.array(row) for row in answer["rows"]], expected)
            notes[name] = {"relative_error": error_, "prepare_seconds": answer["seconds"], **answer["facts"]}
            self.estimates[name] = answer["estimate"]
            if error_ <= problem.TOLERANCE[case.dtype]:
                ready[name] = worker
            else:
                notes[name]["error"] = f"wrong: error {error_:.1e} of {problem.TOLERANCE[case.dtype]:.0e} allowed"
        return ready, notes

    def rounds(self, ready: dict[str, Contender], cold: bool) -> dict[str, list[float]]:
        """Seconds a call, one value a round; everyone's first turn, which warms up, is not among them."""
        options = self.options
        seconds: dict[str, list[float]] = {name: [] for name in ready}
        names = list(ready)
        slow = self.slow(names)
        for number in range(options.rounds + 1):
            budget = options.budget if number else min(options.budget, 0.02)
            shift = number % max(1, len(names))
            for name in names[shift:] + names[:shift]:
                if name not in seconds or (number > SLOW_ROUNDS and name in slow):
                    continue
                time.sleep(SETTLE)
                start = time.monotonic()
                try:
                    answer = ready[name].ask(60 + 20 * options.budget, op="time", budget=budget, cold=cold)
                    value = float(answer["seconds"])
                except (WorkerError, KeyError):
                    del seconds[name]
                    continue
                self.turn_seconds += time.monotonic() - start
                if number:
                    seconds[name].append(value)
        return seconds

    def slow(self, names: list[str]) -> set[str]:
        fastest = min((self.estimates[name] for name in names), default=0.0)
        limit = max(SLOW * fastest, 2 * self.options.budget)
        return {name for name in names if self.estimates[name] > limit and name not in ("flashc", LIMIT)}

    def reader(self, case: Case) -> limits.MemoryReader | None:
        """What reads as much memory as decoding has to, to take turns with the peers; None for other cases."""
        if case.kind != "decode":
            return None
        options = self.options
        try:
            return limits.MemoryReader(case.key_bytes, options.threads, options.flush_bytes, options.cpu_time)
        except WorkerError as error:
            self.say(f"the limit of {case.name}: {error}")
            return None

    def case(self, case: Case) -> dict[str, Any]:
        """Everything about one case, as JSON has it."""
        ready, notes = self.prepare(case)
        contenders: dict[str, Contender] = dict(ready)
        read_limit: dict[str, Any] = {}
        reader = self.reader(case)
        if reader:
            contenders[LIMIT] = reader
            self.estimates[LIMIT] = self.options.budget
        try:
            for temperature in ("warm", "cold") if self.options.cold else ("warm",):
                found = self.rounds(contenders, temperature == "cold")
                if reader and found.pop(LIMIT, None):
                    turns = reader.turns[temperature][1:]  # the first one warms up
                    read_limit[temperature] = limits.paired(case.work, turns, reader.patterns, found)
                for name, seconds in found.items():
                    values = rates(case.kind, case.work, seconds)
                    notes[name][temperature] = figure(values).as_json()
        finally:
            if reader:
                reader.close()
        for name in ready:
            if "warm" not in notes[name]:
                notes[name]["error"] = "ended while it was timed"
        for worker in self.workers.values():
            if worker.process.poll() is None:
                try:
                    worker.ask(30, op="drop")
                except WorkerError as error:
                    self.say(f"{worker.name}: {error}")
        row = {"name": case.name, "kind": case.kind, "case": case.as_json(), "results": notes}
        return row | ({"read_limit": read_limit} if read_limit else {})

    def idle_share(self) -> dict[str, float]:
        """CPU seconds that each peer used while others were timed, as a share of all turns."""
        return {name: cpu / self.turn_seconds for name, cpu in self.idle_cpu.items() if self.turn_seconds}


def conclude(row: dict[str, Any], limits_: dict[str, Any], threads: int) -> None:
    """Adds to a case's row what follows from all of it: the limit, each share of it, the best peer and the ratio to it."""
    case = Case.from_json(row["case"])
    limit = limits.limit_of(case, limits_)
    read_limit = row.get("read_limit", {})
    if "warm" in read_limit:
        limit = ("read_gbs", read_limit["warm"]["median"])
    if limit:
        row["limit"] = {"of": limit[0], "value": limit[1]}
    if asked := targets.share_asked(case, limit, threads):
        row["target"] = asked
    for temperature in ("warm", "cold"):
        medians = {name: note[temperature]["median"] for name, note in row["results"].items() if note.get(temperature)}
        shares = read_limit.get(temperature, {}).get("shares", {})
        for name, median in medians.items():
            if name in shares:
                row["results"][name][temperature] |= {
                    "share": shares[name]["median"],
                    "share_spread": shares[name]["spread"],
                }
            elif limit and case.kind == "dense":
                row["results"][name][temperature]["share"] = median / limit[1]
        ours = medians.pop("flashc", None)
        if ours is None or not medians:
            continue
        pick = min if case.kind == "tiny" else max
        name = pick(medians, key=lambda peer: medians[peer])
        row.setdefault("best_peer", {})[temperature] = {
            "name": name,
            "median": medians[name],
            "ratio": advantage(case.kind, ours, medians[name]),
        }
