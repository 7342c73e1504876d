"""Candidates that crash, hang, answer wrong or want all memory, through kernel.tune(), flashc.tune and flash-run --tune.

A candidate is a real one that somebody tampered with where candidates come from (test/support/trouble.py). Whatever it does, tuning
ends, says what it did, keeps another one, and the process that asked goes on.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import processes
import pytest
from trouble import REASONS, TROUBLES, Entry, forget_winners, make_tools, put_into_cache, with_trouble

from flashc import _flashc

BIN = Path(os.environ.get("FLASHC_BUILD_DIR", Path(_flashc.__file__).resolve().parents[2])) / "bin"
SHAPE = (1, 2, 300)

pytestmark = pytest.mark.skipif(
    not all(shutil.which(tool) for tool in ("cc", "ld", "objcopy")), reason="needs cc, ld and objcopy"
)

PRELUDE = """
import json, sys, time
import numpy as np
import flashc
from flashc import tuning

x = np.random.default_rng(0).standard_normal((1, 2, 300, 16)).astype(np.float32)

def told(result, kernel):
    error = float(abs(kernel(x, x, x) - flashc.reference(x, x, x)[0]).max())
    said = {"result": result, "error": error, "entries": tuning.entries(), "tiles": tuning.tiles(kernel, (1, 2, 300))}
    print(json.dumps(said, default=lambda value: value.__dict__))
"""


def run(code: str, cache: Path, **environment: str) -> Any:
    return processes.run(PRELUDE + code, cache, **environment)


KERNEL_TUNE = """
kernel = flashc.compile(head_dim=16)
told(tuning.tune_kernel(kernel, (1, 2, 300), budget=BUDGET, most_candidates=3), kernel)
"""
# The first run compiles the candidates, the others find them in the cache.
FILL, TUNE = KERNEL_TUNE.replace("BUDGET", "20.0"), KERNEL_TUNE.replace("BUDGET", "4.0")


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[int, ...]]:
    """A cache that holds every candidate, and the tiles of one that is not the default."""
    cache = tmp_path_factory.mktemp("tuned") / "cache"
    candidates = run(FILL, cache)["result"]["candidates"]
    assert len(candidates) > 1
    assert not any(candidate["failure"] for candidate in candidates)
    forget_winners(cache)
    return cache, tuple(candidates[1]["tiles"])


def spoil(tuned: tuple[Path, tuple[int, ...]], trouble: str, to: Path) -> tuple[Path, list[int]]:
    """A copy of the cache in which the candidate misbehaves."""
    cache, victim = tuned
    shutil.copytree(cache, to)
    put_into_cache(to, victim, trouble)
    return to, list(victim)


def check(told: Any, victim: list[int], trouble: str) -> None:
    result = told["result"]
    (failed,) = [candidate for candidate in result["candidates"] if candidate["tiles"] == victim]
    assert REASONS[trouble] in failed["failure"]
    assert failed["seconds"] == float("inf")
    # The others are judged as if it had never been there.
    assert not any(candidate["failure"] for candidate in result["candidates"] if candidate["tiles"] != victim)
    assert result["tiles"] != victim
    assert 0 < result["seconds"] <= result["default_seconds"]
    assert [entry["tiles"] for entry in told["entries"]] == [result["tiles"]]
    assert told["tiles"] == [result["tiles"], "store"]
    assert told["error"] < 1e-5


@pytest.mark.parametrize("trouble", TROUBLES)
def test_kernel_tune(tuned: tuple[Path, tuple[int, ...]], trouble: str, tmp_path: Path) -> None:
    cache, victim = spoil(tuned, trouble, tmp_path / "cache")
    check(run(TUNE, cache), victim, trouble)


def test_flashc_tune(tuned: tuple[Path, tuple[int, ...]], tmp_path: Path) -> None:
    cache, victim = spoil(tuned, "segfault", tmp_path / "cache")
    code = "told(flashc.tune(head_dim=16, shapes=(1, 2, 300), budget=4.0), flashc.compile(head_dim=16))"
    check(run(code, cache), victim, "segfault")


def test_a_call_that_tunes_at_its_first_use(tuned: tuple[Path, tuple[int, ...]], tmp_path: Path) -> None:
    """The caller notices nothing but the time."""
    cache, victim = spoil(tuned, "hang", tmp_path / "cache")
    code = """
begin = time.monotonic()
out = flashc.attention(x, x, x)
error = float(abs(out - flashc.reference(x, x, x)[0]).max())
print(json.dumps([error, time.monotonic() - begin, tuning.entries()]))
"""
    error, seconds, entries = run(code, cache, FLASHC_TUNE="1", FLASHC_TUNE_BUDGET="4")
    assert error < 1e-5
    assert seconds < 60
    assert [entry["tiles"] != victim for entry in entries] == [True]


def test_a_default_that_misbehaves_is_an_error(tmp_path: Path) -> None:
    """There is nothing to compare candidates with then. The worker meets it first, and the process survives."""
    cache = tmp_path / "cache"
    run("kernel = flashc.compile(head_dim=16); print(json.dumps(tuning.device_facts()))", cache)
    (path,) = cache.glob("*.kernel")
    code = """
kernel = flashc.compile(head_dim=16)
try:
    kernel.tune(x, x, x, budget=1)
except RuntimeError as error:
    print(json.dumps([str(error), len(tuning.entries())]))
"""
    entry = Entry(path)
    entry.object = with_trouble(entry.object, entry.name.decode(), "illegal", tmp_path).read_bytes()
    entry.write()
    said, entries = run(code, cache)
    assert said.startswith("the untuned kernel failed: crashed: ")
    assert entries == 0


@pytest.mark.skipif(not (BIN / "flash-run").exists(), reason="needs the tools of a build tree")
@pytest.mark.parametrize("trouble", TROUBLES)
def test_flash_run_tune(trouble: str, tmp_path: Path) -> None:
    flash_run = make_tools(tmp_path / "bin", BIN, trouble)
    environment = {**os.environ, "FLASHC_CACHE_DIR": str(tmp_path / "cache"), "TMPDIR": str(tmp_path)}
    sizes = ["--batch", "1", "--heads", "2", "--queries", "300"]
    kernel = ["--head-dim", "16", "--target", "host"]
    done = subprocess.run(
        [flash_run, "--tune", "--budget", "6", *sizes, "--", *kernel],
        env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    victim = (tmp_path / "bin" / "victim").read_text()
    (line,) = [line for line in done.stdout.splitlines() if line.split()[:1] == [victim]]
    assert "failed: " in line
    assert REASONS[trouble] in line
    assert done.stdout.count("failed: ") == 1
    assert "; kept for h2 g1 q512 k512" in done.stdout
    assert f"best: {victim}," not in done.stdout
    listed = subprocess.run(
        [flash_run, "--tune", "--list"], env=environment, capture_output=True, text=True, check=True
    )
    assert listed.stdout.endswith("1 tuned kernel\n")
    # What candidates were compiled into is gone, with what they left.
    assert not list(tmp_path.glob("flash-run-*"))
