"""Tuning from Python: what it measures, keeps and uses, and what it refuses."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from processes import run

import flashc
from flashc import tuning

SHAPE = (1, 2, 50)


TUNE = """
import json, numpy as np, flashc
from flashc import tuning
kernel = flashc.compile(head_dim=16, mask=flashc.causal("top_left"))
x = np.random.default_rng(0).standard_normal((1, 2, 50, 16)).astype(np.float32)
before = kernel(x, x, x)
states = []
result = kernel.tune(x, x, x, budget=1.0, progress=states.append)
after = kernel(x, x, x)
expected, _ = flashc.reference(x, x, x, mask=flashc.causal("top_left"))
print(json.dumps({
    "result": result.__dict__, "tiles": tuning.tiles(kernel, (1, 2, 50)), "near": tuning.tiles(kernel, (2, 1, 40)),
    "far": tuning.tiles(kernel, (1, 2, 500))[1], "entries": tuning.entries(), "error": float(abs(after - expected).max()),
    "phases": sorted({state["phase"] for state in states}), "share": states[-1]["share"],
}, default=lambda value: value.__dict__))
"""


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    cache = tmp_path_factory.mktemp("tuned")
    return cache, run(TUNE, cache)


def test_a_winner_is_measured_kept_and_used(tuned: tuple[Path, Any]) -> None:
    _, told = tuned
    result = told["result"]
    assert result["shape"] == {"batch": 1, "heads": 2, "kv_heads": 2, "queries": 50, "keys": 50}
    assert result["seconds"] <= result["default_seconds"]
    assert result["candidates"][0]["predicted"] is None
    assert all(candidate["failure"] == "" for candidate in result["candidates"])
    assert told["tiles"] == [result["tiles"], "store"]
    assert told["error"] < 1e-5
    assert told["phases"][0] == "compiling"
    assert 0 < told["share"] <= 1


def test_a_bucket_shares_its_entry_and_others_do_not(tuned: tuple[Path, Any]) -> None:
    _, told = tuned
    assert told["near"] == told["tiles"]
    assert told["far"] == "cost model"
    (entry,) = told["entries"]
    assert entry["kernel"] == "forward f32 d16 causal(top_left)"
    assert entry["shape"] == "h2 g1 q64 k64"
    assert entry["tiles"] == told["result"]["tiles"]


def test_another_process_finds_it(tuned: tuple[Path, Any]) -> None:
    cache, told = tuned
    code = """
import json, flashc
kernel = flashc.compile(head_dim=16, mask=flashc.causal("top_left"), scale=0.5, return_lse=True)
print(json.dumps(flashc.tuning.tiles(kernel, (1, 2, 50))))
"""
    assert run(code, cache, FLASHC_NUM_THREADS="1") == told["tiles"]


def test_a_damaged_store_is_a_miss(tuned: tuple[Path, Any], tmp_path: Path) -> None:
    (tmp_path / "tuning-1.json").write_text("{" * 100)
    code = """
import json, flashc
kernel = flashc.compile(head_dim=16, mask=flashc.causal("top_left"))
print(json.dumps(flashc.tuning.tiles(kernel, (1, 2, 50))[1]))
"""
    os.chmod(tmp_path, 0o700)
    assert run(code, tmp_path) == "cost model"


def test_tiles_of_the_store_are_what_a_call_runs(tmp_path: Path) -> None:
    code = """
import json, numpy as np, flashc
from flashc import tuning
kernel = flashc.compile(head_dim=16)
x = np.ones((1, 2, 50, 16), np.float32)
kernel(x, x, x)
counts = [flashc.compile_count()]
kernel.tune(x, x, x, budget=0.5)
path = PATH
tuning.export_store(path)
store = json.load(open(path))
(entry,) = store["entries"]
entry["tiles"] = {"rows": 6, "keys": 64, "split": 512}
entry["seconds"] = 1e-9
json.dump(store, open(path, "w"))
assert tuning.import_store(path) == 1
assert tuning.tiles(kernel, (1, 2, 50)) == ((6, 64, 512), "store")
before = flashc.compile_count()
kernel(x, x, x)
kernel(x[:, :, :40], x, x)
again = flashc.compile_count()
kernel(x[:, :, :5], x, x)
print(json.dumps([again - before, flashc.compile_count() - again]))
""".replace("PATH", repr(str(tmp_path / "tuned.json")))
    assert run(code, tmp_path / "cache") == [1, 0]


def test_the_first_use_tunes_when_it_is_asked_to(tmp_path: Path) -> None:
    code = """
import json, numpy as np, flashc
x = np.ones((1, 2, 50, 16), np.float32)
flashc.attention(x, x, x)
print(json.dumps([flashc.tuning.get_tuning(), len(flashc.tuning.entries())]))
"""
    assert run(code, tmp_path / "off") == ["off", 0]
    assert run(code, tmp_path / "on", FLASHC_TUNE="1", FLASHC_TUNE_BUDGET="0.5") == ["first-use", 1]


def test_facts_and_candidates() -> None:
    facts = tuning.device_facts()
    assert facts["f32-fma-gflops"] > facts["f64-fma-gflops"] * 1.2
    kernel = flashc.compile(head_dim=16)
    ranked = tuning.candidates(kernel, SHAPE)
    assert len({tiles for tiles, _ in ranked}) == len(ranked)
    assert [seconds for _, seconds in ranked] == sorted(seconds for _, seconds in ranked)
    x = np.ones((1, 2, 50, 16), np.float32)
    fixed = flashc.compile(head_dim=16, tiles=ranked[-1][0])
    assert np.allclose(fixed(x, x, x), kernel(x, x, x), atol=1e-5)
    assert fixed.info["tiles"]["source"] == "caller"
    assert kernel.info["tiles"]["source"] == "cost model"
    # Few rows: the keys of a task are what is chosen.
    assert all(len(tiles) == 3 for tiles, _ in tuning.candidates(kernel, (1, 2, 1, 4000)))


def test_what_is_refused() -> None:
    kernel = flashc.compile(head_dim=16)
    x = np.ones((1, 2, 50, 16), np.float32)
    with pytest.raises(TypeError, match="expected operands or shapes=, and not both"):
        kernel.tune()
    with pytest.raises(TypeError, match="expected operands or shapes=, and not both"):
        kernel.tune(x, x, x, shapes=SHAPE)
    with pytest.raises(ValueError, match="budget: expected seconds above 0, got 0"):
        kernel.tune(shapes=SHAPE, budget=0)
    with pytest.raises(ValueError, match=r"shape: expected \(batch, heads, queries\), .* got \(1, 2\)"):
        kernel.tune(shapes=(1, 2))
    with pytest.raises(ValueError, match="expected heads that are a multiple of the 4 kv_heads, got 6"):
        kernel.tune(shapes=(1, 6, 4, 10, 10))
    with pytest.raises(ValueError, match="expected keys of at least 1, got 0"):
        kernel.tune(shapes=(1, 6, 10, 0))
    with pytest.raises(ValueError, match="without tiles=, got one whose tiles are fixed"):
        flashc.compile(head_dim=16, tiles=(6, 64)).tune(shapes=SHAPE)
    with pytest.raises(TypeError, match="expected no tiles, as they are what is looked for"):
        flashc.tune(head_dim=16, shapes=SHAPE, tiles=(6, 64))
    with pytest.raises(ValueError, match="mode: expected 'off' or 'first-use', got 'always'"):
        flashc.set_tuning("always")


def test_stopping_keeps_nothing(tmp_path: Path) -> None:
    code = """
import json, flashc
kernel = flashc.compile(head_dim=16)
try:
    kernel.tune(shapes=(1, 2, 50), budget=5, progress=lambda state: False)
except RuntimeError as error:
    print(json.dumps([str(error), len(flashc.tuning.entries())]))
"""
    assert run(code, tmp_path) == ["tuning was stopped", 0]
