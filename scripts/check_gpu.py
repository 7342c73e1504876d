#!/usr/bin/env python3
"""Checks kernels on a machine with a GPU: no internet, no LLVM, no flashc installation, any Python from 3.8.

Give it a folder of packs, as `make gpu-packs` or flash-compile write them, and the runtime's library or the sources to
build it from. Every kernel is compared with the float64 reference, the instruction tests run where their packs are there,
and what is right is timed, beside PyTorch's attention where PyTorch is importable. The report is written as Markdown and JSON.

    python3 check_gpu.py packs --runtime libflashc_runtime.so --report report
    python3 check_gpu.py packs --source flashc/            # builds the runtime with cmake first
    python3 check_gpu.py packs --runtime ... --device cuda:1 --no-bench

Exit status: 0 when every kernel that the device runs is right, 1 when one is not, 2 when nothing could be run.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# (batch, heads, key heads, queries, keys): odd lengths, groups, one query, nothing at all, several tiles.
VERIFY_SIZES = [
    (1, 1, 1, 1, 1),
    (2, 4, 4, 17, 33),
    (1, 4, 2, 128, 128),
    (2, 6, 1, 97, 200),
    (1, 2, 2, 1, 1023),
    (1, 2, 2, 200, 113),
    (3, 2, 2, 64, 1025),
    (2, 2, 2, 5, 0),
    (1, 2, 2, 0, 8),
    (1, 8, 2, 513, 700),
]
BENCH_LENGTHS = [2048, 4096, 8192, 16384]
BENCH_HEADS = (64, 8)
DECODE_SIZES = [(8, 64, 8, 1, 8192), (1, 32, 32, 1, 16384)]


class Sizes(ctypes.Structure):
    """flashc_problem_sizes."""

    _fields_ = [(name, ctypes.c_int64) for name in ("batch", "heads", "kv_heads", "queries", "keys")]


class RuntimeFailureError(Exception):
    """What flashc_last_error says, with its status."""


class Runtime:
    """The functions of libflashc_runtime.so that are used here."""

    def __init__(self, path: str) -> None:
        self.library = library = ctypes.CDLL(path)
        pointer, text = ctypes.c_void_p, ctypes.c_char_p
        for name, result, arguments in (
            ("flashc_last_error", text, []),
            ("flashc_status_string", text, [ctypes.c_int]),
            ("flashc_devices", text, []),
            ("flashc_runtime_abi_version", ctypes.c_uint32, []),
            ("flashc_device_name", text, [pointer]),
            ("flashc_device_find", ctypes.c_int, [text, pointer]),
            ("flashc_pack_load_on", ctypes.c_int, [text, pointer, pointer]),
            ("flashc_pack_device", pointer, [pointer]),
            ("flashc_pack_metadata", text, [pointer]),
            ("flashc_pack_unload", None, [pointer]),
            ("flashc_pack_verify", ctypes.c_int, [pointer, pointer, ctypes.c_uint64, pointer, text, ctypes.c_size_t]),
            ("flashc_pack_time", ctypes.c_int, [pointer, pointer, ctypes.c_double, pointer, pointer]),
        ):
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments

    def check(self, status: int) -> None:
        if status:
            word = self.library.flashc_status_string(status).decode()
            raise RuntimeFailureError(f"{self.library.flashc_last_error().decode(errors='replace')} ({word})")

    def devices(self) -> dict:
        return json.loads(self.library.flashc_devices().decode())

    def find(self, name: str) -> ctypes.c_void_p:
        device = ctypes.c_void_p()
        self.check(self.library.flashc_device_find(name.encode(), ctypes.byref(device)))
        return device


class Pack:
    """A loaded pack."""

    def __init__(self, runtime: Runtime, path: Path, device: ctypes.c_void_p | None) -> None:
        self.runtime, self.handle = runtime, ctypes.c_void_p()
        library = runtime.library
        runtime.check(library.flashc_pack_load_on(os.fsencode(path), device, ctypes.byref(self.handle)))
        self.metadata = json.loads(library.flashc_pack_metadata(self.handle).decode())
        self.device = library.flashc_device_name(library.flashc_pack_device(self.handle)).decode()

    def __enter__(self) -> Pack:
        return self

    def __exit__(self, *_: object) -> None:
        self.runtime.library.flashc_pack_unload(self.handle)

    def verify(self, sizes: tuple, seed: int) -> tuple[bool, str]:
        passed, message = ctypes.c_int32(), ctypes.create_string_buffer(1024)
        self.runtime.check(
            self.runtime.library.flashc_pack_verify(
                self.handle, ctypes.byref(Sizes(*sizes)), seed, ctypes.byref(passed), message, len(message)
            )
        )
        return bool(passed.value), message.value.decode(errors="replace")

    def time(self, sizes: tuple, seconds: float) -> float:
        median = ctypes.c_double()
        self.runtime.check(
            self.runtime.library.flashc_pack_time(
                self.handle, ctypes.byref(Sizes(*sizes)), seconds, ctypes.byref(median), None
            )
        )
        return median.value


def find_packs(folder: Path) -> list[Path]:
    """The packs below a folder; those inside of a fat pack come with it."""
    folders = {description.parent for description in folder.rglob("kernel.json")}
    return sorted(path for path in folders if not folders.intersection(path.parents))


def build_runtime(source: Path) -> str:
    """Builds the runtime's library with cmake, without LLVM."""
    folder = tempfile.mkdtemp(prefix="flashc-runtime-")
    options = ["-DCMAKE_BUILD_TYPE=Release", "-DFLASHC_ENABLE_COMPILER=OFF", "-DFLASHC_ENABLE_TESTS=OFF"]
    for command in (
        ["cmake", "-S", str(source), "-B", folder, *options],
        ["cmake", "--build", folder, "--target", "flashc_runtime_shared", "-j"],
    ):
        try:
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        except OSError as error:
            raise RuntimeFailureError(
                f"--source: building the runtime needs cmake and a C++17 compiler: {error}; "
                "or bring a libflashc_runtime.so from another machine and give --runtime"
            ) from error
        if done.returncode:
            raise RuntimeFailureError(
                f"--source: '{' '.join(command)}' ended with {done.returncode}; it needs cmake, a C++17 compiler, "
                f"nlohmann_json and libmd (on Debian: apt install nlohmann-json3-dev libmd-dev):\n{done.stdout[-3000:]}"
            )
    return str(Path(folder) / "lib" / "libflashc_runtime.so")


def describe(sizes: tuple) -> str:
    return "B{} Hq{}/{} Sq{} Sk{}".format(*sizes)


def verify_all(runtime: Runtime, packs: list[Path], device: ctypes.c_void_p | None, root: Path) -> list[dict]:
    """Every kernel on every size: what failed, and what the device does not run."""
    results = []
    for path in packs:
        result = {"pack": str(path.relative_to(root)) or ".", "failures": [], "checked": 0, "skipped": ""}
        results.append(result)
        try:
            with Pack(runtime, path, device) as pack:
                result.update(target=pack.metadata.get("target"), device=pack.device, kernel=kernel_name(pack.metadata))
                for seed, sizes in enumerate(VERIFY_SIZES, 1):
                    result["checked"] += 1
                    try:
                        passed, message = pack.verify(sizes, seed)
                    except RuntimeFailureError as failure:
                        passed, message = False, str(failure)
                    if not passed:
                        result["failures"].append(f"{describe(sizes)}: {message}")
        except RuntimeFailureError as failure:
            result["skipped"] = str(failure)
        state = "skipped: " + result["skipped"] if result["skipped"] else f"{result['checked']} sizes"
        print(f"{result['pack']:44} {state}, {len(result['failures'])} wrong", flush=True)
    return results


def instruction_tests(folder: Path) -> dict:
    """What micro_tests.py makes of the emulator's instruction tests on the real chip, where both are there."""
    script = Path(__file__).resolve().with_name("micro_tests.py")
    for needed in (script, folder / "tests.json"):
        if not needed.exists():
            return {"status": None, "output": [f"there is no {needed}"]}
    done = subprocess.run([sys.executable, str(script), "run", str(folder)], capture_output=True, text=True)
    lines = (done.stdout + done.stderr).strip().splitlines()
    print(*lines[-3:], sep="\n", flush=True)
    return {"status": done.returncode, "output": lines}


def kernel_name(metadata: dict) -> str:
    parts = [metadata.get("dtype", "?"), f"D{metadata.get('head_dim', '?')}"]
    if metadata.get("value_head_dim") != metadata.get("head_dim"):
        parts.append(f"Dv{metadata.get('value_head_dim')}")
    return " ".join([*parts, metadata.get("mask") or "full"])


def work(metadata: dict, sizes: tuple) -> float:
    """Floating-point operations as the literature counts them: half of them under a causal mask."""
    batch, heads, _, queries, keys = sizes
    total = 2.0 * batch * heads * queries * keys * (metadata["head_dim"] + metadata["value_head_dim"])
    return total / 2 if "causal" in metadata.get("mask", "") else total


def cache_bytes(metadata: dict, sizes: tuple) -> float:
    """The bytes of K and V that a decoding step reads."""
    size = {"f64": 8, "f32": 4}.get(metadata["dtype"], 2)
    return float(sizes[0] * sizes[2] * sizes[4] * (metadata["head_dim"] + metadata["value_head_dim"]) * size)


def prediction_of(path: Path, metadata: dict) -> dict:
    """What the model says that the code cannot exceed (flash-compile --report), where the pack has it."""
    for file in sorted(path.rglob("report.json")):
        report = json.loads(file.read_text())
        if report.get("target") == metadata.get("target"):
            return report.get("prediction", {})
    return {}


class Peers:
    """PyTorch's attention: cuDNN's, FlashAttention's and, by torch.compile, Triton's. Nothing without PyTorch on a GPU."""

    def __init__(self) -> None:
        self.torch = None
        try:
            import torch

            self.torch = torch if torch.cuda.is_available() else None
        except ImportError:
            pass

    def describe(self) -> str:
        if not self.torch:
            return "PyTorch with a GPU is not importable"
        return f"PyTorch {self.torch.__version__} on {self.torch.cuda.get_device_name()}"

    def measure(self, metadata: dict, sizes: tuple, seconds: float) -> dict[str, float | str]:
        torch = self.torch
        mask = metadata.get("mask", "")
        dtypes = {"bf16": "bfloat16", "f16": "float16", "f32": "float32"}
        if not torch or metadata["dtype"] not in dtypes or mask not in ("", "causal(top_left)", "causal(bottom_right)"):
            return {}
        batch, heads, kv_heads, queries, keys = sizes
        if mask and queries != keys:
            return {}
        like = {"device": "cuda", "dtype": getattr(torch, dtypes[metadata["dtype"]])}
        q = torch.randn(batch, heads, queries, metadata["head_dim"], **like)
        k = torch.randn(batch, kv_heads, keys, metadata["head_dim"], **like)
        v = torch.randn(batch, kv_heads, keys, metadata["value_head_dim"], **like)
        from torch.nn.attention import SDPBackend, sdpa_kernel

        def sdpa() -> None:
            torch.nn.functional.scaled_dot_product_attention(
                q, k, v, is_causal=bool(mask), enable_gqa=heads != kv_heads
            )

        found: dict[str, float | str] = {}
        for name, backend in (("cuDNN", "CUDNN_ATTENTION"), ("flash", "FLASH_ATTENTION")):
            try:
                with sdpa_kernel(getattr(SDPBackend, backend)):
                    found[name] = self.time(sdpa, seconds)
            except (AttributeError, RuntimeError) as error:
                found[name] = str(error).splitlines()[0][:80]
        try:
            found["Triton (flex)"] = self.time(self.flex(q, k, v, bool(mask)), seconds)
        except Exception as error:  # whatever a compiler raises is a cell of the table, not the end of the check
            found["Triton (flex)"] = str(error).splitlines()[0][:80] if str(error) else type(error).__name__
        return found

    def flex(self, q: object, k: object, v: object, causal: bool) -> object:
        import triton  # noqa: F401
        from torch.nn.attention.flex_attention import create_block_mask, flex_attention

        compiled = self.torch.compile(flex_attention)
        block = None
        if causal:
            block = create_block_mask(lambda b, h, i, j: i >= j, None, None, q.shape[2], k.shape[2], device="cuda")
        return lambda: compiled(q, k, v, block_mask=block, enable_gqa=q.shape[1] != k.shape[1])

    def time(self, run: object, seconds: float) -> float:
        torch = self.torch
        for _ in range(3):
            run()
        torch.cuda.synchronize()
        times, end = [], time.monotonic() + seconds
        while len(times) < 10 or time.monotonic() < end:
            begin, done = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            run()
            done.record()
            done.synchronize()
            times.append(begin.elapsed_time(done) * 1e-3)
        return sorted(times)[len(times) // 2]


def bench_all(runtime: Runtime, good: list[dict], root: Path, device: object, options: argparse.Namespace) -> list:
    """The time of every kernel that was right, and of its peers beside it."""
    peers, rows = Peers(), []
    print("peers:", peers.describe(), flush=True)
    lengths = [int(length) for length in options.lengths.split(",")]
    heads = tuple(int(count) for count in options.heads.split(","))
    for result in good:
        with Pack(runtime, root / result["pack"], device) as pack:
            prediction = prediction_of(root / result["pack"], pack.metadata)
            problems = [(1, *heads, length, length) for length in lengths]
            problems += [] if options.no_decode else DECODE_SIZES
            for sizes in problems:
                row = {"kernel": result["kernel"], "pack": result["pack"], "sizes": describe(sizes), "peers": {}}
                row["target"] = result["target"]
                rows.append(row)
                try:
                    seconds = pack.time(sizes, options.seconds)
                except RuntimeFailureError as failure:
                    row["error"] = str(failure)
                    continue
                row["ms"] = seconds * 1e3
                decode = sizes[3] == 1
                amount = cache_bytes(pack.metadata, sizes) if decode else work(pack.metadata, sizes)
                row["unit"] = "GB/s" if decode else "TFLOP/s"
                scale = 1e-9 if decode else 1e-12
                row["rate"] = amount / seconds * scale if seconds else math.inf
                if prediction and not decode:
                    row["predicted"] = {**prediction, "measured_share": row["rate"] / prediction["peak_tflops"]}
                for name, value in peers.measure(pack.metadata, sizes, options.seconds).items():
                    row["peers"][name] = amount / value * scale if isinstance(value, float) else value
                model = predicted_cell(row)
                print(
                    f"{row['kernel']:40} {row['sizes']:34} {row['rate']:9.1f} {row['unit']}",
                    model,
                    row["peers"],
                    flush=True,
                )
    return rows


def predicted_cell(row: dict) -> str:
    """The measured share of the peak beside the one that the model allows."""
    model = row.get("predicted")
    if not model:
        return ""
    return f"{model['measured_share']:.1%} of at most {model['share_of_peak']:.1%} ({model['bound']})"


def to_markdown(report: dict) -> str:
    """The report for people."""
    machine, lines = report["machine"], ["# flashc on this machine's GPU", ""]
    lines += [f"{machine['date']}, {machine['system']}, Python {machine['python']}, {machine['runtime']}", ""]
    lines += ["| device | what | driver |", "|---|---|---|"]
    lines += [f"| {d['name']} | {d['description']} | {d['driver']} |" for d in machine["devices"]]
    lines += [f"| {a['name']} | none: {a['reason']} | |" for a in machine["absent"]]
    right = [r for r in report["kernels"] if not r["failures"] and not r["skipped"]]
    wrong = [r for r in report["kernels"] if r["failures"]]
    skipped = [r for r in report["kernels"] if r["skipped"]]
    lines += ["", "## Results against the float64 reference", ""]
    lines += [f"{len(right)} kernels right, {len(wrong)} wrong, {len(skipped)} not for this machine."]
    for result in wrong:
        lines += ["", f"**{result['pack']}** ({result.get('kernel', '?')}) on {result.get('device', '?')}:", ""]
        lines += [f"- {failure}" for failure in result["failures"]]
    if skipped:
        lines += ["", "Not for this machine:", ""] + [f"- {r['pack']}: {r['skipped']}" for r in skipped]
    if report["fallbacks"]:
        lines += ["", "## Slower than it could be", ""] + [f"- {text}" for text in report["fallbacks"]]
    instructions = report["instructions"]
    if instructions["status"] is None:
        lines += ["", "The emulator's instruction tests were not run: " + instructions["output"][0] + "."]
    else:
        verdict = {0: "all right", 1: "some wrong", 2: "none run"}.get(instructions["status"], "failed")
        lines += ["", "## The emulator's instruction tests on this chip", "", f"{verdict}:", "", "```text"]
        lines += [*instructions["output"][-40:], "```"]
    if report["times"]:
        names = sorted({name for row in report["times"] for name in row["peers"]})
        lines += [
            "",
            "## Times",
            "",
            "Medians of single runs, by the device's events, caches warm. FLOPs as the literature ",
        ]
        lines[-1] += "counts them, half under a causal mask; decoding counts the bytes of K and V."
        products = {row["predicted"]["product"] for row in report["times"] if "predicted" in row}
        if products:
            lines += [
                "",
                f"Shares are of the peak of {', '.join(sorted(products))}; the second one is what the kernel's code ",
            ]
            lines[-1] += "allows, by its instructions and the units' rates."
        lines += ["", "| kernel | sizes | ms | flashc | share of peak | " + "".join(f"{name} | " for name in names)]
        lines += ["|---|---|---|---|---|" + "---|" * len(names)]
        for row in report["times"]:
            cells = [f"{row['kernel']} ({row['target']})", row["sizes"]]
            cells += [f"{row['ms']:.3f}", f"{row['rate']:.1f} {row['unit']}"] if "ms" in row else ["", row["error"]]
            cells.append(predicted_cell(row))
            for name in names:
                value = row["peers"].get(name, "")
                cells.append(f"{value:.1f}" if isinstance(value, float) else value)
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("packs", type=Path, help="a folder with packs in it, at any depth")
    parser.add_argument("--runtime", help="libflashc_runtime.so")
    parser.add_argument("--source", type=Path, help="flashc's sources: the runtime is built with cmake, without LLVM")
    parser.add_argument("--device", help="'cuda:1'; by default the device that suits each pack best")
    parser.add_argument("--report", type=Path, default=Path("gpu-report"), help="prefix of the .md and .json written")
    parser.add_argument("--seconds", type=float, default=0.3, help="how long each case is timed")
    parser.add_argument("--lengths", default=",".join(map(str, BENCH_LENGTHS)), help="sequence lengths that are timed")
    parser.add_argument("--heads", default=",".join(map(str, BENCH_HEADS)), help="query and key heads that are timed")
    parser.add_argument("--no-bench", action="store_true", help="verify only")
    parser.add_argument("--no-decode", action="store_true", help="time no decoding")
    options = parser.parse_args(arguments)
    if not options.runtime and not options.source:
        beside = Path(__file__).resolve().parent / "libflashc_runtime.so"
        if not beside.exists():
            parser.error("expected --runtime, --source, or libflashc_runtime.so beside this script")
        options.runtime = str(beside)
    return options


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    try:
        runtime = Runtime(options.runtime or build_runtime(options.source))
    except (RuntimeFailureError, OSError, AttributeError) as failure:  # nothing to build with, no library, another one
        print(failure, file=sys.stderr)
        return 2
    found = runtime.devices()
    for device in found["devices"]:
        print(f"{device['name']:12} {device['description']} {device['driver']}")
    for absent in found["absent"]:
        print(f"{absent['name']:12} none: {absent['reason']}")
    packs = find_packs(options.packs)
    if not packs:
        print(f"{options.packs}: expected packs (folders with a kernel.json), found none", file=sys.stderr)
        return 2
    try:
        device = runtime.find(options.device) if options.device else None
    except RuntimeFailureError as failure:
        print(failure, file=sys.stderr)
        return 2
    kernels = verify_all(runtime, packs, device, options.packs)
    right = [k for k in kernels if not k["failures"] and not k["skipped"]]
    instructions = instruction_tests(options.packs / "micro-tests")
    times = [] if options.no_bench else bench_all(runtime, right, options.packs, device, options)
    machine = {
        "date": time.strftime("%Y-%m-%d %H:%M"),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "runtime": f"flashc runtime, ABI {runtime.library.flashc_runtime_abi_version()}",
        **found,
    }
    report = {"machine": machine, "kernels": kernels, "instructions": instructions, "times": times}
    report["fallbacks"] = runtime.devices().get("fallbacks", [])
    for text in report["fallbacks"]:
        print("slower than it could be:", text)
    options.report.with_suffix(".json").write_text(json.dumps(report, indent=1))
    options.report.with_suffix(".md").write_text(to_markdown(report))
    print(f"report: {options.report.with_suffix('.md')}, {options.report.with_suffix('.json')}")
    if any(kernel["failures"] for kernel in kernels) or instructions["status"] == 1:
        return 1
    return 2 if all(kernel["skipped"] for kernel in kernels) else 0


if __name__ == "__main__":
    sys.exit(main())
