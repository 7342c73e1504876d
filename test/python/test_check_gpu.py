"""scripts/check_gpu.py as it is used on a machine with a GPU: by ctypes on the runtime's library alone, here on the CPU and on an
emulated device."""

import ast
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

import flashc
from flashc import _flashc

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(_flashc.__file__).resolve().parents[2]
RUNTIME, EMULATED = BUILD / "lib" / "libflashc_runtime.so", BUILD / "lib" / "libflashc_emulated.so"

pytestmark = pytest.mark.skipif(not RUNTIME.exists(), reason="the runtime's shared library is not built")


def check(folder, *arguments, search=None):
    command = [
        sys.executable,
        *(["-I"] if search is None else []),
        str(ROOT / "scripts" / "check_gpu.py"),
        str(folder),
        "--runtime",
        str(RUNTIME),
    ]
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
    if search is None:
        command.append("--no-peers")
    else:
        environment["PYTHONPATH"] = str(search)
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
    assert "Each kernel on 10 sizes of random operands: B1 Hq1/1 Sq1 Sk1, " in text
    assert " on cpu (2): causal, fat." in text
    assert "Left out, as asked: decoding and heads of their own (--no-decode); others' times (--no-peers)." in text
    assert "| cuda | none: turned off by FLASHC_CUDA_LIBRARY= | |" in text


def test_a_machine_that_runs_nothing(tmp_path):
    flashc.compile(head_dim=16).save(tmp_path / "one")
    description = tmp_path / "one" / "kernel.json"
    text = json.loads(description.read_text())
    text["target"] = "nvptx:sm_80"
    description.write_text(json.dumps(text))
    done, report = check(tmp_path)
    assert done.returncode == 2
    for text in (done.stderr, report["state"], (tmp_path / "report.md").read_text()):
        assert "no device of this machine runs any of the packs, which are for nvptx:sm_80; " in text
        assert "cuda: turned off by FLASHC_CUDA_LIBRARY=" in text
    # Beside what it runs, each that it does not run is said with the reason.
    flashc.compile(head_dim=16).save(tmp_path / "two")
    shutil.copytree(tmp_path / "one", tmp_path / "three")
    done, report = check(tmp_path, "--no-bench")
    assert done.returncode == 0, done.stdout + done.stderr
    kernels = kernels_of(report)
    assert "no cuda device: turned off by FLASHC_CUDA_LIBRARY=" in kernels["one"]["skipped"]
    assert not kernels["two"]["skipped"]
    text = (tmp_path / "report.md").read_text()
    assert "1 kernels right, 0 wrong, 2 not for this machine." in text
    assert "- one, three: expected a target of a device of this machine" in text
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
    done, report = check(tmp_path, "--no-bench", "--quick", "--device", "emulated:sm_80")
    assert done.returncode == 0, done.stdout + done.stderr
    text = (tmp_path / "report.md").read_text()
    assert "Left out, as asked: every device but emulated:sm_80 (--device); 7 of 10 sizes (--quick)" in text
    assert "Right as emulated:sm_80 on emulated:sm_80 (1): one." in text


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


def test_an_old_python_can_read_it():
    """3.8 is what machines with GPUs may have; nothing beside the standard library is imported."""
    known = {"gpu_check", "micro_tests", "torch", "triton"}
    for path in [
        ROOT / "scripts" / "micro_tests.py",
        *(ROOT / "scripts").glob("*gpu*/*.py"),
        ROOT / "scripts/check_gpu.py",
    ]:
        tree = ast.parse(path.read_text(), feature_version=(3, 8))
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
            for name in names:
                assert name.split(".")[0] in known | set(sys.stdlib_module_names), f"{path}: {name}"


def kernels_of(report):
    return {kernel["pack"]: kernel for kernel in report["kernels"]}


def spoil(pack, body, includes=""):
    """Puts a library before a pack's own, whose kernel does `body` first where there are 1023 keys."""
    description = pack / "kernel.json"
    metadata = json.loads(description.read_text())
    library, name = metadata["files"]["library"], metadata["name"]
    original = pack / library["path"]
    kept = pack.parent / f"{pack.name}-original.so"
    original.rename(kept)
    source = pack.parent / "spoil.c"
    source.write_text(
        f"""
        #define _GNU_SOURCE
        #include <dlfcn.h>
        #include <flashc/runtime.h>
        #include <signal.h>
        #include <unistd.h>
        {includes}
        typedef long (*function)(long, long, long, long, long, long);
        static function find(const char *name) {{ return (function)dlsym(dlopen("{kept}", RTLD_NOW | RTLD_LOCAL), name); }}
        long {name}_query(long a) {{ return find("{name}_query")(a, 0, 0, 0, 0, 0); }}
        long {name}_workspace_size(long a, long b) {{ return find("{name}_workspace_size")(a, b, 0, 0, 0, 0); }}
        long {name}_run(long a, long b, long c, long d, long e, long f) {{
          const flashc_args *args = (const flashc_args *)a;
          long status;
          if (args->tensors[1].size[2] != 1023) return find("{name}_run")(a, b, c, d, e, f);
          {body}
          return status;
        }}
        """
    )
    include = ROOT / "runtime" / "include"
    subprocess.run(["cc", "-shared", "-fPIC", f"-I{include}", str(source), "-o", str(original), "-ldl"], check=True)
    text = original.read_bytes()
    library.update(bytes=len(text), sha256=hashlib.sha256(text).hexdigest())
    description.write_text(json.dumps(metadata))


@pytest.mark.skipif(not shutil.which("cc"), reason="there is no C compiler")
def test_a_kernel_that_hangs_dies_or_is_wrong_is_one_line(tmp_path):
    """Each of them in a process of its own: sizes and kernels behind it are checked all the same."""
    packs = tmp_path / "packs"
    for name in ("a_hangs", "b_dies", "c_wrong", "d_right"):
        flashc.compile(head_dim=16, dtype="f32").save(packs / name)
    run = 'status = find("attention_run")(a, b, c, d, e, f);'
    spoil(packs / "a_hangs", "for (;;) pause();")
    spoil(packs / "b_dies", "raise(SIGSEGV);")
    spoil(packs / "c_wrong", run + " ((float *)args->tensors[3].data)[5] += 1.0f;")
    done, report = check(packs, "--no-bench", "--timeout", "5")
    assert done.returncode == 1, done.stdout + done.stderr
    assert report["state"] == "complete"
    kernels = kernels_of(report)
    size = "B1 Hq2/2 Sq1 Sk1023"
    assert kernels["a_hangs"]["failures"] == [f"{size}: hung: no answer in 5 seconds"]
    assert kernels["b_dies"]["failures"] == [f"{size}: crashed: ended by SIGSEGV"]
    (failure,) = kernels["c_wrong"]["failures"]
    assert failure.startswith(f"{size}: out: error ")
    assert kernels["d_right"]["failures"] == []
    assert [kernel["checked"] for kernel in kernels.values()] == [10] * 4
    text = (packs / "report.md").read_text()
    assert "1 kernels right, 3 wrong, 0 not for this machine." in text
    assert f"- {size}: crashed: ended by SIGSEGV" in text


@pytest.mark.skipif(not shutil.which("cc"), reason="there is no C compiler")
def test_one_that_hangs_ends_with_the_check(tmp_path):
    """The children are in groups of their own, which Ctrl-C does not reach."""
    packs, witness = tmp_path / "packs", tmp_path / "witness"
    flashc.compile(head_dim=16, dtype="f32").save(packs / "hangs")
    touch = f'char text[99]; snprintf(text, 99, "echo %d > {witness}", getpid()); system(text);'
    spoil(packs / "hangs", f"{touch} for (;;) pause();", includes="#include <stdio.h>\n#include <stdlib.h>")
    command = [sys.executable, "-I", str(ROOT / "scripts" / "check_gpu.py"), str(packs), "--runtime", str(RUNTIME)]
    command += ["--report", str(tmp_path / "report"), "--no-bench"]
    for number in (signal.SIGINT, signal.SIGTERM):
        witness.unlink(missing_ok=True)
        # A shell has what it starts in the background ignore Ctrl-C, these tests and their children, too.
        running = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        until = time.monotonic() + 120
        while not (witness.exists() and witness.read_text().strip()) and time.monotonic() < until:
            time.sleep(0.05)
        child = int(witness.read_text())
        running.send_signal(number)
        assert running.wait(timeout=60) == 128 + number
        # A zombie, where nobody waits for it, has no file.
        while Path(f"/proc/{child}/exe").exists() and time.monotonic() < until:
            time.sleep(0.05)
        assert not Path(f"/proc/{child}/exe").exists()
    assert "Not ended yet, or ended from outside." in (tmp_path / "report.md").read_text()


def test_what_the_time_does_not_reach_is_listed(tmp_path):
    flashc.compile(head_dim=16).save(tmp_path / "one")
    done, report = check(tmp_path, "--budget", "2.5", "--timeout", "5")
    assert done.returncode in (0, 3)  # as fast as the machine is
    done, report = check(tmp_path, "--budget", "0.05")
    assert done.returncode in (2, 3)
    if done.returncode == 3:
        assert report["state"] == "the time was over"
        assert not report["kernels"][0]["complete"]
        assert "Not everything was done: the time was over." in (tmp_path / "report.md").read_text()
        assert "Not reached: one." in (tmp_path / "report.md").read_text()


TORCH = {
    "torch/__init__.py": """
        from types import SimpleNamespace
        from . import nn
        __version__ = "0.1"
        bfloat16 = float16 = float32 = None
        class cuda:
            is_available = staticmethod(lambda: False)
        class Array:
            is_cuda, device = False, "cpu"
            def __init__(self, *shape, **_): self.shape = shape
        randn = Array
        _dynamo = SimpleNamespace(reset=lambda: None)
        compile = lambda function, dynamic: function
    """,
    "torch/nn/__init__.py": """
        from types import SimpleNamespace
        functional = SimpleNamespace(scaled_dot_product_attention=lambda q, k, v, is_causal, enable_gqa: None)
    """,
    "torch/nn/attention/__init__.py": """
        import contextlib
        class SDPBackend:
            CUDNN_ATTENTION, FLASH_ATTENTION = "cudnn", "flash"
        @contextlib.contextmanager
        def sdpa_kernel(backend):
            if backend == "cudnn":
                raise RuntimeError("no kernel")
            yield
    """,
    "torch/nn/attention/flex_attention.py": """
        import os
        create_block_mask = lambda *_, **__: None
        def flex_attention(*_, **__): os.abort()
    """,
}


def test_peers_are_timed_beside_in_processes_of_their_own(tmp_path):
    """One that refuses and one that dies are cells of the table; what cannot be imported is named."""
    for path, text in TORCH.items():
        (tmp_path / "site" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "site" / path).write_text(textwrap.dedent(text))
    flashc.compile(head_dim=32, mask=flashc.causal("bottom_right")).save(tmp_path / "packs" / "one")
    done, report = check(tmp_path / "packs", "--peer-device", "cpu", "--lengths", "64,32", search=tmp_path / "site")
    assert done.returncode == 0, done.stdout + done.stderr
    assert report["peers"]["versions"] == "PyTorch 0.1 on the CPU"
    assert report["peers"]["missing"] == {
        "flash-attn 2": "No module named 'flash_attn'",
        "flash-attn 3": "No module named 'flash_attn_interface'",
    }
    for row in report["times"]:
        assert row["peers"]["cuDNN"] == "no kernel"
        assert row["peers"]["flash"] > 0
        assert row["peers"]["Triton (flex)"] == "crashed: ended by SIGABRT"
    text = (tmp_path / "packs" / "report.md").read_text()
    assert "Missing: flash-attn 2 (No module named 'flash_attn')" in text
    assert "In brackets: flashc's rate over the other's." in text
    row = report["times"][0]
    assert f"| {row['peers']['flash']:.1f} ({row['rate'] / row['peers']['flash']:.2f}x) |" in text
