"""The driver's side of the workers: starts them, asks them, ends those that hang."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from .peers import PEERS

HERE = Path(__file__).resolve().parent

#: Loads this folder as a package of its own, without flashc around it: the peers' environment has no flashc.
LAUNCHER = """
import importlib.util, os, sys
folder, name, threads, flush, cpu_time = sys.argv[1:]
spec = importlib.util.spec_from_file_location("flashc_bench", folder + "/__init__.py", submodule_search_locations=[folder])
sys.modules["flashc_bench"] = module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(threads)])
from flashc_bench.worker import serve
serve(name, int(threads), int(flush), cpu_time == "1")
"""


class WorkerError(Exception):
    """The worker died, hung, or could not start."""


def environment(threads: int, cpu_time: bool, apart: bool) -> dict[str, str]:
    """Where threads are counted and when idle ones stop spinning.

    A spinning thread of one peer would take a core from the next. What spins for a bounded time by default (libgomp:
    about a millisecond) is left as its users have it; what would spin for 200 ms (Intel's and LLVM's OpenMP) stops after one. When
    CPU time is what is measured, spinning would count, so that nobody spins.
    """
    count = str(threads)
    changed = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "FLASHC_NUM_THREADS"), count)
    changed["KMP_BLOCKTIME"] = "0" if cpu_time else "1"
    if cpu_time:
        changed["OMP_WAIT_POLICY"] = "passive"
    changed["JAX_PLATFORMS"] = "cpu"
    changed["NPROC"] = count  # XLA's thread pool
    base = dict(os.environ)
    if apart:
        base.pop("PYTHONPATH", None)
    return {**base, **changed}


class Connection:
    """A process that is written lines and answers each with a JSON object a line.

    Its stderr goes to a file, the end of which is told when it dies.
    """

    def __init__(self, command: list[str], env: dict[str, str] | None = None) -> None:
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115 (as long as the process)
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            start_new_session=True,  # an interrupt is the driver's, which ends them
            env=env,
        )
        self.pending = b""

    def send(self, line: bytes) -> None:
        assert self.process.stdin
        try:
            self.process.stdin.write(line)
            self.process.stdin.flush()
        except OSError as error:
            self.close()
            raise WorkerError(f"died: {self.last_words()}") from error

    def receive(self, timeout: float) -> dict[str, Any]:
        """The next answer; WorkerError where there is none in time, and the process is ended."""
        assert self.process.stdout
        descriptor = self.process.stdout.fileno()
        end = time.monotonic() + timeout
        while b"\n" not in self.pending:
            ready, _, _ = select.select([descriptor], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                self.close()
                raise WorkerError(f"no answer within {timeout:.0f} s")
            chunk = os.read(descriptor, 1 << 20)
            if not chunk:
                code = self.process.wait()
                self.close()
                raise WorkerError(f"died with exit code {code}: {self.last_words()}")
            self.pending += chunk
        line, _, self.pending = self.pending.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def last_words(self) -> str:
        self.log.seek(0)
        lines = self.log.read().strip().splitlines()
        return lines[-1][:200] if lines else "no message"

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


class WorkerProcess(Connection):
    """A peer's process."""

    def __init__(
        self, name: str, python: str, threads: int, flush_bytes: int, cpu_time: bool, start_timeout: float = 120
    ) -> None:
        self.name = name
        self.cpu_seen: float | None = None  # of the worker's clock, at the end of its last turn
        self.idle_cpu = 0.0  # seconds that it used while others had their turns
        command = [python, "-c", LAUNCHER, str(HERE), name, str(threads), str(flush_bytes), str(int(cpu_time))]
        super().__init__(command, environment(threads, cpu_time, PEERS[name].apart))
        first = self.receive(start_timeout)
        if "versions" not in first:
            self.close()
            raise WorkerError(first.get("error", "said nothing"))
        self.versions: dict[str, str] = first["versions"]

    def ask(self, timeout: float, **request: Any) -> dict[str, Any]:
        """One request and its answer; WorkerError where there is none in time, and the process is ended."""
        self.send(json.dumps(request).encode() + b"\n")
        answer = self.receive(timeout)
        if "cpu_from" in answer:
            if self.cpu_seen is not None:
                self.idle_cpu += max(0.0, answer["cpu_from"] - self.cpu_seen)
            self.cpu_seen = answer["cpu_to"]
        else:
            self.cpu_seen = None
        return answer


def interpreter(name: str, peers_environment: Path) -> str:
    """The Python that a peer runs with: its environment's, where it has one."""
    if not PEERS[name].apart:
        return sys.executable
    python = peers_environment / "bin/python"
    return str(python) if python.exists() else sys.executable
