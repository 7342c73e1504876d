"""Tuning by several processes and threads, by one that is killed or forks, and where nothing can be written."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import processes
import pytest
from processes import finish

PRELUDE = """
import json, os, resource, signal, sys, threading, time
import numpy as np
import flashc
from flashc import tuning

x = np.random.default_rng(0).standard_normal((1, 2, 50, 16)).astype(np.float32)

def right(head_dim=16):
    y = x[..., :head_dim]
    return bool(np.abs(flashc.attention(y, y, y) - flashc.reference(y, y, y)[0]).max() < 1e-5)
"""


def start(code: str, cache: Path | str, **environment: str) -> subprocess.Popen[str]:
    return processes.start(PRELUDE + code, cache, **environment)


def entries(cache: Path) -> list[Any]:
    return json.loads((cache / "tuning-1.json").read_text())["entries"]


def test_processes_that_tune_the_same_at_once(tmp_path: Path) -> None:
    code = """
kernel = flashc.compile(head_dim=16)
result = kernel.tune(x, x, x, budget=1)
print(json.dumps([right(), tuning.tiles(kernel, (1, 2, 50))[1], result.seconds <= result.default_seconds]))
"""
    started = [start(code, tmp_path / "cache") for _ in range(3)]
    assert [finish(process) for process in started] == [[True, "store", True]] * 3
    assert len(entries(tmp_path / "cache")) == 1


def test_threads_that_tune_at_once(tmp_path: Path) -> None:
    """Each a kernel of its own, while another thread calls them."""
    code = """
kernels = {d: flashc.compile(head_dim=d) for d in (8, 12, 16)}
wrong, over = [], threading.Event()
def tune(d):
    kernels[d].tune(shapes=(1, 2, 50), budget=1)
def call():
    while not over.is_set():
        wrong.extend(d for d in kernels if not right(d))
threads = [threading.Thread(target=tune, args=(d,)) for d in kernels]
caller = threading.Thread(target=call)
for thread in (*threads, caller):
    thread.start()
for thread in threads:
    thread.join()
over.set()
caller.join()
print(json.dumps([wrong, sorted(entry["kernel"] for entry in tuning.entries())]))
"""
    kernels = ["forward f32 d12", "forward f32 d16", "forward f32 d8"]
    assert finish(start(code, tmp_path / "cache")) == [[], kernels]


def test_a_fork_while_another_thread_tunes(tmp_path: Path) -> None:
    """The child can call, look up and tune."""
    code = """
kernel = flashc.compile(head_dim=16)
tuner = threading.Thread(target=lambda: kernel.tune(x, x, x, budget=3))
tuner.start()
good = []
for wait in (0.05, 0.3, 0.5):
    time.sleep(wait)
    child = os.fork()
    if child == 0:
        own = flashc.compile(head_dim=8)
        own.tune(shapes=(1, 2, 50), budget=0.3)
        os._exit(0 if right(8) and right() and len(tuning.entries()) >= 1 else 1)
    good.append(os.waitpid(child, 0)[1] == 0)
tuner.join()
print(json.dumps([good, right(), sorted(entry["kernel"] for entry in tuning.entries())]))
"""
    kernels = ["forward f32 d16", "forward f32 d8"]
    assert finish(start(code, tmp_path / "cache")) == [[True] * 3, True, kernels]


def children_of(pid: int) -> list[int]:
    lists = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    return [int(child) for text in lists for child in text.split()]


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs /proc")
def test_killed_while_it_tunes(tmp_path: Path) -> None:
    """Its worker ends with it, and what was known before stays."""
    cache = tmp_path / "cache"
    finish(start("flashc.compile(head_dim=8).tune(shapes=(1, 2, 50), budget=0.5)\nprint('[]')", cache))
    (before,) = entries(cache)
    for wait in (0.2, 1.0):
        process = start("flashc.compile(head_dim=16).tune(shapes=(1, 2, 2000), budget=100)", cache)
        deadline = time.monotonic() + 60
        while not (workers := children_of(process.pid)):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        deadline = time.monotonic() + 10
        while any(is_running(worker) for worker in workers):
            assert time.monotonic() < deadline, "the worker outlives the tuner"
            time.sleep(0.01)
        assert entries(cache) == [before]
    code = "flashc.compile(head_dim=16).tune(x, x, x, budget=0.5)\nprint(json.dumps([right(), len(tuning.entries())]))"
    assert finish(start(code, cache)) == [True, 2]


KEPT_IN_MEMORY = """
kernel = flashc.compile(head_dim=16)
result = kernel.tune(x, x, x, budget=0.5)
tiles, source = tuning.tiles(kernel, (1, 2, 50))
print(json.dumps([right(), source, tuple(tiles) == tuple(result.tiles), len(tuning.entries())]))
"""
NO_HOME = {"HOME": "", "XDG_CACHE_HOME": ""}


def test_without_a_home() -> None:
    assert finish(start(KEPT_IN_MEMORY, "", **NO_HOME)) == [True, "store", True, 1]


def test_in_a_home_that_is_not_there() -> None:
    assert finish(start(KEPT_IN_MEMORY, "", **{**NO_HOME, "HOME": "/proc/nobody"})) == [True, "store", True, 1]


@pytest.mark.skipif(os.getuid() == 0, reason="root writes where it likes")
def test_in_a_home_that_cannot_be_written() -> None:
    with tempfile.TemporaryDirectory() as home:
        os.chmod(home, 0o555)
        assert finish(start(KEPT_IN_MEMORY, "", **{**NO_HOME, "HOME": home})) == [True, "store", True, 1]
        assert not os.listdir(home)


def test_where_files_cannot_grow(tmp_path: Path) -> None:
    """As on a full disk: the store's file is larger than what may be written."""
    cache = tmp_path / "cache"
    finish(start("tuning.device_facts()\nprint('[]')", cache))
    before = (cache / "tuning-1.json").read_bytes()
    limit = "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\nresource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))\n"
    assert finish(start(limit + KEPT_IN_MEMORY, cache)) == [True, "store", True, 1]
    assert (cache / "tuning-1.json").read_bytes() == before
    assert not [path for path in cache.iterdir() if path.suffix not in (".json", ".lock")]


def test_what_one_machine_knows_goes_to_another(tmp_path: Path) -> None:
    """Exported, damaged in part, imported into a store that knows something else: the sound entries join."""
    one, other, file = tmp_path / "one", tmp_path / "other", tmp_path / "tuned.json"
    export = f"tuning.export_store({str(file)!r})\n"
    tune = "flashc.compile(head_dim={}).tune(shapes=(1, 2, 50), budget=0.3)\n"
    finish(start(tune.format(16) + tune.format(12) + export + "print('[]')", one))
    finish(start(tune.format(8) + "print('[]')", other))
    exported = json.loads(file.read_text())
    exported["entries"][0]["tiles"]["rows"] = 1e300
    exported["entries"].append("nonsense")
    file.write_text(json.dumps(exported))
    code = f"count = tuning.import_store({str(file)!r})\nprint(json.dumps([count, right(), len(tuning.entries())]))"
    assert finish(start(code, other)) == [1, True, 2]
    (tmp_path / "foreign.json").write_text('{"format": "flashc-tuning", "version": 2}')
    code = f"""
try:
    tuning.import_store({str(tmp_path / "foreign.json")!r})
except ValueError as error:
    print(json.dumps([str(error)[-90:], len(tuning.entries())]))
"""
    said, count = finish(start(code, other))
    assert 'expected a file that flash-run --tune --export wrote (format "flashc-tuning", version 1)' in said
    assert count == 2
