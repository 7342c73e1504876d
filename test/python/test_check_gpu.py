"""scripts/check_gpu.py as it is used on a machine with a GPU: by ctypes on the runtime's library alone, here on the CPU and on an
emulated device."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import flashc
from flashc import _flashc

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(_flashc.__file__).resolve().parents[2]
RUNTIME, EMULATED = BUILD / "lib" / "libflashc_runtime.so", BUILD / "lib" / "libflashc_emulated.so"

pytestmark = pytest.mark.skipif(not RUNTIME.exists(), reason="the runtime's shared library is not built")


def check(folder, *arguments):
    command = [sys.executable, "-I", str(ROOT / "scripts" / "check_gpu.py"), str(folder), "--runtime", str(RUNTIME)]
    command += [
        "--report",
        str(folder / "report"),
        "--seconds",
        "0.01",
        "--lengths",
        "64",
        "--heads",
        "2,1",
        "--no-decode",
    ]
    environment = {**os.environ, "FLASHC_CUDA_LIBRARY": "", "FLASHC_HIP_LIBRARY": ""}
    if EMULATED.exists():
        environment["FLASHC_DEVICE_LIBRARY"] = str(EMULATED)
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=600, env=environment)
    report = folder / "report.json"
    return done, json.loads(report.read_text()) if report.exists() else None


def test_what_is_right_is_timed_and_reported(tmp_path):
    mask = flashc.causal("bottom_right")
    flashc.compile(head_dim=32, dtype="f32", mask=mask, return_lse=True).save(tmp_path / "packs" / "causal")
    fat = tmp_path / "packs" / "fat"
    flashc.compile(head_dim=16, dtype="f64").save(fat / "cpu")
    packs = [{"target": "nvptx:sm_90a", "path": "absent"}, {"target": "cpu", "path": "cpu"}]
    (fat / "kernel.json").write_text(json.dumps({"format": "flashc-fat-pack", "version": 1, "packs": packs}))
    done, report = check(tmp_path / "packs")
    assert done.returncode == 0, done.stdout + done.stderr
    assert {kernel["pack"]: kernel["failures"] for kernel in report["kernels"]} == {"causal": [], "fat": []}
    assert all(kernel["checked"] == 10 for kernel in report["kernels"])
    assert [row["kernel"] for row in report["times"]] == ["f32 D32 causal(bottom_right)", "f64 D16 full"]
    assert all(row["rate"] > 0 for row in report["times"])
    text = (tmp_path / "packs" / "report.md").read_text()
    assert "2 kernels right, 0 wrong, 0 not for this machine" in text
    assert "| cuda | none: turned off by FLASHC_CUDA_LIBRARY= | |" in text


def test_a_machine_that_runs_nothing(tmp_path):
    flashc.compile(head_dim=16).save(tmp_path / "one")
    description = tmp_path / "one" / "kernel.json"
    text = json.loads(description.read_text())
    text["target"] = "nvptx:sm_80"
    description.write_text(json.dumps(text))
    done, report = check(tmp_path)
    assert done.returncode == 2
    assert "no cuda device: turned off by FLASHC_CUDA_LIBRARY=" in report["kernels"][0]["skipped"]
    done, report = check(tmp_path, "--device", "cuda:7")
    assert done.returncode == 2
    assert 'got "cuda:7"' in done.stderr
    done, _ = check(tmp_path / "one" / "nothing")
    assert done.returncode == 2
    assert "expected packs (folders with a kernel.json), found none" in done.stderr


@pytest.mark.skipif(not EMULATED.exists(), reason="the emulated devices' library is not built")
def test_on_an_emulated_device(tmp_path):
    flashc.compile(head_dim=32, dtype="bf16", target="emulated:sm_80", return_lse=True).save(tmp_path / "one")
    done, report = check(tmp_path, "--no-bench")
    assert done.returncode == 0, done.stdout + done.stderr
    assert report["kernels"][0]["device"] == "emulated:sm_80"
    assert report["kernels"][0]["checked"] == 10


@pytest.mark.skipif(
    not EMULATED.exists() or not shutil.which("cmake"), reason="there is no cmake, or no emulated device"
)
def test_the_runtime_is_built_where_it_is_needed(tmp_path):
    flashc.compile(head_dim=32, dtype="bf16", target="emulated:sm_80").save(tmp_path / "one")
    command = [sys.executable, "-I", str(ROOT / "scripts" / "check_gpu.py"), str(tmp_path), "--source", str(ROOT)]
    command += ["--report", str(tmp_path / "report"), "--no-bench"]
    drivers = {"FLASHC_CUDA_LIBRARY": "", "FLASHC_HIP_LIBRARY": "", "FLASHC_DEVICE_LIBRARY": str(EMULATED)}
    environment = {**os.environ, **drivers, "TMPDIR": str(tmp_path)}
    if shutil.which("ccache"):
        environment["CMAKE_CXX_COMPILER_LAUNCHER"] = environment["CMAKE_C_COMPILER_LAUNCHER"] = "ccache"
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    (kernel,) = json.loads((tmp_path / "report.json").read_text())["kernels"]
    assert kernel["device"] == "emulated:sm_80"
    assert (kernel["checked"], kernel["failures"]) == (10, [])
    assert "LLVM" not in done.stdout, "the runtime needs none"


def test_a_runtime_that_is_not_to_be_had(tmp_path):
    script = [sys.executable, "-I", str(ROOT / "scripts" / "check_gpu.py"), str(tmp_path)]
    empty = {**os.environ, "PATH": str(tmp_path), "TMPDIR": str(tmp_path)}

    def fails(*arguments, environment=None):
        done = subprocess.run([*script, *arguments], capture_output=True, text=True, timeout=60, env=environment)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
        return done.stderr

    assert "building the runtime needs cmake and a C++17 compiler" in fails("--source", str(ROOT), environment=empty)
    assert f"{tmp_path}/none.so: cannot open shared object file" in fails("--runtime", f"{tmp_path}/none.so")
    assert "undefined symbol: flashc_" in fails("--runtime", "libc.so.6")
    if shutil.which("cmake"):
        assert "it needs cmake, a C++17 compiler, nlohmann_json and libmd" in fails("--source", str(tmp_path))


def test_the_model_stands_beside_what_was_measured(tmp_path):
    flashc.compile(head_dim=32, dtype="f32").save(tmp_path / "one")
    model = {"share_of_peak": 0.58, "bound": "alu", "peak_tflops": 1e-6, "tflops": 5.8e-7, "product": "H100 SXM"}
    target = json.loads((tmp_path / "one" / "kernel.json").read_text())["target"]
    (tmp_path / "one" / "report.json").write_text(json.dumps({"target": target, "prediction": model}))
    done, report = check(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = report["times"]
    assert row["predicted"]["measured_share"] == pytest.approx(row["rate"] / 1e-6)
    text = (tmp_path / "report.md").read_text()
    assert "% of at most 58.0% (alu) |" in text
    assert "Shares are of the peak of H100 SXM" in text
