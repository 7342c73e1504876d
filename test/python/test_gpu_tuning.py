"""Tiles for GPUs: what the cost model ranks, what is refused before it is compiled, and that an emulated device is not a clock."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import flashc
from flashc import _flashc, tuning

SHAPE = (1, 4, 200)
TOOLS = Path(_flashc.__file__).resolve().parents[2] / "bin"
CLOCKED = TOOLS.parent / "lib" / "libflashc-clocked-gpu.so"


@pytest.mark.parametrize("target", ["emulated:sm_80", "emulated:gfx942", "emulated:gfx1100"])
def test_candidates_are_legal_and_ranked(target: str) -> None:
    kernel = flashc.compile(head_dim=64, dtype="bf16", target=target)
    ranked = tuning.candidates(kernel, SHAPE)
    assert len(ranked) > 5
    assert [seconds for _, seconds in ranked] == sorted(seconds for _, seconds in ranked)
    assert tuning.tiles(kernel, SHAPE)[1] == "cost model"
    # What the model calls legal compiles: the best, the smallest and the largest.
    tiles = [each for each, _ in ranked]
    for rows, keys in {tiles[0], min(tiles), max(tiles)}:
        flashc.compile(head_dim=64, dtype="bf16", target=target, tiles=(rows, keys))


def test_an_emulated_device_is_no_clock() -> None:
    kernel = flashc.compile(head_dim=64, dtype="bf16", target="emulated:sm_80")
    before = tuning.entries()
    with pytest.raises(
        ValueError, match="emulated:sm_80: expected a device whose time is a kernel's, got one that is executed"
    ):
        kernel.tune(shapes=SHAPE, budget=1)
    with pytest.raises(ValueError, match="its cost model ranks tiles without measuring them"):
        flashc.tune(head_dim=64, dtype="bf16", target="emulated:sm_80", shapes=SHAPE, budget=1)
    assert tuning.entries() == before


@pytest.mark.parametrize(
    ("target", "tiles", "message"),
    [
        ("emulated:sm_80", (24, 64), "query rows in multiples of 16, .*got 24"),
        ("emulated:gfx942", (40, 64), "query rows in multiples of 16, .*got 40"),
        ("emulated:gfx1100", (40, 32), "query rows in multiples of 16, .*got 40"),
        # Keys and values of 512 rows of 128 bytes, weights of 64 rows of 1,024, and a kilobyte.
        ("emulated:sm_80", (64, 512), "needs 197632 bytes of shared memory .*the target has 101376"),
        # 32 registers of sums, 160 of scores, 80 of weights and 16 of rows; 32 each of copies and of operands, 64 others.
        ("emulated:gfx942", (128, 320), "needs 380 registers a thread .*the target has 256"),
    ],
)
def test_illegal_tiles_are_refused(target: str, tiles: tuple[int, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        flashc.compile(head_dim=64, dtype="bf16", target=target, tiles=tiles)


@pytest.mark.skipif(not (TOOLS / "flash-run").exists(), reason="the tools are not built")
def test_flash_run_refuses_to_tune_an_emulated_device(tmp_path: Path) -> None:
    library = TOOLS.parent / "lib" / "libflashc_emulated.so"
    if not library.exists():
        pytest.skip("the emulated devices' library is not built")
    done = subprocess.run(
        [
            TOOLS / "flash-run",
            "--tune",
            "--budget",
            "1",
            "--queries",
            "64",
            "--",
            "--head-dim",
            "64",
            "--dtype",
            "bf16",
            "--target",
            "emulated:sm_80",
        ],
        env={
            "PATH": f"{TOOLS}:/usr/bin:/bin",
            "FLASHC_DEVICE_LIBRARY": str(library),
            "FLASHC_CACHE_DIR": str(tmp_path),
        },
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 1
    assert "emulated:sm_80: expected a device whose time is a kernel's" in done.stderr


@pytest.mark.skipif(not (TOOLS / "flash-compile").exists(), reason="the tools are not built")
@pytest.mark.parametrize(
    ("target", "rows", "keys"),
    [
        ("emulated:sm_80", 64, 64),
        ("emulated:sm_90a", 128, 128),
        ("emulated:gfx942", 128, 64),
        ("emulated:gfx1100", 64, 32),
    ],
)
def test_report_counts_by_hand(target: str, rows: int, keys: int) -> None:
    options = ("--head-dim", "64", "--dtype", "bf16", "--target", target, "--tiles", f"{rows}x{keys}", "--report=json")
    done = subprocess.run([TOOLS / "flash-compile", *options], capture_output=True, text=True, check=True, timeout=300)
    report = json.loads(done.stdout)
    assert report["format"] == "flashc-report"
    prediction = report["prediction"]
    function = next(f for f in report["functions"] if f["name"] == prediction["function"])
    loop = function["loops"][prediction["loop"]]
    assert loop["tiles"] == 1
    # Each score is a product over D 64, and each goes into 64 sums: two operations each.
    assert loop["issued_flops"] == loop["useful_flops"] == 2 * rows * keys * (64 + 64)
    # One exponential a score, and one for the scale of each row in each of the lanes that share it.
    exponentials = loop["instructions"]["special"] * loop["threads"]
    assert rows * keys < exponentials <= rows * keys + 4 * rows
    # Weights are rounded in pairs; AMD's chips have no instruction for it, and round in integers.
    if "sm_" in target:
        assert rows * keys / 2 <= loop["instructions"]["convert"] * loop["threads"] <= rows * keys
    else:
        assert "convert" not in loop["instructions"]
    assert 0 < prediction["share_of_peak"] <= 1
    assert prediction["tflops"] == pytest.approx(prediction["share_of_peak"] * prediction["peak_tflops"])
    if "sm_" not in target or shutil.which("ptxas"):
        assert function["registers"] > 0
        assert function["occupancy"]["blocks"] >= 1


@pytest.mark.skipif(not CLOCKED.exists(), reason="the device library of the tests is not built")
def test_flash_run_tunes_a_gpu(tmp_path: Path) -> None:
    sizes = ("--batch", "1", "--heads", "1", "--queries", "100")
    kernel = ("--head-dim", "16", "--dtype", "bf16", "--target", "emulated:sm_80")
    done = subprocess.run(
        [TOOLS / "flash-run", "--tune", "--budget", "15", *sizes, "--", *kernel],
        env={**os.environ, "FLASHC_DEVICE_LIBRARY": str(CLOCKED), "FLASHC_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "forward bf16 d16 for emulated:sm_80, on NVIDIA sm_80" in done.stdout
    assert "kept for h1 g1 q128 k128" in done.stdout
    # Its clock runs by blocks and their shared memory: what is measured decides, whatever the model thinks.
    times = dict(re.findall(r"^  (\S+) +([\d.]+) ms", done.stdout, re.MULTILINE))
    (best,) = re.findall(r"^best: (\S+),", done.stdout, re.MULTILINE)
    assert float(times[best]) == min(map(float, times.values()))
    (entry,) = json.loads((tmp_path / "tuning-1.json").read_text())["entries"]
    assert entry["device"] == "Clocked GPU, sm_80, 4 units"
    assert entry["kernel"] == "forward bf16 d16 for emulated:sm_80"
    assert best.startswith(f"{entry['tiles']['rows']}x{entry['tiles']['keys']}")
